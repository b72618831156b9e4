"""Public bug reports of other tools, tried on this one; ``README.md`` has a row under the number of each test."""

import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict, cross_val_score
from typer.testing import CliRunner

import labelcontrast as lc
from labelcontrast import data, losses, metrics
from labelcontrast.cli import main
from labelcontrast.cli.verbs import app
from labelcontrast.encoders.pictures import decode_picture
from labelcontrast.errors import ConfigError, DataError, LabelError, LabelShapeError, RunError, TensorError
from labelcontrast.experiment import run_experiment
from labelcontrast.labels.hierarchy import Hierarchy, LabelTree
from labelcontrast.labels.hierarchy_files import read_hierarchy
from labelcontrast.settings import RunSettings

Sets = list[tuple[str, ...]]


def test_every_row_has_a_test_and_every_test_a_row() -> None:
    rows = re.findall(r"^\| (\d\d) \|", (Path(__file__).parent / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    tests = [found[1] for name in vars(sys.modules[__name__]) if (found := re.match(r"test_report_(\d\d)_", name))]
    assert rows == tests == [f"{number:02}" for number in range(1, len(rows) + 1)]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., tuple[list[str], Sets]]:
    """Write a file, and read it as ``labelcontrast.read`` does: the texts, and the label sets."""

    def write_and_read(name: str, content: str | bytes, **how: str) -> tuple[list[str], Sets]:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        examples = data.read(tmp_path / name, **how)
        return list(examples.inputs), list(examples.label_sets)

    return write_and_read


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_report_01_letters_of_a_label(read) -> None:
    assert read("a.csv", "text,labels\nx,\"['stat.ML', 'cs.LG']\"\n")[1] == [("stat.ML", "cs.LG")]
    with pytest.raises(LabelError, match=r"a.csv, line 2, column \"labels\": expected a list of labels. Got \[stat.ML"):
        read("a.csv", 'text,labels\nx,"[stat.ML, cs.LG]"\n')


def test_report_02_codes_with_bars(read) -> None:
    found = read("a.csv", "text,codes\nx,25000|2720|4019\ny,038.9|V290\nz,041.10\n", labels="codes")
    assert found[1] == [("25000", "2720", "4019"), ("038.9", "V290"), ("041.10",)]


def test_report_03_texts_that_look_missing(read) -> None:
    texts = ["n/a", "N/A", "NaN", "null", "<unk>"]
    assert read("a.tsv", "text\tlabel\n" + "".join(f"{text}\tx\n" for text in texts))[0] == texts


def test_report_04_the_label_na(read) -> None:
    found = read("a.csv", "text,labels\nUSA,NA\nGB,EU\nnowhere,nan\nnobody,None\n")
    assert found[1] == [("NA",), ("EU",), (), ()]


def test_report_05_carriage_returns(read) -> None:
    assert read("a.csv", b'text,label\r\n"one\rtwo",a\r\nthree,b\r\n') == (["one\rtwo", "three"], [("a",), ("b",)])


def test_report_06_a_cell_opens_with_a_quotation_mark(read) -> None:
    for rest in ('Third "sentence"\tthird\n', 'Third\tthird\n"Fourth\tfourth\n'):
        with pytest.raises(DataError) as refusal:
            read("a.tsv", f'text\tlabel\nFirst\tfirst\n"Second\tsecond\n{rest}')
        told = "a cell that opens with a quotation mark ends with one, and those within it are doubled."
        assert str(refusal.value).endswith(f"a.tsv, line 3: not a table ('\t' expected after '\"'); {told}")


def test_report_07_commas_within_a_text(read) -> None:
    found = read("a.csv", 'text,sentiment\n"a, b, c",Positive\nd,Negative\n', labels="sentiment")
    assert found == (["a, b, c", "d"], [("Positive",), ("Negative",)])


def test_report_08_labels_merged_by_a_hash(read) -> None:
    found = read("a.csv", "id,data,label\n1,text one,label1#label2\n2,text two,label1\n3,text three,label2\n")
    assert found == (["text one", "text two", "text three"], [("label1", "label2"), ("label1",), ("label2",)])


def test_report_09_labels_of_fasttext(read, tmp_path: Path) -> None:
    content = "__label__sauce __label__cheese How much starch?\n__label__food-safety Dangerous\t__labels\nNo label\n"
    texts = ["How much starch?", "Dangerous\t__labels", "No label"]
    assert read("train.txt", content) == (texts, [("sauce", "cheese"), ("food-safety",), ()])
    told = "labels of fastText have blanks between them and nothing else."
    for wrong in ("A,", "A,__label__B", "A__label__B"):
        with pytest.raises(DataError) as refusal:
            read("a.txt", f"__label__A x\n__label__{wrong} text\n")
        assert str(refusal.value) == f'{tmp_path / "a.txt"}, line 2: the label "{wrong}": {told}'


def test_report_10_a_text_like_a_schema(read) -> None:
    text = "### Describe the bug ,action: string, datetime: timestamp[s], author: string"
    rows = {"text": text, "labels": ["bug"], "created": "2022-03-18T00:00:00"}, {"text": "2020-01-01", "labels": []}
    assert read("a.jsonl", lines(*rows)) == ([text, "2020-01-01"], [("bug",), ()])


def test_report_11_json_lines_that_lack_a_key(read) -> None:
    rows = {"text": "a", "labels": ["x"]}, {"text": "b", "labels": ["y"], "pull_request": {"url": "z"}}
    assert read("a.jsonl", lines(*rows)) == (["a", "b"], [("x",), ("y",)])
    with pytest.raises(LabelError, match='line 3, column "labels": there is nothing; an example without labels has an'):
        read("a.jsonl", lines(*rows, {"text": "c"}))


def test_report_12_null_first_and_text_later(read) -> None:
    rows = [{"text": "a", "labels": ["x"], "closed": None}] * 3 + [{"text": "b", "labels": ["y"], "closed": "2020"}]
    assert read("a.jsonl", lines(*rows))[1] == [("x",)] * 3 + [("y",)]


def test_report_13_a_byte_order_mark(read) -> None:
    assert read("a.csv", b'\xef\xbb\xbf"text","label"\n"a","x"\n') == (["a"], [("x",)])
    with pytest.raises(DataError, match=r"a.csv, line 1: not UTF-8 text \(invalid start byte at byte 1\); save it as"):
        read("a.csv", "text,label\na,x\n".encode("utf-16"))


def test_report_14_several_labels_in_json(read) -> None:
    as_lists = read("a.jsonl", lines({"text": "a", "label": ["x", "y"]}, {"text": "b", "label": ["y"]}))
    flags = {"text": "a", "x": True, "y": True}, {"text": "b", "x": False, "y": True}
    assert as_lists == read("b.jsonl", lines(*flags)) == (["a", "b"], [("x", "y"), ("y",)])


def test_report_15_one_choice_and_several(read) -> None:
    several, one = {"choices": ["x", "y"]}, "x, or z"
    for cells in ([several, one], [one, several], [several, {"choices": []}]):
        content = json.dumps([{"id": 1, "text": "a", "tone": cell} for cell in cells])
        found = read("a.json", content, labels="tone")[1]
        assert found == [(cell,) if cell is one else tuple(cell["choices"]) for cell in cells]


def test_report_16_the_full_export_of_label_studio(read) -> None:
    row = {"id": 1, "data": {"text": "a"}, "annotations": [{"result": [{"value": {"choices": ["x", "y"]}}]}]}
    assert read("a.json", json.dumps([row])) == (["a"], [("x", "y")])


def test_report_17_infinity_in_a_label_column(read) -> None:
    with pytest.raises(
        LabelError, match=r'line 62, column "a": "a" must be 0, 1, a number between, or empty .* Got \'inf\''
    ):
        read("a.csv", "text,a,b\n" + "".join(f"x{row},{row % 2},{row % 3 // 2}\n" for row in range(60)) + "y,inf,1\n")


def test_report_18_a_category_without_rows(read, tmp_path: Path) -> None:
    label = pa.DictionaryArray.from_arrays([0, 2], ["x", "unused", "z"])
    pq.write_table(pa.table({"text": ["a", "b"], "label": label}), tmp_path / "made.parquet")
    assert read("a.parquet", (tmp_path / "made.parquet").read_bytes()) == (["a", "b"], [("x",), ("z",)])


COMPARING = ("supcon", "base", "jscl", "mulsupcon", "sincere", "similarity_dissimilarity")
"""Losses that compare examples, and nothing else."""


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", COMPARING)
def test_report_19_an_anchor_without_a_positive(name: str) -> None:
    labels = torch.eye(4)[[0, 1, 1, 3]]
    projections = random(4, 3).requires_grad_()
    loss = lc.make_loss(name, num_labels=4, dim=3)
    assert loss.per_anchor(projections, labels)[[0, 3]].tolist() == [0, 0]
    loss(projections, labels).backward()
    assert projections.grad.isfinite().all()
    assert loss(projections, torch.eye(4)) == 0


def test_report_20_numbers_of_classes() -> None:
    with pytest.raises(LabelShapeError, match=r"^labels must be a matrix \[4, 10\]. Got \[4\].$"):
        losses.supcon(num_labels=10, dim=3)(random(4, 3), torch.tensor([0, 1, 1, 100_000]))


def test_report_21_one_view_in_three_dimensions() -> None:
    loss, labels = losses.supcon(num_labels=2, dim=3), torch.eye(2)[[0, 0, 1, 1]]
    assert loss(random(4, 3)[:, None], labels) == loss(random(4, 3), labels) > 0


def test_report_22_embeddings_that_are_not_normalised() -> None:
    loss, labels = losses.supcon(num_labels=24, dim=128, temperature=0.07), torch.eye(24)[torch.arange(48) // 2]
    torch.testing.assert_close(loss(1e4 * random(48, 128), labels), loss(random(48, 128), labels))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8, torch.float16, torch.float64])
