"""Photographs: PASCAL VOC, MS-COCO and NUS-WIDE as they are distributed."""

import json
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from xml.etree import ElementTree as ET

from labelcontrast.data.columns import ColumnNames
from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.lines import numbered_lines
from labelcontrast.data.official.source import Origin, Parts, Row, examples_of_rows, find, required, words_of
from labelcontrast.errors import DataError

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
VOC_PARTS: dict[str, tuple[tuple[Part, str], ...]] = {
    "with test": (("train", "trainval"), ("test", "test")),
    "without test": (("train", "train"), ("val", "val")),
}
NUSWIDE_PARTS: tuple[tuple[Part, str], ...] = (("train", "Train"), ("test", "Test"))


def find_voc(folder: Path) -> Path | None:
    """Find ``ImageSets/Main`` of a year of PASCAL VOC."""
    return find(folder, "ImageSets/Main")


def read_voc(folder: Path, wanted: ColumnNames) -> Parts:
    """Read a year of PASCAL VOC: train is ``trainval`` and test ``test`` where its annotations are there, as in 2007.

    As in 2012 otherwise: train is ``train`` and val ``val``. A picture has the label of every object in its annotation;
    objects marked difficult count unless ``difficult="leave_out"``, and the sentence says which.

    Raises:
        DataError: when a list, an annotation or a picture is missing or damaged.
    """
    lists = find_voc(folder)
    assert lists is not None
    root = lists.parent.parent
    test = lists / "test.txt"
    has_test = test.exists() and any(_annotation(root, name).exists() for name in words_of(test)[:1])
    year = root.name.removeprefix("VOC")
    parts: Parts = {}
    for part, name in VOC_PARTS["with test" if has_test else "without test"]:
        path = required(lists, f"{name}.txt", of="PASCAL VOC")
        rows, difficult, objects = [], 0, 0
        for number, line in numbered_lines(path):
            if line.strip():
                stem = line.split()[0]
                found = list(_voc_objects(_annotation(root, stem), where=f"{path}, line {number}"))
                counted = [label for label, hard in found if wanted.difficult == "count" or not hard]
                objects += len(found)
                difficult += sum(hard for _, hard in found)
                rows.append(Row(stem, number, root / "JPEGImages" / f"{stem}.jpg", tuple(dict.fromkeys(counted))))
        how = "count" if wanted.difficult == "count" else "are left out"
        remark = f"the {difficult:,} of {objects:,} objects that are marked difficult {how}"
        origin = Origin(dataset=f"voc{year}", title=f"PASCAL VOC {year}", path=path, names=VOC_CLASSES, remark=remark)
        parts[part] = examples_of_rows(rows, origin, check_pictures=wanted.check_pictures)
    return parts


def find_coco(folder: Path) -> Path | None:
    """Find the instances of the training pictures of MS-COCO."""
    return find(folder, "instances_train20??.json")


def read_coco(folder: Path, wanted: ColumnNames) -> Parts:
    """Read MS-COCO: a picture has the label of every category with an instance in it, crowds too.

    Raises:
        DataError: when a file is not instances JSON, or a picture is missing or not whole.
    """
    train = find_coco(folder)
    assert train is not None
    year = train.stem[-4:]
    files: dict[Part, Path] = {"train": train, "val": train.with_name(f"instances_val{year}.json")}
    return {part: _coco_part(path, year, wanted) for part, path in files.items() if path.exists()}


def find_nuswide(folder: Path) -> Path | None:
    """Find the list of the 81 concepts of NUS-WIDE."""
    return find(folder, "Concepts81.txt")


