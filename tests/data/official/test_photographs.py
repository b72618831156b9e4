"""Picture sets in their official layout: labels from annotations, and damaged files refused with their place."""

import json
from pathlib import Path

import pytest
from PIL import Image

from labelcontrast.data.columns import ColumnNames
from labelcontrast.data.official.photographs import read_coco, read_nuswide, read_voc
from labelcontrast.errors import DataError

VOC = """<annotation>
	<folder>VOC2007</folder>
	<filename>{name}.jpg</filename>
	<size><width>8</width><height>8</height><depth>3</depth></size>
	<segmented>0</segmented>{objects}
</annotation>
"""


VOC_OBJECT = """
	<object>
		<name>{0}</name>
		<pose>Left</pose>
		<truncated>0</truncated>
		<difficult>{1}</difficult>
		<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox>
	</object>"""


def draw(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)
    return path


def written(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def write_voc(folder: Path, lists: dict[str, list[str]], objects: dict[str, list[tuple[str, int]]]) -> Path:
    for name, held in objects.items():
        marks = "".join(VOC_OBJECT.format(*item) for item in held)
        written(folder / "Annotations" / f"{name}.xml", VOC.format(name=name, objects=marks))
        draw(folder / "JPEGImages" / f"{name}.jpg")
    for part, names in lists.items():
        written(folder / "ImageSets" / "Main" / f"{part}.txt", "".join(f"{name}\n" for name in names))
    return folder


def test_voc_2007_has_its_test_split_and_counts_difficult_objects(tmp_path: Path) -> None:
    objects = {
        "000005": [("chair", 0), ("chair", 1), ("dog", 1)],
        "000007": [("car", 0)],
        "000001": [("person", 0), ("dog", 0)],
    }
    lists = {"trainval": ["000005", "000007"], "train": ["000005"], "val": ["000007"], "test": ["000001"]}
    write_voc(tmp_path / "VOCdevkit" / "VOC2007", lists, objects)
    splits = read_voc(tmp_path, ColumnNames())
    assert {split: examples.ids for split, examples in splits.items()} == {
        "train": ["000005", "000007"],
        "test": ["000001"],
    }
    assert splits["train"].label_sets == [("chair", "dog"), ("car",)]
    assert splits["train"].label_names is not None
    assert len(splits["train"].label_names) == 20
    assert splits["train"].understood.endswith("; the 2 of 4 objects that are marked difficult count")
    assert splits["train"].dataset == "voc2007"
    assert splits["test"].where(0).endswith("test.txt, line 1")
    strict = read_voc(tmp_path, ColumnNames(difficult="leave_out"))["train"]
    assert strict.label_sets == [("chair",), ("car",)]
    assert strict.understood.endswith("are left out")


def test_voc_2012_has_no_annotated_test_split(tmp_path: Path) -> None:
    objects = {"2008_000002": [("tvmonitor", 0)], "2008_000003": [("train", 0)]}
    lists = {"train": ["2008_000002"], "val": ["2008_000003"], "trainval": list(objects), "test": ["2008_000006"]}
    splits = read_voc(write_voc(tmp_path / "VOC2012", lists, objects), ColumnNames())
    assert {split: examples.label_sets for split, examples in splits.items()} == {
        "train": [("tvmonitor",)],
        "val": [("train",)],
    }


def test_two_years_of_voc_are_refused(tmp_path: Path) -> None:
    for year in ("VOC2007", "VOC2012"):
        write_voc(tmp_path / year, {"train": ["a"], "val": ["a"]}, {"a": [("cat", 0)]})
    with pytest.raises(DataError) as refusal:
        read_voc(tmp_path, ColumnNames())
    assert "there are several data sets" in str(refusal.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "Annotations/b.xml").unlink(), "train.txt, line 2: the annotation b.xml is missing."),
        (lambda root: (root / "JPEGImages/b.jpg").unlink(), "train.txt, line 2: the picture"),
        (lambda root: written(root / "Annotations/b.xml", "<annotation>\n<object>"), "b.xml, line 2: not XML ("),
        (
            lambda root: written(
                root / "Annotations/b.xml", VOC.format(name="b", objects=VOC_OBJECT.format("cow2", 0))
            ),
            'train.txt, line 2: label "cow2" is not one of the 20 of PASCAL VOC 2012.',
        ),
    ],
)
def test_a_damaged_voc_is_refused_with_the_place(damage: object, message: str, tmp_path: Path) -> None:
    objects = {"a": [("cat", 0)], "b": [("dog", 0)]}
    root = write_voc(tmp_path / "VOC2012", {"train": ["a", "b"], "val": ["a"]}, objects)
    damage(root)  # type: ignore[operator]
    with pytest.raises(DataError) as refusal:
        read_voc(root, ColumnNames())
    assert message in str(refusal.value)