def test_report_23_types_of_targets(dtype: torch.dtype) -> None:
    targets = torch.tensor([[1, 0, 1], [0, 0, 1]])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(random(2, 3), targets.float())
    torch.testing.assert_close(losses.bce(num_labels=3)(random(2, 3), targets.to(dtype)), expected)


def test_report_24_smoothed_labels() -> None:
    targets = torch.tensor([[0.9, 0.1, 0.1], [0.05, 0.95, 0.5]])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(random(2, 3), targets)
    torch.testing.assert_close(losses.bce(num_labels=3)(random(2, 3), targets), expected)


@pytest.mark.parametrize("name", ["bce", "focal", "asl", "lsep", "zlpr"])
def test_report_25_half_precision(name: str) -> None:
    logits = torch.tensor([[73.875, -10.7578, 64.625], [62.3, -9.9, 58.5]], dtype=torch.float16, requires_grad=True)
    loss = lc.make_loss(name, num_labels=3)(logits, torch.tensor([[0.0, 0, 1], [0, 1, 0]]))
    loss.backward()
    assert 1 < loss < 100
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", COMPARING)
def test_report_26_a_batch_of_one(name: str) -> None:
    assert lc.make_loss(name, num_labels=2, dim=3)(random(1, 3), torch.ones(1, 2)) == 0


