"""NumPy archives and ARFF files: what is written is read, and an invalid value is refused with its place."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.io import arff
from scipy.sparse import csr_array

from labelcontrast.data import feature_files
from labelcontrast.data.feature_files import read_arff, read_npz
from labelcontrast.errors import DataError

X = np.arange(6, dtype=np.float32).reshape(3, 2)


Y = np.array([[1, 0], [0, 0], [1, 1]], dtype=np.uint8)


def saved(path: Path, **content: object) -> Path:
    np.savez_compressed(path, **content)
    return path


@st.composite
def archives(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rows, width, labels = draw(st.integers(1, 6)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    numbers = {
        "f4": st.floats(-(2.0**99), 2.0**99, width=32),
        "f8": st.floats(-1e30, 1e30),
        "u1": st.integers(0, 255),
        "?": st.booleans(),
    }
    dtype = draw(st.sampled_from(sorted(numbers)))
    return draw(arrays(dtype, (rows, width), elements=numbers[dtype])), draw(
        arrays("u1", (rows, labels), elements=st.integers(0, 1))
    )


@settings(deadline=None, max_examples=30)
@given(archives())
def test_a_written_archive_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, archive: tuple[np.ndarray, np.ndarray]
) -> None:
    features, hot = archive
    names = [f"tag {number}" for number in range(hot.shape[1])]
    path = saved(tmp_path_factory.mktemp("npz") / "a.npz", X=features, Y=hot, label_names=names)
    examples = read_npz(path)
    assert isinstance(examples.inputs, np.ndarray)
    assert examples.inputs.dtype == np.float32
    np.testing.assert_array_equal(examples.inputs, features.astype(np.float32))
    assert examples.label_sets == [tuple(name for name, on in zip(names, row, strict=True) if on) for row in hot]
    assert examples.label_names == tuple(names)


def test_other_names_and_a_split_are_understood(tmp_path: Path) -> None:
    examples = read_npz(saved(tmp_path / "a.npz", features=X, labels=Y, split=[0, 2, 1]))
    assert examples.label_sets == [("label_0",), (), ("label_0", "label_1")]
    assert (examples.splits, examples.ids) == (["train", "val", "test"], ["1", "2", "3"])
    assert examples.understood == f"{tmp_path / 'a.npz'}: 3 rows of 2 features; 2 labels"


def test_without_labels_there_are_none(tmp_path: Path) -> None:
    assert read_npz(saved(tmp_path / "a.npz", X=X)).label_sets is None


def broken(value: float) -> np.ndarray:
    features = X.astype(np.float64)
    features[2, 1] = value
    return features


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"X": broken(np.nan), "Y": Y}, "X[2, 1] is nan; features are finite numbers in 32 bits."),
        ({"X": broken(1e300), "Y": Y}, "X[2, 1] is 1e+300; features are finite numbers in 32 bits."),
        (
            {"X": np.array([[1, 2], [3]], dtype=object), "Y": Y},
            "X is ragged or holds objects; expected one rectangle of numbers.",
        ),
        ({"X": X[0], "Y": Y}, "X must be numbers [examples, features]. Got float32 [2]."),
        ({"X": X.astype(str), "Y": Y}, "X must be numbers [examples, features]. Got <U32 [3, 2]."),
        ({"X": X[:0], "Y": Y[:0]}, "X must be numbers [examples, features]. Got float32 [0, 2]."),
        ({"X": X, "Y": Y[:2]}, "Y must be 0 and 1 [3 examples, labels]. Got uint8 [2, 2]."),
        ({"X": X, "Y": Y * 2}, "Y[0, 0] must be 0, 1, a number between, or NaN or -1 where it is unknown. Got 2."),
        ({"X": X, "Y": Y, "label_names": ["a"]}, "there are 1 label_names, but Y has 2 columns."),
        ({"X": X, "Y": Y, "label_names": ["a", "a"]}, 'label "a" occurs twice in the vocabulary.'),
        ({"X": X, "Y": Y, "split": [0, 1, 3]}, "split must be 3 numbers, each 0 (train), 1 (test) or 2 (val)."),
        (
            {"X": X, "Y": Y, "label_names": np.array(["a", "b"], object)},
            "label_names is ragged or holds objects; expected names; save names as text: np.array(names, dtype=str).",
        ),
        ({"X": X, "Y": Y, "label_names": Y}, "label_names must be a list of names. Got uint8 [3, 2]."),
        (
            {"X": X, "Y_data": [], "Y_indices": np.zeros(0, int), "Y_indptr": np.zeros(4, int), "Y_shape": [3, 2**40]},
            "there are 1,099,511,627,776 labels without names; expected at most 4,194,304.",
        ),
        ({"x": X, "Y": Y}, 'there is no array "X" or "features"; the arrays are "x", "Y".'),
    ],
)
def test_an_invalid_archive_is_refused(content: dict[str, object], message: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", **content)
    with pytest.raises(DataError) as refusal:
        read_npz(path)
    assert str(refusal.value) == f"{path}: {message}"


@pytest.mark.parametrize("content", [b"not an archive", b"PK\x03\x04 broken"])
def test_a_damaged_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(DataError) as refusal:
        read_npz(path)
    assert str(refusal.value) == f"{path}: not a NumPy archive that can be read."


def test_names_of_bytes_and_a_small_y_are_read_and_the_rest_is_named(tmp_path: Path) -> None:
    examples = read_npz(saved(tmp_path / "a.npz", X=X, y=Y, label_names=[b"a", b"b"], weights=[1.0]))
    assert examples.label_names == ("a", "b")
    assert examples.label_sets == read_npz(saved(tmp_path / "b.npz", X=X, Y=Y, label_names=["a", "b"])).label_sets
    assert examples.understood.endswith('3 rows of 2 features; 2 labels; not used: "weights"')


def claiming(path: Path, shape: str, *, content: bytes = b"", pressed: bool = False) -> Path:
    """Write an archive whose X claims a shape."""
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if pressed else zipfile.ZIP_STORED) as archive:
        archive.writestr("X.npy", b"\x93NUMPY\x01\0" + len(head).to_bytes(2, "little") + head.encode() + content)
    return path


def test_an_array_larger_than_its_file_is_refused_before_memory_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"X is cut: it has 128 bytes for float64 \[1000000000000, 8\]\."):
        read_npz(claiming(tmp_path / "a.npz", "(1000000000000, 8)"))
    monkeypatch.setattr(feature_files, "PACKED", 10_000)
    with pytest.raises(DataError, match=r"X unpacks \d+ bytes to 800,128; save it without compression\."):
        read_npz(claiming(tmp_path / "b.npz", "(100000, 1)", content=bytes(800_000), pressed=True))


def test_a_label_that_a_row_names_twice_counts_once(tmp_path: Path) -> None:
    parts = {"Y_indices": [0, 1, 0, 1], "Y_indptr": [0, 3, 4, 4], "Y_shape": [3, 2]}
    examples = read_npz(saved(tmp_path / "a.npz", X=X, Y_data=[1, np.nan, 1, 1], **parts))
    assert examples.label_sets == [("label_0",), ("label_1",), ()]
    assert repr(examples.values) == "[{'label_1': nan}, {}, {}]"
    with pytest.raises(DataError, match=r"row 0 has two values for label 0: 1 and 0\.5\."):
        read_npz(saved(tmp_path / "b.npz", X=X, Y_data=[1, 1, 0.5, 1], **parts))


def test_labels_may_be_soft_or_unknown(tmp_path: Path) -> None:
    soft = np.array([[1, 0.25], [np.nan, 0.75], [-1, 0]])
    examples = read_npz(saved(tmp_path / "a.npz", X=X, Y=soft))
    assert examples.label_sets == [("label_0",), ("label_1",), ()]
    assert repr(examples.values) == "[{'label_1': 0.25}, {'label_0': nan, 'label_1': 0.75}, {'label_0': nan}]"


def test_labels_may_be_sparse(tmp_path: Path) -> None:
    matrix = csr_array(Y)
    parts = {"Y_data": matrix.data, "Y_indices": matrix.indices, "Y_indptr": matrix.indptr, "Y_shape": matrix.shape}
    sparse = read_npz(saved(tmp_path / "a.npz", X=X, **parts))
    dense = read_npz(saved(tmp_path / "b.npz", X=X, Y=Y))
    assert sparse.label_sets == dense.label_sets
    assert sparse.label_names == dense.label_names
    with pytest.raises(DataError, match="expected a CSR matrix in"):
        read_npz(saved(tmp_path / "c.npz", X=X, Y_data=matrix.data))
    with pytest.raises(DataError, match="Y has 3 rows, but there are 2 examples"):
        read_npz(saved(tmp_path / "d.npz", X=X[:2], **parts))


HEAD = """% a remark
@relation 'music: -C {count}'