def test_the_doctor_gets_the_pictures_that_cannot_be_read(tmp_path: Path) -> None:
    voc = write_voc(tmp_path / "VOC2012", {"train": ["a", "b"], "val": ["a"]}, {"a": [("cat", 0)], "b": [("dog", 0)]})
    coco, nuswide = write_coco(tmp_path / "coco"), write_nuswide(tmp_path / "nuswide")
    for root, read in ((voc, read_voc), (coco, read_coco), (nuswide, read_nuswide)):
        first = next(iter(read(root, ColumnNames())["train"].inputs))
        Path(first).write_bytes(b"no picture")
        with pytest.raises(DataError, match="is not a picture that can be read"):
            read(root, ColumnNames())
        assert first in read(root, ColumnNames(check_pictures=False))["train"].inputs


def write_coco(folder: Path) -> Path:
    categories = [{"supercategory": "x", "id": 3, "name": "car"}, {"supercategory": "x", "id": 1, "name": "person"}]
    for part, number in (("train", 9), ("val", 4)):
        images = [{"id": number + row, "file_name": f"COCO_{part}2014_{number + row:012d}.jpg"} for row in range(2)]
        annotations = [
            {"image_id": number, "category_id": 3, "iscrowd": 0, "id": 1},
            {"image_id": number, "category_id": 1, "iscrowd": 1, "id": 2},
            {"image_id": number, "category_id": 3, "iscrowd": 0, "id": 3},
        ]
        for image in images:
            draw(folder / f"{part}2014" / str(image["file_name"]))
        content = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}
        written(folder / "annotations" / f"instances_{part}2014.json", json.dumps(content))
    return folder


def test_coco_labels_are_the_categories_of_the_instances(tmp_path: Path) -> None:
    splits = read_coco(write_coco(tmp_path), ColumnNames())
    assert list(splits) == ["train", "val"]
    assert splits["train"].label_names == ("person", "car")
    assert splits["train"].label_sets == [("person", "car"), ()]
    assert splits["train"].ids == ["9", "10"]
    assert splits["val"].understood.endswith("2 pictures of MS-COCO 2014; 2 labels; 1 of them have no instance")


@pytest.mark.parametrize("content", ["{}", "[1]", "{", '{"images": [], "annotations": [{}], "categories": []}'])
def test_anything_but_an_instances_file_is_refused(content: str, tmp_path: Path) -> None:
    write_coco(tmp_path)
    path = written(tmp_path / "annotations" / "instances_train2014.json", content)
    with pytest.raises(DataError) as refusal:
        read_coco(tmp_path, ColumnNames())
    assert str(refusal.value).startswith(f'{path}: not instances JSON with "images", "annotations" and "categories" (')


def write_nuswide(folder: Path) -> Path:
    written(folder / "ConceptsList" / "Concepts81.txt", "airport\nanimal\n")
    lists = {"Train": ["actor\\0001_21.jpg", "zoo\\0002_22.jpg"], "Test": ["zoo\\0003_23.jpg"]}
    truth = {"airport": {"Train": "1 \n0\n", "Test": "0\n"}, "animal": {"Train": "1\n1\n", "Test": "1\n"}}
    for part, names in lists.items():
        written(folder / "ImageList" / f"{part}Imagelist.txt", "".join(f"{name}\n" for name in names))
        for name in names:
            draw(folder / "Flickr" / name.replace("\\", "/"))
        for concept in truth:
            target = folder / "Groundtruth" / "TrainTestLabels" / f"Labels_{concept}_{part}.txt"
            written(target, truth[concept][part])
    return folder


def test_nuswide_joins_its_lists(tmp_path: Path) -> None:
    splits = read_nuswide(write_nuswide(tmp_path), ColumnNames())
    assert splits["train"].label_sets == [("airport", "animal"), ("animal",)]
    assert splits["test"].label_sets == [("animal",)]
    assert splits["test"].inputs == [tmp_path / "Flickr" / "zoo" / "0003_23.jpg"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1\n", ": there are 1 lines; expected 2, one a picture of the list."),
        ("1\nx\n", ", line 2: expected 0 or 1. Got 'x'."),
        (None, ": the file of this concept is missing."),
    ],
)
def test_an_invalid_nuswide_is_refused(content: str | None, message: str, tmp_path: Path) -> None:
    path = write_nuswide(tmp_path) / "Groundtruth" / "TrainTestLabels" / "Labels_animal_Train.txt"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(DataError) as refusal:
        read_nuswide(tmp_path, ColumnNames())
    assert str(refusal.value) == f"{path}{message}"