def measures(labels: list[list[float]], scores: list[list[float]], predictions: list[list[float]]) -> dict[str, float]:
    return metrics.compute_metrics(np.array(labels), np.array(scores), np.array(predictions))


def test_report_27_average_precision_without_a_positive() -> None:
    found = measures([[0, 1], [0, 0]], [[0.1, 0.1], [0.1, 0.2]], [[0, 0], [0, 1]])
    assert (found["map_macro"], found["labels_scored"]) == (0.5, 1)


def test_report_28_average_precision_of_equal_labels() -> None:
    none, every = np.zeros((10, 1)).tolist(), np.ones((10, 1)).tolist()
    scores = np.linspace(0, 1, 10)[:, None].tolist()
    assert measures(every, scores, every)["map_macro"] == 1
    assert np.isnan(measures(none, scores, none)["map_macro"])
    assert measures(none, scores, none)["labels_scored"] == 0


def test_report_29_labels_that_do_not_occur(tmp_path: Path) -> None:
    perfect = [[1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]
    assert measures(perfect, perfect, perfect)["macro_f1"] == 0.5
    for name, label in (("train", "a;b"), ("val", "a;b"), ("test", "a")):
        (tmp_path / f"{name}.csv").write_text("text,labels\n" + f"x,{label}\n" * 3)
    told = 'no test example has 1 of 2 labels: "b". They have an F1 of 0 and no average precision.'
    assert data.load_splits(tmp_path, seed=0).warnings == (told,)


def test_report_30_an_example_without_labels() -> None:
    sets = [[0, 0], [1, 0]]
    found = measures(sets, [[0.1, 0.2], [0.9, 0.1]], sets)
    assert (found["sample_f1"], found["subset_accuracy"]) == (0.5, 1)


def test_report_31_probabilities_as_predictions() -> None:
    with pytest.raises(TensorError, match=r"^predictions must be 0 or 1. Got 0.1.$"):
        measures([[0, 1]], [[0.1, 0.8]], [[0.1, 0.8]])
    with pytest.raises(TensorError, match=r"^labels must be 0 or 1. Got 2.$"):
        measures([[2, np.nan]], [[0.1, 0.8]], [[0, 1]])
    with pytest.raises(TensorError, match=r"^predictions must be 0 or 1. Got 0.8.$"):
        metrics.compute_metrics(np.array([[0, 1]]), np.array([[0.1, 0.8]]), sp.csr_array([[0, 0.8]]))


def test_report_32_a_class_with_one_example() -> None:
    embeddings = np.array([[1, 0], [1, 0.1], [0, 1], [-1, 0]], np.float32)
    assert metrics.retrieval(embeddings, np.eye(3)[[0, 0, 1, 2]], at=[1]) == {"map": 1, "precision_at_1": 1}


def picture(path: Path, mode: str = "RGB", color: object = 7, **how: object) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.new(mode, (4, 8), color).save(path, **how)
    return path


def pixel(path: Path) -> list[int]:
    return np.asarray(decode_picture(path, place="x"))[0, 0].tolist()


def test_report_33_hidden_files(tmp_path: Path) -> None:
    shown = picture(tmp_path / "pictures" / "one.PNG")
    for name in (".DS_Store", "._one.png", "Thumbs.db"):
        (shown.parent / name).write_bytes(b"\0\1")
    assert data.read(shown.parent).inputs == [shown]


def test_report_34_a_truncated_picture(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-54])
    (tmp_path / "a.csv").write_text("image,labels\na.jpg,x\n")
    with pytest.raises(DataError, match=r'a.csv, line 2, column "image": the picture a.jpg is truncated'):
        data.read(tmp_path / "a.csv")


