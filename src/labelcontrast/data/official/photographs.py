"""Photographs: PASCAL VOC, MS-COCO and NUS-WIDE as they are distributed."""

from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

from labelcontrast.data.columns import ColumnNames
from labelcontrast.data.examples import BySplit, SplitName
from labelcontrast.data.formats import numbered_lines, parsed_xml
from labelcontrast.data.official.source import Row, SplitRows, examples_by_split, find, required, split_files, words_of
from labelcontrast.errors import DataError
from labelcontrast.files import parse_json

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
VOC_WITH_TEST: dict[SplitName, str] = {"train": "trainval", "test": "test"}
VOC_WITHOUT_TEST: dict[SplitName, str] = {"train": "train", "val": "val"}
NUSWIDE_STEMS: dict[SplitName, str] = {"train": "Train", "test": "Test"}


def read_voc(folder: Path, wanted: ColumnNames) -> BySplit | None:
    """Read a year of PASCAL VOC, known by ``ImageSets/Main``.

    If the test set has annotations, as in 2007, train is ``trainval`` and test is ``test``; otherwise, as in 2012,
    train is ``train`` and val is ``val``. A picture has the label of every object in its annotation; objects marked
    difficult count unless ``difficult="leave_out"``, and the sentence about the data says which.

    Raises:
        DataError: A list, an annotation or a picture is missing or damaged.
    """
    lists = find(folder, "ImageSets/Main")
    if lists is None:
        return None
    root = lists.parent.parent
    test = lists / "test.txt"
    has_test = test.exists() and any(_annotation(root, name).exists() for name in words_of(test)[:1])
    year = root.name.removeprefix("VOC")
    splits = {}
    for split, name in (VOC_WITH_TEST if has_test else VOC_WITHOUT_TEST).items():
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
        splits[split] = SplitRows(path, rows, remark)
    return examples_by_split(
        splits,
        dataset=f"voc{year}",
        title=f"PASCAL VOC {year}",
        names=VOC_CLASSES,
        check_pictures=wanted.check_pictures,
    )


def read_coco(folder: Path, wanted: ColumnNames) -> BySplit | None:
    """Read MS-COCO, known by ``instances_train20??.json``: the labels of a picture are the categories of its instances.

    Crowds count too.

    Raises:
        DataError: A file is not instances JSON, or a picture is missing or damaged.
    """
    train = find(folder, "instances_train20??.json")
    if train is None:
        return None
    year = train.stem[-4:]
    files = split_files(train, {"train": "train", "val": "val"})
    return examples_by_split(
        {split: _coco_rows(path) for split, path in files.items()},
        dataset=f"coco{year}",
        title=f"MS-COCO {year}",
        counted="image",
        check_pictures=wanted.check_pictures,
    )


def read_nuswide(folder: Path, wanted: ColumnNames) -> BySplit | None:
    """Read NUS-WIDE: the list ``Concepts81.txt``, the lists of pictures, and a file of 0 and 1 for each concept.

    Raises:
        DataError: A file is missing, of another length than the list of pictures, or holds something else than 0 or 1.
    """
    concepts = find(folder, "Concepts81.txt")
    if concepts is None:
        return None
    names = words_of(concepts)
    root = find(folder, "Flickr", "images", "Images") or folder
    splits = {}
    for split, stem in NUSWIDE_STEMS.items():
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
        splits[split] = SplitRows(path, rows)
    return examples_by_split(
        splits, dataset="nuswide", title="NUS-WIDE", names=names, check_pictures=wanted.check_pictures
    )


def _annotation(root: Path, name: str) -> Path:
    return root / "Annotations" / f"{name}.xml"


def _voc_objects(path: Path, *, where: str) -> Iterator[tuple[str, bool]]:
    """Yield the class of each object of a picture, and whether it is marked difficult."""
    try:
        root = parsed_xml(path)
    except FileNotFoundError:
        raise DataError(f"the annotation {path.name} is missing.", path=where) from None
    for item in root.iter("object"):
        yield (item.findtext("name") or "").strip(), (item.findtext("difficult") or "0").strip() == "1"


def _coco_rows(path: Path) -> SplitRows:
    try:
        content = parse_json(path.read_bytes())
        categories = {item["id"]: item["name"] for item in sorted(content["categories"], key=lambda item: item["id"])}
        images = content["images"]
        held: dict[int, set[int]] = {image["id"]: set() for image in images}
        for annotation in content["annotations"]:
            held[annotation["image_id"]].add(annotation["category_id"])
        root = path.parent.parent / path.stem.removeprefix("instances_")
        rows = []
        for number, image in enumerate(images, 1):
            labels = tuple(categories[category] for category in sorted(held[image["id"]]))
            rows.append(Row(str(image["id"]), number, root / image["file_name"], labels))
    except (ValueError, KeyError, TypeError) as error:
        message = f'not instances JSON with "images", "annotations" and "categories" ({error}).'
        raise DataError(message, path=path) from None
    empty = sum(not row.labels for row in rows)
    return SplitRows(path, rows, f"{empty:,} of them have no instance" if empty else "", tuple(categories.values()))


def _nuswide_positives(path: Path, expected: int) -> list[int]:
    """Return the positions of the lines that are 1."""
    if not path.exists():
        raise DataError("the file of this concept is missing.", path=path)
    lines = [(number, line.strip()) for number, line in numbered_lines(path) if line.strip()]
    if len(lines) != expected:
        raise DataError(f"there are {len(lines):,} lines; expected {expected:,}, one a picture of the list.", path=path)
    for number, line in lines:
        if line not in {"0", "1"}:
            raise DataError(f"expected 0 or 1. Got {line[:40]!r}.", path=path, line=number)
    return [row for row, (_, line) in enumerate(lines) if line == "1"]
