"""Mutated inputs for readers, settings, hierarchies and run folders: each is read, or refused by an error of ours.

``python tests/fuzzing.py 100000`` runs this number of inputs, and prints the figures and every failure with its number,
from which ``python tests/fuzzing.py 1 --first NUMBER`` makes the same input again. ``--out FILE`` keeps the figures as
JSON, and continues from them after a kill.
"""

import argparse
import gzip
import json
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from scipy.sparse import csr_array

from labelcontrast.data.readers import read
from labelcontrast.data.splits import load_splits
from labelcontrast.encoders.pictures import decode_picture
from labelcontrast.errors import LabelContrastError
from labelcontrast.files import read_json, write_json
from labelcontrast.labels.hierarchy_files import read_hierarchy
from labelcontrast.labels.vocabulary import LabelVocabulary
from labelcontrast.run.machine import describe_origin
from labelcontrast.run.model import load
from labelcontrast.settings import RunSettings, override, parse_losses, read_settings

SECONDS = 5
"""The longest that an input may take."""
MEMORY = 2**30
"""The bytes that all inputs together may take beyond what the process takes at the start."""
EARLIER_RUN = Path(__file__).parent / "earlier_version" / "run"
TEXTS = ["a goal in the last minute", "a vote in parliament", "né: the match was lost", "rain, and more rain"]
TOKENS = [
    *"[]{}()<>\"'`,;:|\t\n\r#%&\\/ \0\x1b=-.0123456789",
    *[
        "null",
        "true",
        "NaN",
        "Infinity",
        "-1",
        "0.5",
        "1e999",
        "9" * 400,
        "9" * 5000,
        "\\ud83d",
        "\ufeff",
        "\ud7ff",
        "é",
    ],
    *[
        "nan",
        "None",
        "TRUE",
        "[" * 3000,
        '{"a":' * 2000,
        "['a' 'b']",
        "{'a'}",
        "('a',)",
        "[0 1 0]",
        "array([",
        " > ",
        "a > b",
    ],
    *[
        "__class__",
        "../../etc/passwd",
        "~/x",
        "::",
        "=1+1",
        "<script>",
        "&#0;",
        "&#99999999;",
        "<!ENTITY a '&a;'>",
        "%s%n",
    ],
]
AT_ONCE = 1000
Rows = list[dict[str, object]]


class Input(NamedTuple):
    """A valid input that is mutated: what writes it to a folder, and what reads it there."""

    write: Callable[[Path], object]
    read: Callable[[Path], object]


def rows(number: int = 12) -> Rows:
    names = [["sports"], ["politics", "news"], [], ["news"]]
    return [{"id": str(row), "text": TEXTS[row % 4], "labels": names[row % 4]} for row in range(number)]


def as_lines(table: Rows) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table)


def as_csv(table: Rows, mark: str = ",", join: str = ";") -> str:
    lines = [mark.join(["id", "text", "tags"])]
    lines += [mark.join([str(row["id"]), f'"{row["text"]}"', f'"{join.join(row["labels"])}"']) for row in table]  # type: ignore[arg-type]
    return "\n".join(lines) + "\n"


def text_file(name: str, content: str | bytes) -> Callable[[Path], object]:
    raw = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)


def files(**contents: str | bytes) -> Callable[[Path], object]:
    """Write several files; two underscores in a name are a dot, three a slash."""

    def write(folder: Path) -> None:
        for name, content in contents.items():
            path = folder / name.replace("___", "/").replace("__", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def write_parquet(folder: Path) -> None:
    classes = {"names": ["sports", "news"], "_type": "ClassLabel"}
    features = {"text": {"dtype": "string", "_type": "Value"}, "labels": {"feature": classes, "_type": "List"}}
    table = pa.table({"text": TEXTS, "labels": [[0], [1, 0], [], [1]]})
    described = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(described), folder / "a.parquet", compression="none")