def test_report_35_a_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([255, 0, 0, *[0] * 765])
    image.save(tmp_path / "a.png", transparency=b"\x00" + b"\xff" * 255)
    assert pixel(tmp_path / "a.png") == [255, 255, 255]


def test_report_36_what_is_transparent(tmp_path: Path) -> None:
    assert pixel(picture(tmp_path / "a.png", "RGBA", (10, 20, 30, 0))) == [255, 255, 255]
    assert pixel(picture(tmp_path / "b.png", "LA", (100, 0))) == [255, 255, 255]
    frames = [Image.new("RGB", (4, 4), (60 * number, 0, 0)) for number in range(3)]
    frames[0].save(tmp_path / "c.gif", save_all=True, append_images=frames[1:])
    assert pixel(tmp_path / "c.gif") == [0, 0, 0]


def test_report_37_a_grey_picture(tmp_path: Path) -> None:
    assert pixel(picture(tmp_path / "a.png", "L")) == [7, 7, 7]
    turned = Image.Exif()
    turned[274] = 6
    assert decode_picture(picture(tmp_path / "b.jpg", color=(9, 9, 9), exif=turned), place="x").size == (8, 4)


def test_report_38_paths_of_pictures(tmp_path: Path) -> None:
    here = picture(tmp_path / "train_images" / "1.jpg", color=(9, 9, 9))
    (tmp_path / "train.csv").write_text("image,labels\ntrain_images/1.jpg,scab rust\n")
    assert data.read(tmp_path / "train.csv", separator=" ").inputs == [here]
    here.unlink()
    with pytest.raises(DataError, match=r'line 2, column "image": the picture train_images/1.jpg is missing.$'):
        data.read(tmp_path / "train.csv")


def test_report_39_a_label_set_may_end_above_the_leaves() -> None:
    tree = Hierarchy.from_parents({"A": None, "B": "A", "C": "A"})
    assert tree.close(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]])).toarray().tolist() == [
        [1, 0, 0],
        [1, 1, 0],
        [0, 0, 0],
    ]


