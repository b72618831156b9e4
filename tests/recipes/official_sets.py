"""Tiny data sets, each in the layout of its official distribution: 60 examples for training and 20 held out a part."""

import json
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from PIL import Image

LABELS = ("aeroplane", "bicycle", "bird")
HELD = ((0,), (1,), (2,), (0, 1), (1, 2))
"""The labels of each example, again and again."""
TRAIN, HELD_OUT = 60, 20


def held(count: int) -> list[tuple[str, ...]]:
    """The label sets of so many examples."""
    return [tuple(LABELS[index] for index in places) for places in islice(cycle(HELD), count)]


def text_of(labels: tuple[str, ...]) -> str:
    """A text that shows its labels."""
    return " ".join(["word", *(("first", "second", "third")[LABELS.index(label)] for label in labels)])


def written(path: Path, content: str) -> None:
    """Write a file, and the folders that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def drawn(path: Path, labels: tuple[str, ...]) -> None:
    """Draw a picture that shows its labels: a colour each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = [255 * (label in labels) for label in LABELS]
    Image.fromarray(np.full((8, 8, 3), colour, dtype=np.uint8)).save(path)


def write_voc(folder: Path) -> None:
    """PASCAL VOC 2007: an XML file a picture, a list a part."""
    for part, count, start in (("trainval", TRAIN, 0), ("test", HELD_OUT, TRAIN)):
        names = [f"{start + row:06d}" for row in range(count)]
        for name, labels in zip(names, held(count), strict=True):
            objects = "".join(f"<object><name>{label}</name><difficult>0</difficult></object>" for label in labels)
            written(folder / "VOC2007/Annotations" / f"{name}.xml", f"<annotation>{objects}</annotation>")
            drawn(folder / "VOC2007/JPEGImages" / f"{name}.jpg", labels)
        written(folder / "VOC2007/ImageSets/Main" / f"{part}.txt", "\n".join(names))


def write_coco(folder: Path) -> None:
    """MS-COCO 2014: a JSON file of instances a part."""
    for part, count in (("train", TRAIN), ("val", HELD_OUT)):
        images = [{"id": row, "file_name": f"COCO_{part}2014_{row:012d}.jpg"} for row in range(count)]
        annotations = []
        for image, labels in zip(images, held(count), strict=True):
            drawn(folder / f"{part}2014" / str(image["file_name"]), labels)
            annotations += [{"image_id": image["id"], "category_id": LABELS.index(label)} for label in labels]
        categories = [{"id": index, "name": label} for index, label in enumerate(LABELS)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        written(folder / "annotations" / f"instances_{part}2014.json", json.dumps(content))


def write_nuswide(folder: Path) -> None:
    """NUS-WIDE: lists of concepts and pictures, a file of 0 and 1 a concept and part."""
    written(folder / "ConceptsList/Concepts81.txt", "\n".join(LABELS))
    for part, count in (("Train", TRAIN), ("Test", HELD_OUT)):
        names = [f"{part}\\{row:04d}.jpg" for row in range(count)]
        for name, labels in zip(names, held(count), strict=True):
            drawn(folder / "Flickr" / name.replace("\\", "/"), labels)
        written(folder / "ImageList" / f"{part}Imagelist.txt", "\n".join(names))
        for label in LABELS:
            marks = "\n".join(str(int(label in labels)) for labels in held(count))
            written(folder / "Groundtruth/TrainTestLabels" / f"Labels_{label}_{part}.txt", marks)


def write_rcv1(folder: Path) -> None:
    """RCV1-v2: files of tokens, the topics of each story; 26150 is the last number of a training story."""
    topics = []
    for name, count, start in (("train", TRAIN, 1), ("test_pt0", HELD_OUT, 26151)):
        stories = ""
        for number, labels in enumerate(held(count), start):
            stories += f".I {number}\n.W\n{text_of(labels)}\n\n"
            topics += [f"{label} {number} 1\n" for label in labels]
        written(folder / f"lyrl2004_tokens_{name}.dat", stories)
    written(folder / "rcv1-v2.topics.qrels", "".join(topics))


def write_aapd(folder: Path) -> None:
    """AAPD: a file of abstracts and a file of subjects a part."""
    for part, count in (("train", TRAIN), ("val", HELD_OUT), ("test", HELD_OUT)):
        written(folder / f"text_{part}", "".join(f"{text_of(labels)}\n" for labels in held(count)))
        written(folder / f"label_{part}", "".join(f"{' '.join(labels)}\n" for labels in held(count)))


def write_bgc(folder: Path) -> None:
    """The Blurb Genre Collection: a book an example."""
    for part, count in (("train", TRAIN), ("dev", HELD_OUT), ("test", HELD_OUT)):
        books = ""
        for number, labels in enumerate(held(count)):
            topics = "".join(f"<d0>{label}</d0>" for label in labels)
            books += f"<book>\n<body>{text_of(labels)}</body>\n<topics>{topics}</topics>\n"
            books += f"<isbn>{number}</isbn>\n</book>\n"
        written(folder / f"BlurbGenreCollection_EN_{part}.txt", books)
    written(folder / "hierarchy.txt", "\n".join(LABELS))


def write_texts(folder: Path) -> None:
    """A table of texts, for the recipes that are of no one set."""
    rows = [{"text": text_of(labels), "labels": list(labels)} for labels in held(TRAIN)]
    written(folder / "texts.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def write_pictures(folder: Path) -> None:
    """A table of pictures."""
    rows = [{"image": f"{row}.png", "labels": list(labels)} for row, labels in enumerate(held(TRAIN))]
    for row in rows:
        drawn(folder / str(row["image"]), tuple(row["labels"]))
    written(folder / "pictures.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def write_vectors(folder: Path) -> None:
    """A file of vectors."""
    marks = np.array([[label in labels for label in LABELS] for labels in held(TRAIN)], dtype=np.uint8)
    np.savez(folder / "vectors.npz", X=marks.astype(np.float32), Y=marks)


WRITERS: dict[str, Callable[[Path], None]] = {
    "voc2007": write_voc,
    "coco2014": write_coco,
    "nuswide": write_nuswide,
    "rcv1": write_rcv1,
    "aapd": write_aapd,
    "bgc": write_bgc,
    "texts": write_texts,
    "pictures": write_pictures,
    "vectors": write_vectors,
}