def write_saved(folder: Path) -> None:
    """Write a folder as ``save_to_disk`` does."""
    table = pa.table({"text": TEXTS, "label": pa.array([0, 1, 0, 1])})
    with pa.ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), table.schema) as writer:
        writer.write_table(table)
    features = {"text": {"_type": "Value"}, "label": {"_type": "ClassLabel", "names": ["x", "y"]}}
    text_file("dataset_info.json", json.dumps({"features": features}))(folder)
    text_file("state.json", json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))(folder)


def write_npz(folder: Path, *, sparse: bool = False) -> None:
    labels = np.eye(12, 3, dtype=np.uint8)
    matrix = csr_array(labels)
    parts = {"Y_data": matrix.data, "Y_indices": matrix.indices, "Y_indptr": matrix.indptr, "Y_shape": matrix.shape}
    own = parts if sparse else {"Y": labels}
    named = {"label_names": ["a", "b", "c"], "split": np.arange(12) % 3}
    np.savez(folder / "a.npz", X=np.arange(24.0).reshape(12, 2), **own, **named)  # type: ignore[arg-type]


def write_pictures(folder: Path, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / f"a.{kind}")


def write_16_bit(folder: Path) -> None:
    Image.fromarray(np.arange(144, dtype=np.uint16).reshape(12, 12) * 300).save(folder / "a.tiff")


def read_file(folder: Path) -> None:
    """Read the one file of a folder that is not about labels, and use all of it, as a run does."""
    use(read(next(path for path in sorted(folder.iterdir()) if path.name != "labels.json")))


def read_folder(folder: Path) -> None:
    for examples in load_splits(folder, seed=0).by_name.values():
        use(examples)


def use(examples: object) -> None:
    inputs, sets = examples.inputs, examples.label_sets  # type: ignore[attr-defined]
    written = [*examples.ids, examples.understood, *(sets or [()])[0], examples.where_labels(0)]  # type: ignore[attr-defined]
    written += [item for item in inputs if isinstance(item, str)]
    "".join(written).encode()  # everything can be printed
    list(sets or [])


def decode(folder: Path) -> None:
    path = next(iter(sorted(folder.iterdir())))
    decode_picture(path, place="").resize((8, 8))
    decode_picture(path.read_bytes(), place="bytes")


def use_hierarchy(folder: Path) -> None:
    found = read_hierarchy(next(iter(sorted(folder.iterdir()))))
    found.to_parents()
    assert found.ancestors.shape[0] == len(found.names)


def use_run(folder: Path) -> None:
    """Load a run folder and predict by it, as it is and as a model; it is from before folders had a manifest."""
    proba = load(folder).predict_proba(np.zeros((2, 6), dtype=np.float32))
    assert np.isfinite(proba).all(), "probabilities that are not finite"


def read_toml(folder: Path) -> None:
    RunSettings.build(read_settings(folder / "a.toml"))


def set_values(folder: Path) -> None:
    lines = (folder / "set.txt").read_bytes().decode(errors="replace").splitlines()
    RunSettings.build(override({"data": "a"}, lines))


def parse_loss_names(folder: Path) -> None:
    for line in (folder / "losses.txt").read_bytes().decode(errors="replace").splitlines():
        for loss in parse_losses(line):
            RunSettings.build({"data": "a", "loss": loss.model_dump(exclude_none=True)})