def test_report_40_children_of_one_name(read, tmp_path: Path) -> None:
    path = tmp_path / "tree.txt"
    path.write_text("A\n  B\n    D\n      E\n  C\n    D\n      F\n")
    with pytest.raises(DataError, match=r'tree.txt, line 6: "D" occurs twice, first in line 3.$'):
        read_hierarchy(path)
    names = ("A", "B", "A > B > D", "E", "A > C > D", "F", "C")
    assert set(read_hierarchy(path, same_name="path").names) == set(names)
    sets = read("a.csv", "text,labels\nx,A > B > D\ny,A > C > D\n")[1]
    assert sets == [("A", "A > B", "A > B > D"), ("A", "A > C", "A > C > D")]


def test_report_41_a_leaf_without_data() -> None:
    clothes = Hierarchy.from_parents({"Mens": None, "Shirts": "Mens", "Swim": "Mens"})
    tree = LabelTree.over(["Mens", "Shirts"], clothes)
    assert tree.parents.toarray().tolist() == [[0, 0], [1, 0]]


def test_report_42_upper_labels_that_are_not_annotated(read) -> None:
    assert read("a.csv", "text,labels\nx,animal > cat\n")[1] == [("animal", "animal > cat")]
    tree = LabelTree.over(["cat", "animal"], Hierarchy.from_parents({"cat": "animal"}))
    assert tree.close(np.array([[1, 0]])).toarray().tolist() == [[1, 1]]


def dealt(labels: object, *fractions: float, seed: int = 0) -> list[list[int]]:
    parts = data.iterative_stratification(labels, fractions, generator=np.random.default_rng(seed))
    return [part.tolist() for part in parts]


LABELS = np.random.default_rng(0).integers(0, 2, (40, 4))


def test_report_43_a_frame_is_split() -> None:
    class Frame:
        """What a frame gives to NumPy: its values, whatever its index."""

        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
            return LABELS

    assert dealt(Frame(), 0.5, 0.5) == dealt(LABELS, 0.5, 0.5)


def test_report_44_sparse_labels_are_split() -> None:
    assert dealt(sp.csr_matrix(LABELS), 0.5, 0.5) == dealt(LABELS, 0.5, 0.5)


def test_report_45_more_than_two_parts() -> None:
    assert [len(part) for part in dealt(LABELS, 0.7, 0.2, 0.1)] == [28, 8, 4]


def test_report_46_the_seed_of_a_split() -> None:
    assert dealt(LABELS, 0.5, 0.5) == dealt(LABELS, 0.5, 0.5) != dealt(LABELS, 0.5, 0.5, seed=1)


def test_report_47_parts_do_not_overlap() -> None:
    labels = np.array([[0, 1], [1, 1], [1, 1], [0, 1]])
    for seed in range(10):
        first, second = dealt(labels, 0.5, 0.5, seed=seed)
        assert sorted(first + second) == [0, 1, 2, 3]


def test_report_48_a_label_that_only_the_test_data_have(tmp_path: Path) -> None:
    for name, label in (("train", "a;b"), ("val", "a;b"), ("test", "a;b;d")):
        (tmp_path / f"{name}.csv").write_text("text,labels\n" + f"x,{label}\n" * 3)
    splits = data.load_splits(tmp_path, seed=0)
    assert splits.vocabulary.names == ("a", "b", "d")
    told = 'no training example has 1 of 3 labels: "d". They stay in the vocabulary, but cannot be learned.'
    assert splits.warnings[0] == told


def arff(label: str, *rows: str, more: str = "", relation: str = "'m: -C 1'") -> str:
    head = f"@relation {relation}\n@attribute rich {label}\n{more}@attribute x numeric\n@data\n"
    return head + "".join(f"{row}\n" for row in rows)


