"""ARFF of MULAN and MEKA: dense and sparse rows are the same, labels by name or by count, odd values refused."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import arff

from labelcontrast.data.columns import ColumnNames
from labelcontrast.data.official.arff import read_arff, read_arff_folder
from labelcontrast.errors import DataError

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
    examples = read_arff(written(tmp_path / "music.arff", rows), ColumnNames())
    assert np.array_equal(examples.inputs, [[0.5, 2, 0, 1, 0], [1.5, -30, 0, 0, 1]])  # type: ignore[arg-type]
    assert examples.label_sets == [("calm",), ("not sad",)]
    assert list(examples.lines) == [11, 12]


def test_the_xml_file_goes_before_the_count(tmp_path: Path) -> None:
    path = written(tmp_path / "music-train.arff", DENSE, count=-1)
    (tmp_path / "music.xml").write_text(XML)
    examples = read_arff(path, ColumnNames())
    assert examples.label_names == ("not sad", "calm")
    assert examples.dataset == "music"


def test_meka_counts_labels_from_the_front(tmp_path: Path) -> None:
    text = "@relation 'x: -C 1'\n@attribute l {0,1}\n@attribute f numeric\n@data\n1,0.5\n0,2\n"
    (tmp_path / "a.arff").write_text(text)
    examples = read_arff(tmp_path / "a.arff", ColumnNames())
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
    ours = read_arff(path, ColumnNames())
    assert np.array_equal(ours.inputs, np.array([list(row)[:3] for row in theirs.tolist()], dtype=np.float32))  # type: ignore[arg-type]
    assert ours.label_sets == [tuple(name for name in ("l0", "l1") if row[name] == b"1") for row in theirs]


def test_a_folder_of_two_files_is_two_parts(tmp_path: Path) -> None:
    written(tmp_path / "music-train.arff", DENSE)
    written(tmp_path / "music-test.arff", SPARSE)
    assert {part: len(examples) for part, examples in read_arff_folder(tmp_path, ColumnNames()).items()} == {
        "train": 2,
        "test": 2,
    }


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
def test_an_odd_row_is_refused_with_line_and_attribute(rows: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "music.arff", rows)
    with pytest.raises(DataError) as refusal:
        read_arff(path, ColumnNames())
    assert str(refusal.value) == f"{path}{message}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("@attribute a string\n", ', line 1: the attribute "a" is of type string; expected numeric or values between'),
        ("hello\n", ", line 1: expected @relation, @attribute or @data. Got 'hello'."),
        ("@relation x\n@attribute a numeric\n@data\n1\n", ": nothing says which attributes are labels; expected a.xml"),
    ],
)
def test_an_odd_head_is_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.arff"
    path.write_text(content)
    with pytest.raises(DataError) as refusal:
        read_arff(path, ColumnNames())
    assert str(refusal.value).startswith(f"{path}{message}")


def test_a_damaged_xml_file_is_refused_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path / "music.arff", DENSE)
    (tmp_path / "music.xml").write_text("<labels>\n<label")
    with pytest.raises(DataError) as refusal:
        read_arff(path, ColumnNames())
    assert str(refusal.value) == f"{tmp_path / 'music.xml'}, line 2: not XML that names labels (unclosed token)."


def test_a_label_of_the_xml_file_must_be_an_attribute(tmp_path: Path) -> None:
    path = written(tmp_path / "music.arff", DENSE)
    (tmp_path / "music.xml").write_text(XML.replace("calm", "clam"))
    with pytest.raises(DataError) as refusal:
        read_arff(path, ColumnNames())
    assert str(refusal.value) == f'{path}: there is no attribute "clam", which music.xml has as a label.'