STORY = (
    '<REUTERS TOPICS="YES" LEWISSPLIT="{0}" NEWID="{1}">\n<TOPICS><D>cocoa</D></TOPICS>\n'
    "<TEXT>&#2;\n<TITLE>A &lt;B></TITLE><BODY>Showers&#3;</BODY></TEXT>\n</REUTERS>\n"
)
ARFF = "@relation 'music: -C 2'\n@attribute rock {0,1}\n@attribute pop {0,1}\n@attribute beat numeric\n@data\n" + (
    "0,1,2.5\n1,0,3\n{1 1, 2 4}\n" * 4
)
XML = "<annotation><object><name>cat</name><difficult>0</difficult></object></annotation>"
NEWS = (
    '<newsitem itemid="2286"><headline>A</headline><text><p>B</p></text><metadata><codes class="bip:topics:1.0">'
    '<code code="C1"/></codes></metadata></newsitem>'
)
BOOK = (
    "<book><title>A</title><body>B</body><metadata><topics><d0>Fiction</d0><d1>Crime</d1></topics><isbn>978</isbn>"
    "</metadata></book>\n"
)
COCO = json.dumps(
    {
        "images": [{"id": row, "file_name": "1.png"} for row in range(12)],
        "annotations": [{"image_id": row, "category_id": 3, "iscrowd": 0} for row in range(12)],
        "categories": [{"id": 3, "name": "cat"}],
    }
)
TREE = "animal\n  cat\n  dog\n    puppy\nplant\n  rose\n"
TOML = (
    'data = "a.csv"\nseed = 3\n[loss]\nname = "reg"\nalpha = 0.5\n[training]\nepochs = 3\n'
    '[columns]\nlabels = ["a", "b"]\n'
)
SETS = "training.epochs=3\nloss.name=reg\ncolumns.labels=['a','b']\nfractions=[0.7,0.1,0.2]\nencoder.image_size=32\n"