@attribute 'beat, mean' numeric
@attribute tempo REAL
@attribute key {{major,minor,'no key'}}
@attribute calm {{0,1}}
@attribute 'not sad' {{0,1}}

@data
"""


XML = """<?xml version="1.0" encoding="utf-8"?>
<labels xmlns="http://mulan.sourceforge.net/labels">
<label name="not sad"></label>
<label name="calm"></label>
</labels>
"""


DENSE = "0.5,2,minor,1,0\n1.5,-3e1,'no key',0,1\n"


SPARSE = "{0 0.5, 1 2, 2 minor, 3 1}\n{0 1.5,1 -3e1,2 'no key',4 1}\n"


def written(path: Path, rows: str, count: int = -2) -> Path:
    path.write_text(HEAD.format(count=count) + rows)
    return path


@pytest.mark.parametrize("rows", [DENSE, SPARSE])
def test_dense_and_sparse_rows_are_the_same(rows: str, tmp_path: Path) -> None:
    examples = read_arff(written(tmp_path / "music.arff", rows))
    assert np.array_equal(examples.inputs, [[0.5, 2, 0, 1, 0], [1.5, -30, 0, 0, 1]])  # type: ignore[arg-type]
    assert examples.label_sets == [("calm",), ("not sad",)]
    assert list(examples.lines) == [11, 12]


def test_the_xml_file_overrides_the_count(tmp_path: Path) -> None:
    path = written(tmp_path / "music-train.arff", DENSE, count=-1)
    (tmp_path / "music.xml").write_text(XML)
    examples = read_arff(path)
    assert examples.label_names == ("not sad", "calm")
    assert examples.dataset == "music"


def test_meka_counts_labels_from_the_front(tmp_path: Path) -> None:
    text = "@relation 'x: -C 1'\n@attribute l {0,1}\n@attribute f numeric\n@data\n1,0.5\n0,2\n"
    (tmp_path / "a.arff").write_text(text)
    examples = read_arff(tmp_path / "a.arff")
    assert (examples.label_sets, examples.inputs.tolist()) == ([("l",), ()], [[0.5], [2.0]])  # type: ignore[union-attr]


def test_numbers_are_those_that_scipy_reads(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    table = np.column_stack([random.normal(size=(20, 3)), random.integers(0, 2, (20, 2))])
    head = "@relation 'r: -C -2'\n" + "".join(f"@attribute f{i} numeric\n" for i in range(3))
    head += "".join(f"@attribute l{i} {{0,1}}\n" for i in range(2)) + "@data\n"
    rows = "".join(
        ",".join([*map(repr, map(float, row[:3])), *(str(int(cell)) for cell in row[3:])]) + "\n" for row in table
    )
    path = tmp_path / "r.arff"
    path.write_text(head + rows)
    theirs, _ = arff.loadarff(path)
    ours = read_arff(path)
    assert np.array_equal(ours.inputs, np.array([list(row)[:3] for row in theirs.tolist()], dtype=np.float32))  # type: ignore[arg-type]
    assert ours.label_sets == [tuple(name for name in ("l0", "l1") if row[name] == b"1") for row in theirs]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0.5,2,minor,1\n", ", line 11: 4 values that fit, but 5 attributes. Got '0.5,2,minor,1'."),
        ("{9 1}\n", ", line 11: 0 values that fit, but 5 attributes. Got '{9 1}'."),
        ("x,2,minor,1,0\n", ", line 11: the attribute \"beat, mean\" must be a finite number. Got 'x'."),
        ("?,2,minor,1,0\n", ", line 11: the attribute \"beat, mean\" must be a finite number. Got '?'."),
        ("nan,2,minor,1,0\n", ", line 11: the attribute \"beat, mean\" must be a finite number. Got 'nan'."),
        (
            "1,2,flat,1,0\n",
            ', line 11: the attribute "key" must be one of "major", "minor", "no key". Got \'flat\'.',
        ),
        ("1,2,minor,2,0\n", ', line 11: the label "calm" must be 0 or 1. Got 2.'),
        ("", ": there is no @attribute or no row behind @data."),
    ],
)
def test_an_invalid_row_is_refused_with_line_and_attribute(rows: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "music.arff", rows)
    with pytest.raises(DataError) as refusal:
        read_arff(path)
    assert str(refusal.value) == f"{path}{message}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("@attribute a string\n", ', line 1: the attribute "a" is of type string; expected numeric or values between'),
        ("hello\n", ", line 1: expected @relation, @attribute or @data. Got 'hello'."),
        ("@relation x\n@attribute a numeric\n@data\n1\n", ": nothing says which attributes are labels; expected a.xml"),
    ],
)
def test_an_invalid_head_is_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.arff"
    path.write_text(content)
    with pytest.raises(DataError) as refusal:
        read_arff(path)
    assert str(refusal.value).startswith(f"{path}{message}")


def test_a_damaged_xml_file_is_refused_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path / "music.arff", DENSE)
    (tmp_path / "music.xml").write_text("<labels>\n<label")
    with pytest.raises(DataError) as refusal:
        read_arff(path)
    assert str(refusal.value) == f"{tmp_path / 'music.xml'}, line 2: not XML (unclosed token)."


def test_a_label_of_the_xml_file_must_be_an_attribute(tmp_path: Path) -> None:
    path = written(tmp_path / "music.arff", DENSE)
    (tmp_path / "music.xml").write_text(XML.replace("calm", "clam"))
    with pytest.raises(DataError) as refusal:
        read_arff(path)
    assert str(refusal.value) == f'{path}: there is no attribute "clam", which music.xml has as a label.'