def read_nuswide(folder: Path, wanted: ColumnNames) -> Parts:
    """Read NUS-WIDE: the 81 concepts, the lists of training and test pictures, and a file of 0 and 1 a concept.

    Raises:
        DataError: when a file is missing, of another length than the list, or holds what is not 0 or 1.
    """
    concepts = required(folder, "Concepts81.txt", of="NUS-WIDE")
    names = words_of(concepts)
    root = find(folder, "Flickr", "images", "Images") or folder
    parts: Parts = {}
    for part, stem in NUSWIDE_PARTS:
        path = required(folder, f"{stem}Imagelist.txt", of="NUS-WIDE")
        pictures = [PureWindowsPath(name) for name in words_of(path)]
        labels: list[list[str]] = [[] for _ in pictures]
        truth = required(folder, f"Labels_{names[0]}_{stem}.txt", of="NUS-WIDE")
        for name in names:
            for row in _nuswide_positives(truth.with_name(f"Labels_{name}_{stem}.txt"), len(pictures)):
                labels[row].append(name)
        rows = [
            Row(picture.stem, number, root.joinpath(*picture.parts), tuple(held))
            for number, (picture, held) in enumerate(zip(pictures, labels, strict=True), 1)
        ]
        origin = Origin(dataset="nuswide", title="NUS-WIDE", path=path, names=names)
        parts[part] = examples_of_rows(rows, origin, check_pictures=wanted.check_pictures)
    return parts


def _annotation(root: Path, name: str) -> Path:
    """Name the annotation of a picture."""
    return root / "Annotations" / f"{name}.xml"


def _voc_objects(path: Path, *, where: str) -> Iterator[tuple[str, bool]]:
    """Read the class of each object of a picture, and whether it is marked difficult."""
    try:
        root = ET.parse(path).getroot()
    except FileNotFoundError:
        message = f"the annotation {path.name} is missing."
        raise DataError(message, path=where) from None
    except ET.ParseError as error:
        message = f"not XML ({error.msg})."
        raise DataError(message, path=path, line=error.position[0]) from None
    for item in root.iter("object"):
        yield (item.findtext("name") or "").strip(), (item.findtext("difficult") or "0").strip() == "1"


def _coco_part(path: Path, year: str, wanted: ColumnNames) -> Examples:
    """Read one file of instances."""
    try:
        content = json.loads(path.read_bytes())
        categories = {item["id"]: item["name"] for item in sorted(content["categories"], key=lambda item: item["id"])}
        images = content["images"]
        held: dict[int, set[int]] = {image["id"]: set() for image in images}
        for annotation in content["annotations"]:
            held[annotation["image_id"]].add(annotation["category_id"])
        root = path.parent.parent / path.stem.removeprefix("instances_")
        rows = [
            Row(
                str(image["id"]),
                number,
                root / image["file_name"],
                tuple(categories[category] for category in sorted(held[image["id"]])),
            )
            for number, image in enumerate(images, 1)
        ]
    except (ValueError, KeyError, TypeError) as error:
        message = f'not instances JSON with "images", "annotations" and "categories" ({error}).'
        raise DataError(message, path=path) from None
    empty = sum(not row.labels for row in rows)
    remark = f"{empty:,} of them have no instance" if empty else ""
    names = tuple(categories.values())
    origin = Origin(
        dataset=f"coco{year}", title=f"MS-COCO {year}", path=path, names=names, remark=remark, counted="image"
    )
    return examples_of_rows(rows, origin, check_pictures=wanted.check_pictures)


def _nuswide_positives(path: Path, expected: int) -> list[int]:
    """Read the rows of a concept: which lines are 1."""
    if not path.exists():
        message = "the file of this concept is missing."
        raise DataError(message, path=path)
    lines = [(number, line.strip()) for number, line in numbered_lines(path) if line.strip()]
    if len(lines) != expected:
        message = f"there are {len(lines):,} lines; expected {expected:,}, one a picture of the list."
        raise DataError(message, path=path)
    for number, line in lines:
        if line not in {"0", "1"}:
            message = f"expected 0 or 1. Got {line[:40]!r}."
            raise DataError(message, path=path, line=number)
    return [row for row, (_, line) in enumerate(lines) if line == "1"]