INPUTS: dict[str, Input] = {
    "jsonl": Input(text_file("a.jsonl", as_lines(rows())), read_file),
    "jsonl values": Input(
        text_file("a.jsonl", as_lines([{"text": text, "labels": {"a": 1, "b": 0.5, "c": None}} for text in TEXTS])),
        read_file,
    ),
    "jsonl multi-hot": Input(
        text_file("a.jsonl", as_lines([{"text": text, "labels": [1, 0, 1, 1]} for text in TEXTS])), read_file
    ),
    "jsonl numbers": Input(
        files(a__jsonl=as_lines([{"text": text, "labels": [1, 0]} for text in TEXTS]), labels__json='["x", "y"]'),
        read_file,
    ),
    "json list": Input(text_file("a.json", json.dumps(rows(), indent=1)), read_file),
    "jsonl.gz": Input(text_file("a.jsonl.gz", as_lines(rows())), read_file),
    "csv": Input(text_file("a.csv", as_csv(rows())), read_file),
    "csv lists": Input(
        text_file("a.csv", "text,labels\n" + "".join(f"{text.split(',')[0]},\"['a', 'b']\"\n" for text in TEXTS)),
        read_file,
    ),
    "csv values": Input(
        text_file("a.csv", "text,a,b,c\n" + "".join(f"x{row},{row % 2},0.0,-1\n" for row in range(9))), read_file
    ),
    "tsv": Input(text_file("a.tsv", as_csv(rows(), "\t", "|")), read_file),
    "csv.gz": Input(text_file("a.csv.gz", as_csv(rows())), read_file),
    "txt": Input(text_file("a.txt", "\n".join(TEXTS)), read_file),
    "parquet": Input(write_parquet, read_file),
    "saved": Input(write_saved, lambda folder: use(read(folder))),
    "npz": Input(write_npz, read_file),
    "npz sparse": Input(lambda folder: write_npz(folder, sparse=True), read_file),
    "arff": Input(text_file("a.arff", ARFF), read_file),
    "splits": Input(
        files(
            train__jsonl=as_lines(rows(20)),
            dev_split__jsonl=as_lines(rows()),
            test__csv=as_csv(rows()).replace("tags", "labels"),
        ),
        read_folder,
    ),
    "reuters": Input(
        files(
            **{
                "reut2-000__sgm": "<!DOCTYPE lewis>\n"
                + "".join(STORY.format(("TRAIN", "TEST")[row % 2], row) for row in range(8))
            }
        ),
        read_folder,
    ),
    "semeval": Input(
        files(
            **{
                f"2018-E-c-En-{part}__txt": "ID\tTweet\tanger\tjoy\nx\thi\t0\t1\ny\tno\t1\t0\n"
                for part in ("train", "dev", "test-gold")
            }
        ),
        read_folder,
    ),
    "goemotions": Input(
        files(
            emotions__txt="joy\nfear\n",
            **{f"{part}__tsv": "hi\t0\ta\nno\t1,0\tb\n" for part in ("train", "dev", "test")},
        ),
        read_folder,
    ),
    "aapd": Input(
        files(
            **{
                f"{what}_{part}": text
                for part in ("train", "val", "test")
                for what, text in (("text", "a\nb\n"), ("label", "cs.it\nstat.ml math.it\n"))
            }
        ),
        read_folder,
    ),
    "blurbs": Input(
        files(
            hierarchy__txt="Fiction\tCrime\n",
            **{f"BlurbGenreCollection_EN_{part}__txt": 3 * BOOK for part in ("train", "dev", "test")},
        ),
        read_folder,
    ),
    "rcv1": Input(
        files(
            **{
                "lyrl2004_tokens_train__dat": "".join(f".I {2286 + row}\n.W\nword {row}\n\n" for row in range(12)),
                "lyrl2004_tokens_test_pt0__dat": ".I 26151\n.W\nx\n",
                "rcv1-v2__topics__qrels": "".join(f"C{row % 2 + 1} {2286 + row} 1\n" for row in range(12))
                + "C1 26151 1\n",
                "rcv1__topics__hier__orig": "parent: None  child: Root\nparent: Root  child: C1\nparent: C1 child: C2",
            }
        ),
        read_folder,
    ),
    "rcv1 discs": Input(
        files(**{f"{row}newsML__xml": NEWS.replace("2286", str(row)) for row in (*range(2286, 2298), 26151)}),
        read_folder,
    ),
    "xmc": Input(
        files(**{f"eurlex_{part}__txt": "12 5 3\n" + 6 * "0,2 1:0.5 4:1\n1 0:2\n" for part in ("train", "test")}),
        read_folder,
    ),
    "voc": Input(
        files(
            VOC2007___Annotations___1__xml=XML,
            VOC2007___ImageSets___Main___trainval__txt=12 * "1\n",
            VOC2007___ImageSets___Main___test__txt="1\n",
            VOC2007___JPEGImages___1__jpg=b"",
        ),
        lambda folder: load_splits(folder, seed=0, check_pictures=False),
    ),
    "coco": Input(
        files(
            annotations___instances_train2014__json=COCO,
            annotations___instances_val2014__json=COCO,
            train2014___1__png=b"",
            val2014___1__png=b"",
        ),
        lambda folder: load_splits(folder, seed=0, check_pictures=False),
    ),
    **{
        kind: Input(lambda folder, kind=kind: write_pictures(folder, kind), decode)
        for kind in ("png", "jpg", "gif", "bmp", "tiff", "webp", "ppm")
    },  # type: ignore[misc]
    "tiff of 16 bits": Input(write_16_bit, decode),
    "vocabulary": Input(
        text_file("labels.json", '["sports", "news"]'), lambda folder: LabelVocabulary.load(folder / "labels.json")
    ),
    "parent map": Input(
        text_file("h.json", '{"cat": "animal", "puppy": ["dog"], "dog": ["animal", "pet"], "pet": null, "animal": []}'),
        use_hierarchy,
    ),
    "edge list": Input(text_file("h.csv", "child,parent\ncat,animal\ndog,animal\nanimal,\n"), use_hierarchy),
    "indented": Input(text_file("h.txt", TREE), use_hierarchy),
    "paths": Input(text_file("h.paths", "a > b > c\na > d\n"), use_hierarchy),
    "run folder": Input(lambda folder: shutil.copytree(EARLIER_RUN, folder, dirs_exist_ok=True), use_run),
    "settings": Input(text_file("a.toml", TOML), read_toml),
    "set": Input(text_file("set.txt", SETS), set_values),
    "loss": Input(
        text_file("losses.txt", "reg:alpha=1:temperature=0.2,zlpr+0.5*reg\nbce\nsimclr:queue_size=8\n"),
        parse_loss_names,
    ),
}
NAMES = list(INPUTS)


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Change bytes, remove, repeat, cut or swap parts, and insert what readers trip over; a few times."""
    found = bytearray(content)
    for _ in range(chance.choice([1, 1, 1, 2, 3, 8])):
        place, other = sorted(chance.randrange(len(found) + 1) for _ in range(2))
        other = min(other, place + chance.choice([1, 4, 40, 4000]))
        kind = chance.randrange(8)
        if kind == 0 and place < len(found):
            found[place] ^= 1 << chance.randrange(8)
        elif kind == 1 and place < len(found):
            found[place] = chance.randrange(256)
        elif kind == 2:
            del found[place:other]
        elif kind == 3:
            found[place:place] = found[place:other] * chance.choice([1, 2, 30])
        elif kind == 4:
            del found[place:]
        elif kind == 5:
            words = list(re.finditer(rb"\w+", found))
            if words:
                word = chance.choice(words)
                found[word.start() : word.end()] = chance.choice(TOKENS).encode(errors="surrogatepass")
        elif kind == 6:
            found[place:place] = chance.randbytes(chance.choice([1, 2, 4, 8]))
        else:
            found[place:place] = chance.choice(TOKENS).encode(errors="surrogatepass")
    return bytes(found)


class TooSlow(BaseException):
    """An input takes too long; no handler of errors catches it."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TooSlow after some seconds."""

    def stop(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_one(number: int, folder: Path) -> str:
    """Mutate an input and read it: ``read``, ``refused``, or the failure with its place."""
    chance = random.Random(number)
    name = NAMES[number % len(NAMES)]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    INPUTS[name].write(folder)
    path = chance.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    content = path.read_bytes()
    if path.suffix == ".gz" and chance.random() < 0.5:
        path.write_bytes(gzip.compress(mutate(gzip.decompress(content), chance)))
    else:
        path.write_bytes(mutate(content, chance))
    try:
        with limited(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("error")
            INPUTS[name].read(folder)
    except LabelContrastError as refusal:
        return "refused" if str(refusal).encode() else f"{name}: a refusal without a word"  # it can be printed
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "labelcontrast" in frame.filename]
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
        return f"{name}: {type(error).__name__} at {place}: {str(error)[:90]!r}"
    return "read"


def run(numbers: range) -> tuple[Counter[str], list[str]]:
    """Run inputs; return how many were read, refused or failed, and the failures with their numbers."""
    counts: Counter[str] = Counter()
    failures = []
    memory = peak_memory()
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            outcome = run_one(number, Path(folder) / "input")
            counts[outcome if outcome in {"read", "refused"} else "failed"] += 1
            if peak_memory() > memory + MEMORY:
                outcome, memory = f"{NAMES[number % len(NAMES)]}: more than a gigabyte", peak_memory()
                counts["failed"] += 1
            if outcome not in {"read", "refused"}:
                failures.append(f"{number}: {outcome}")
    return counts, failures


def peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("number", type=int, help="How many inputs.")
    parser.add_argument("--first", type=int, default=0, help="The number of the first input.")
    parser.add_argument("--out", type=Path, help="JSON file that keeps the figures; an earlier one is continued.")
    given = parser.parse_args()
    total: Counter[str] = Counter()
    found: list[str] = []
    seconds = 0.0
    if given.out and given.out.exists():
        before = read_json(given.out)
        total, found, seconds = Counter(before["inputs"]), before["failures"], before["seconds"]
    while total.total() < given.number:
        start = given.first + total.total()
        begun = time.monotonic()
        counts, failures = run(range(start, min(start + AT_ONCE, given.first + given.number)))
        total, found, seconds = total + counts, found + failures, seconds + time.monotonic() - begun
        if given.out:
            kept = {"inputs": dict(total), "failures": found, "seconds": round(seconds), "kinds": len(NAMES)}
            write_json(given.out, {**kept, "first": given.first, **describe_origin()})
    sys.stdout.write("\n".join([*found, f"{total.total():,} inputs in {seconds:,.0f} s: {dict(total)}"]) + "\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
