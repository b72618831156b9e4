"""Pictures: complete ones pass, in every format; missing and damaged ones are refused with their line."""

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from labelcontrast.data.columns import ColumnNames, examples_of
from labelcontrast.data.examples import Inputs
from labelcontrast.data.picture_files import picture_problem, pictures_in, read_picture_folder
from labelcontrast.data.table import ArrowColumn, DataTable
from labelcontrast.encoders.pictures import decode_picture
from labelcontrast.errors import DataError


def draw(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-400])
    return path


def as_bytes(*pictures: bytes) -> DataTable:
    column = ArrowColumn(pa.chunked_array([list(pictures)]))
    return DataTable(
        origin="train.parquet", columns={"image": column}, lines=range(1, len(pictures) + 1), counted="row"
    )


def named(*names: object) -> DataTable:
    return DataTable(origin="train.jsonl", columns={"image": list(names)}, lines=range(1, len(names) + 1))


def pictures_of(table: DataTable, folder: Path, *, check: bool = True) -> Inputs:
    return examples_of([replace(table, folder=folder)], ColumnNames(image="image", check_pictures=check))[0].inputs


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp", "a.webp", "a.gif", "a.tiff"])
def test_a_complete_picture_passes(name: str, tmp_path: Path) -> None:
    assert picture_problem(draw(tmp_path / name)) is None


def test_a_complete_picture_with_trailing_bytes_passes(tmp_path: Path) -> None:
    path = draw(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes() + bytes(1000))
    assert picture_problem(path) is None


def test_damage_in_the_middle_is_found_by_decoding(tmp_path: Path) -> None:
    path = draw(tmp_path / "a.png")
    content = bytearray(path.read_bytes())
    content[300:340] = bytes(40)
    path.write_bytes(content)
    assert picture_problem(path) is None
    assert str(picture_problem(path, decode=True)).startswith("cannot be read (")
    assert picture_problem(draw(path), decode=True) is None


def test_a_small_file_of_very_many_pixels_is_refused(tmp_path: Path) -> None:
    row = zlib.compress(bytes(12_500))
    size = struct.pack(">II", 100_000, 10_000)
    chunks = [(b"IHDR", size + b"\x01\0\0\0\0"), (b"IDAT", row), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    problem = "cannot be read (it has more than 89 million pixels; store a smaller copy)"
    assert picture_problem(tmp_path / "a.png") == problem
    with pytest.raises(DataError, match="more than 89 million pixels"):
        decode_picture(tmp_path / "a.png", place="")


def test_pictures_are_found_beside_the_file(tmp_path: Path) -> None:
    paths = [draw(tmp_path / "images" / "b.jpg"), draw(tmp_path / "images" / "a.png")]
    assert pictures_of(named("images/b.jpg", "images/a.png"), tmp_path) == paths


@pytest.mark.parametrize("name", ["b.jpg", "b.png"])
def test_a_truncated_picture_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    draw(tmp_path / "a.jpg")
    cut(draw(tmp_path / name))
    with pytest.raises(DataError) as refusal:
        pictures_of(named("a.jpg", name), tmp_path)
    assert str(refusal.value) == f'train.jsonl, line 2, column "image": the picture {name} is truncated.'


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.jpg", "the picture gone.jpg is missing."),
        ("text.jpg", "the picture text.jpg is not a picture that can be read."),
        ("empty.jpg", "the picture empty.jpg is not a picture that can be read."),
        (None, "there is nothing; expected the name of a picture."),
        ("", "there is nothing; expected the name of a picture."),
    ],
)
def test_anything_else_is_refused_with_its_line(name: str | None, message: str, tmp_path: Path) -> None:
    draw(tmp_path / "a.jpg")
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(DataError) as refusal:
        pictures_of(named("a.jpg", name), tmp_path)
    assert str(refusal.value) == f'train.jsonl, line 2, column "image": {message}'


def test_bytes_are_pictures_too(tmp_path: Path) -> None:
    whole = draw(tmp_path / "a.png").read_bytes()
    pictures = pictures_of(as_bytes(whole, whole), tmp_path)
    assert list(pictures) == [whole, whole]
    assert picture_problem(whole) is None


def test_truncated_bytes_are_refused_with_row_and_column(tmp_path: Path) -> None:
    whole = draw(tmp_path / "a.png").read_bytes()
    with pytest.raises(DataError) as refusal:
        pictures_of(as_bytes(whole, whole[:-400]), tmp_path)
    assert str(refusal.value) == 'train.parquet, row 2, column "image": the picture is truncated.'
    assert len(pictures_of(as_bytes(whole, whole[:-400]), tmp_path, check=False)) == 2


def test_a_folder_of_pictures_is_examples_without_labels(tmp_path: Path) -> None:
    paths = [draw(tmp_path / name) for name in ("a.png", "b.JPG", "deep/c.jpg")]
    (tmp_path / "notes.md").write_text("no picture")
    draw(tmp_path / ".cache" / "d.jpg")
    examples = read_picture_folder(tmp_path, pictures_in(tmp_path))
    assert (examples.inputs, examples.ids) == (paths, ["a.png", "b.JPG", "deep/c.jpg"])
    assert (examples.kind, examples.label_sets) == ("image", None)
    assert examples.understood == f"{tmp_path}: 3 pictures, without labels"


def test_a_folder_with_a_truncated_picture_is_refused(tmp_path: Path) -> None:
    path = cut(draw(tmp_path / "a.jpg"))
    with pytest.raises(DataError) as refusal:
        read_picture_folder(tmp_path, [path])
    assert str(refusal.value) == f"{path}: the picture is truncated."