def test_report_49_values_of_a_nominal_label(read, tmp_path: Path) -> None:
    for values in ("{-1,1} %{<=50K, >50K}", "{1, -1}", "{no,yes}", "{yes,no}", "{TRUE,FALSE}", "{0,1}", "{1,0}"):
        absent, present = sorted(re.findall(r"-?\w+", values.partition("%")[0]))
        for rows in ((f"{absent},2", f"{present},3"), (f"{{0 {absent},1 2}}", f"{{0 {present},1 3}}")):
            (tmp_path / "a.arff").write_text(arff(values, *rows))
            assert list(data.read(tmp_path / "a.arff").label_sets) == [(), ("rich",)], values
    (tmp_path / "a.arff").write_text(arff("{yes,no}", "{1 2}", "{0 no,1 3}"))  # what is left out is the first value
    assert list(data.read(tmp_path / "a.arff").label_sets) == [("rich",), ()]
    with pytest.raises(
        LabelError, match=r'the label "rich" must have the values 0 and 1, or such as no and yes. Got "r'
    ):
        read("a.arff", arff("{red,blue}", "red,1"))


def test_report_50_marks_within_quoted_values(tmp_path: Path) -> None:
    carbon = "@attribute carbon {'\\'B1of3\\'','\\'B2of3\\'','\\'B3of3\\''}\n"
    (tmp_path / "a.arff").write_text(arff("{0,1}", "1,'\\'B1of3\\'',5", "0,'\\'B3of3\\'',6", more=carbon))
    assert data.read(tmp_path / "a.arff").inputs.tolist() == [[1, 0, 0, 5], [0, 0, 1, 6]]


def test_report_51_sparse_rows_with_several_labels(tmp_path: Path) -> None:
    more = "@attribute b {0,1}\n"
    content = arff("{0,1}", "{0 1,2 0.5}", "{0 1, 1 1, 2 3}", "{ 2 1 }", more=more, relation="'Scene: -C 2'")
    (tmp_path / "a.arff").write_text(content)
    found = data.read(tmp_path / "a.arff")
    assert list(found.label_sets) == [("rich",), ("rich", "b"), ()]
    assert found.inputs.tolist() == [[0.5], [3], [1]]


def test_report_52_nothing_says_what_the_labels_are(read) -> None:
    with pytest.raises(
        DataError, match=r'nothing says which attributes are labels; expected Drift.xml or "-C" in the r'
    ):
        read("Drift.arff", arff("{0,1}", "1,2", relation="'generators.MultiLabel'"))


def test_report_53_an_empty_name_at_the_end(read, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('["a", "b", ""]')
    with pytest.raises(LabelError, match=r"labels.json: a label name must be text that is not empty. Got ''.$"):
        read("a.jsonl", lines({"text": "x", "labels": [0]}))


def test_report_54_libsvm(read) -> None:
    with pytest.raises(DataError, match=r'a.svm: unknown format ".svm". Known are .jsonl, .ndjson, .json, .csv, '):
        read("a.svm", "1,2 1:0.5 2:0.1\n 3:1\n")


ROWS = np.random.default_rng(0).normal(size=(60, 4))
SIGNS = (ROWS[:, :3] > 0).astype(int)
QUICK = lc.ContrastiveClassifier(encoder="embedded", epochs=1, views="probe", random_state=0)


@pytest.fixture(scope="module")
def fitted() -> lc.ContrastiveClassifier:
    return clone(QUICK).fit(ROWS, SIGNS)


@pytest.mark.slow
def test_report_55_probabilities_of_several_labels() -> None:
    found = cross_val_predict(QUICK, ROWS, SIGNS, cv=2, method="predict_proba")
    assert found.shape == (60, 3)
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.slow
def test_report_56_f1_of_several_labels() -> None:
    assert cross_val_score(QUICK, ROWS, SIGNS, cv=2, scoring="f1_micro").min() > 0.4


def test_report_57_an_estimator_is_cloned(fitted) -> None:
    assert clone(fitted).get_params() == QUICK.get_params()


def test_report_58_targets_are_a_matrix_of_strings() -> None:
    told = r"^y of shape \[60, 2\] must hold 0 and 1; label sets are a list of lists, tuples or sets.$"
    with pytest.raises(ValueError, match=told):
        clone(QUICK).fit(ROWS, np.array([["a", "d"], ["b", "e"], ["a", "f"]] * 20))


def test_report_59_probabilities_are_one_matrix(fitted) -> None:
    assert fitted.predict_proba(ROWS[:5]).shape == fitted.predict(ROWS[:5]).shape == (5, 3)


def test_report_60_examples_without_labels() -> None:
    with pytest.raises(ValueError, match=r"^y has no label: every label set is empty.$"):
        clone(QUICK).fit(ROWS, [[]] * 60)


@pytest.mark.slow
def test_report_61_one_label_an_example() -> None:
    model = clone(QUICK).fit(ROWS, np.where(SIGNS[:, 0], "yes", "no"))
    assert set(model.predict(ROWS)) == {"yes", "no"}
    np.testing.assert_allclose(model.predict_proba(ROWS).sum(axis=1), 1)


TEXTS = {"late goal": ["体育"], "close vote": ["politics"], "minister at the match": ["politics", "体育"], "rain": []}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    rows = [{"text": f"{text} {number}", "labels": labels} for number in range(20) for text, labels in TEXTS.items()]
    (folder / "data.jsonl").write_text(lines(*rows))
    values = {"data": str(folder / "data.jsonl"), "loss": {"name": "bce"}, "encoder": {"name": "hashed"}}
    training, evaluation = {"epochs": 2, "batch_size": 16}, {"views": ["probe"]}
    run_experiment(RunSettings.build({**values, "training": training, "evaluation": evaluation}), folder / "run")
    return folder / "run"


def command(*arguments: object, stdin: str = "") -> str:
    done = CliRunner().invoke(app, [str(one) for one in arguments], input=stdin)
    if done.exception:
        raise done.exception
    return done.stdout


def predicted(run: Path, stdin: str, *options: object) -> dict[str, dict[str, float]]:
    rows = map(json.loads, command("predict", run, "-", *options, stdin=stdin).splitlines())
    return {row["id"]: row["scores"] for row in rows}


def test_report_62_no_label_or_several(run: Path) -> None:
    found = lc.load(run).predict_sets([*TEXTS])
    assert [sorted(labels) for labels in found] == [sorted(labels) for labels in TEXTS.values()]


def test_report_63_the_best_labels_anyway(run: Path) -> None:
    assert predicted(run, "rain\n") == {"1": {}}
    assert len(predicted(run, "rain\n", "--top", 1)["1"]) == 1


def test_report_64_probabilities_of_all_labels(run: Path) -> None:
    assert predicted(run, "late goal\n", "--top", 9)["1"].keys() == {"体育", "politics"}
    assert lc.load(run).predict_proba(["late goal"]).shape == (1, 2)


def test_report_65_a_missing_text(tmp_path: Path) -> None:
    for missing in (None, float("nan")):
        with pytest.raises(
            ValueError, match=rf"^X must hold strings and nothing else, or numbers. X\[1\] is {missing}.$"
        ):
            clone(QUICK).fit(["a", missing] * 30, [["x"], ["y"]] * 30)
    (tmp_path / "a.jsonl").write_text(lines({"text": "a", "labels": ["x"]}, {"text": None, "labels": ["x"]}))
    with pytest.raises(DataError, match=r'a.jsonl, line 2, column "text": there is nothing; expected a text.$'):
        data.read(tmp_path / "a.jsonl")


def test_report_66_empty_lines_of_standard_input(run: Path) -> None:
    assert [*predicted(run, "late goal\n\nclose vote\n\n\nrain\n")] == ["1", "3", "6"]


def test_report_67_the_last_line_without_an_end(run: Path) -> None:
    assert predicted(run, "late goal\nclose vote", "--top", 2) == predicted(run, "late goal\nclose vote\n", "--top", 2)


@pytest.mark.parametrize("nothing", ["", "\n\n"])
def test_report_68_nothing_comes_through_the_pipe(run: Path, nothing: str) -> None:
    with pytest.raises(DataError, match=r"^<stdin>: there is nothing to read.$"):
        predicted(run, nothing)


def test_report_69_the_folder_of_a_finished_model(run: Path) -> None:
    told = "run holds a run already; continue with --resume, replace it with --force, or choose another folder."
    with pytest.raises(RunError, match=told):
        command("train", run.parent / "data.jsonl", "--out", run)


def test_report_70_resuming_what_has_ended(run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("model.safetensors")}
    command("train", run.parent / "data.jsonl", "--out", run, "--resume")
    assert {path: path.stat().st_mtime_ns for path in run.rglob("model.safetensors")} == before != {}
    with pytest.raises(ConfigError, match=r"was run with training.epochs = 2, not 5; resuming needs the same.$"):
        command("train", run.parent / "data.jsonl", "--out", run, "--resume", "--epochs", 5)


def test_report_71_a_model_on_another_machine(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "moved")
    assert predicted(tmp_path / "moved", "late goal\n", "--top", 2) == predicted(run, "late goal\n", "--top", 2)


def test_report_72_paths_of_a_model(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "A" / "b c" / "D")
    model = lc.load(f"{tmp_path}/A/b c/D/")
    assert model.predict_sets(["late goal"]) == [["体育"]]


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_report_73_letters_that_a_redirected_stream_lacks(
    run: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    words = ["labelcontrast", "describe", str(run.parent / "data.jsonl"), "--encoder", "hashed"]
    monkeypatch.setattr(sys, "argv", words)
    with io.TextIOWrapper(written, encoding=encoding) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(SystemExit, match="0"):
            main()
        monkeypatch.undo()
        printed = written.getvalue().decode(encoding)
    assert "\\u4f53\\u80b2" in printed
    assert "#####" in printed


def test_report_74_unknown_keys_of_a_config_file(tmp_path: Path) -> None:
    wrong = {"[training]\nlearnig_rate = 0.1": "training.learnig_rate", "learning_rate = 0.1": "learning_rate"}
    for content, name in wrong.items():
        (tmp_path / "a.toml").write_text(content)
        told = rf'^unknown setting "{name}" \(did you mean "training.learning_rate"\?\).$'
        with pytest.raises(ConfigError, match=told):
            command("train", "a.csv", "--out", tmp_path / "run", "--config", tmp_path / "a.toml")


def test_report_75_the_folder_is_checked_first(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds a run already"):
        command("train", tmp_path / "no data", "--out", run)


def test_report_76_a_label_that_the_model_lacks(run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,labels\na goal,politisc\n")
    told = r'a.csv, line 2, column "labels": label "politisc" is not in the vocabulary \(did you mean "politics"\?\).$'
    with pytest.raises(LabelError, match=told):
        command("evaluate", run, tmp_path / "a.csv")


def test_report_77_a_list_that_was_shortened(read) -> None:
    for cell in ("[0 1 2 ... 7 8 9]", "['a' 'b' ... 'y' 'z']", "['a', 'b', ..., 'z']"):
        with pytest.raises(
            LabelError, match=r'a.csv, line 2, column "labels": (expected a list of labels|the label E)'
        ):
            read("a.csv", f'text,labels\nx,"{cell}"\ny,"[]"\n')


def test_report_78_a_number_for_each_aspect(read) -> None:
    cells = [-2] * 4 + [1] + [-2] * 5, [-2] * 7 + [0, -2, 1]
    with pytest.raises(LabelError, match=r'a.jsonl, line 1, column "labels": .* must be 0, 1, a number between, .*-2'):
        read("a.jsonl", lines(*({"text": "x", "labels": cell} for cell in cells)))


def test_report_79_hidden_labels_are_minus_one(tmp_path: Path) -> None:
    features = {"label": {"names": ["negative", "positive"], "_type": "ClassLabel"}}
    described = json.dumps({"info": {"features": features}}).encode()
    for name, labels in (("train", [0, 1, 1]), ("test", [-1, -1, -1])):
        table = pa.table({"text": ["a", "b", "c"], "label": labels}).replace_schema_metadata(
            {b"huggingface": described}
        )
        pq.write_table(table, tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match=r'test.parquet, row 1, column "label": there is nothing; an example without'):
        data.load_splits(tmp_path, seed=0)
    for name, label in (("train", 0), ("val", 0), ("test", -1)):
        (tmp_path / "json").mkdir(exist_ok=True)
        (tmp_path / "json" / f"{name}.jsonl").write_text(lines(*[{"text": "x", "label": label}] * 3))
    told = 'no training example has 1 of 2 labels: "-1". They stay in the vocabulary, but cannot be learned.'
    assert data.load_splits(tmp_path / "json", seed=0).warnings[0] == told


def test_report_80_an_array_of_objects(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=np.zeros((2, 2)), Y=np.array([["a"], ["b", "c"]], dtype=object))
    with pytest.raises(DataError, match=r"a.npz: Y is ragged or holds objects; expected one rectangle of numbers.$"):
        data.read(tmp_path / "a.npz")
