"""Tiny data sets in the layouts of official distributions: 60 training examples, and 20 in every other split."""

import json
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from PIL import Image

LABELS = ("aeroplane", "bicycle", "bird")
PATTERN = ((0,), (1,), (2,), (0, 1), (1, 2))
"""The label sets of the examples, repeated."""
TRAIN, HELD_OUT = 60, 20


def label_sets(count: int) -> list[tuple[str, ...]]:
    return [tuple(LABELS[index] for index in places) for places in islice(cycle(PATTERN), count)]


def text_of(labels: tuple[str, ...]) -> str:
    """Write a text with a word for each label."""
    return " ".join(["word", *(("first", "second", "third")[LABELS.index(label)] for label in labels)])


def write(path: Path, content: str) -> None:
    """Write a file, and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def draw(path: Path, labels: tuple[str, ...]) -> None:
    """Draw a picture with a colour channel for each label."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = [255 * (label in labels) for label in LABELS]
    Image.fromarray(np.full((8, 8, 3), colour, dtype=np.uint8)).save(path)


def write_voc(folder: Path) -> None:
    """PASCAL VOC 2007: an XML file for each picture, a list for each split."""
    for split, count, start in (("trainval", TRAIN, 0), ("test", HELD_OUT, TRAIN)):
        names = [f"{start + row:06d}" for row in range(count)]
        for name, labels in zip(names, label_sets(count), strict=True):
            objects = "".join(f"<object><name>{label}</name><difficult>0</difficult></object>" for label in labels)
            write(folder / "VOC2007/Annotations" / f"{name}.xml", f"<annotation>{objects}</annotation>")
            draw(folder / "VOC2007/JPEGImages" / f"{name}.jpg", labels)
        write(folder / "VOC2007/ImageSets/Main" / f"{split}.txt", "\n".join(names))


def write_coco(folder: Path) -> None:
    """MS-COCO 2014: a JSON file of instances for each split."""
    for split, count in (("train", TRAIN), ("val", HELD_OUT)):
        images = [{"id": row, "file_name": f"COCO_{split}2014_{row:012d}.jpg"} for row in range(count)]
        annotations = []
        for image, labels in zip(images, label_sets(count), strict=True):
            draw(folder / f"{split}2014" / str(image["file_name"]), labels)
            annotations += [{"image_id": image["id"], "category_id": LABELS.index(label)} for label in labels]
        categories = [{"id": index, "name": label} for index, label in enumerate(LABELS)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        write(folder / "annotations" / f"instances_{split}2014.json", json.dumps(content))


def write_nuswide(folder: Path) -> None:
    """NUS-WIDE: lists of concepts and pictures, a file of 0 and 1 for each concept and split."""
    write(folder / "ConceptsList/Concepts81.txt", "\n".join(LABELS))
    for split, count in (("Train", TRAIN), ("Test", HELD_OUT)):
        names = [f"{split}\\{row:04d}.jpg" for row in range(count)]
        for name, labels in zip(names, label_sets(count), strict=True):
            draw(folder / "Flickr" / name.replace("\\", "/"), labels)
        write(folder / "ImageList" / f"{split}Imagelist.txt", "\n".join(names))
        for label in LABELS:
            marks = "\n".join(str(int(label in labels)) for labels in label_sets(count))
            write(folder / "Groundtruth/TrainTestLabels" / f"Labels_{label}_{split}.txt", marks)


def write_rcv1(folder: Path) -> None:
    """RCV1-v2: files of tokens and of topics; training stories have numbers up to 26150."""
    topics = []
    for name, count, start in (("train", TRAIN, 1), ("test_pt0", HELD_OUT, 26151)):
        stories = ""
        for number, labels in enumerate(label_sets(count), start):
            stories += f".I {number}\n.W\n{text_of(labels)}\n\n"
            topics += [f"{label} {number} 1\n" for label in labels]
        write(folder / f"lyrl2004_tokens_{name}.dat", stories)
    write(folder / "rcv1-v2.topics.qrels", "".join(topics))


def write_aapd(folder: Path) -> None:
    """AAPD: a file of abstracts and a file of subjects for each split."""
    for split, count in (("train", TRAIN), ("val", HELD_OUT), ("test", HELD_OUT)):
        write(folder / f"text_{split}", "".join(f"{text_of(labels)}\n" for labels in label_sets(count)))
        write(folder / f"label_{split}", "".join(f"{' '.join(labels)}\n" for labels in label_sets(count)))


def write_bgc(folder: Path) -> None:
    """Blurb Genre Collection: a file of books for each split."""
    for split, count in (("train", TRAIN), ("dev", HELD_OUT), ("test", HELD_OUT)):
        books = ""
        for number, labels in enumerate(label_sets(count)):
            topics = "".join(f"<d0>{label}</d0>" for label in labels)
            books += f"<book>\n<body>{text_of(labels)}</body>\n<topics>{topics}</topics>\n"
            books += f"<isbn>{number}</isbn>\n</book>\n"
        write(folder / f"BlurbGenreCollection_EN_{split}.txt", books)
    write(folder / "hierarchy.txt", "\n".join(LABELS))


def write_texts(folder: Path) -> None:
    """A table of texts, for recipes without a data set of their own."""
    rows = [{"text": text_of(labels), "labels": list(labels)} for labels in label_sets(TRAIN)]
    write(folder / "texts.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def write_pictures(folder: Path) -> None:
    """A table of pictures."""
    rows = [{"image": f"{row}.png", "labels": list(labels)} for row, labels in enumerate(label_sets(TRAIN))]
    for row in rows:
        draw(folder / str(row["image"]), tuple(row["labels"]))
    write(folder / "pictures.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def write_vectors(folder: Path) -> None:
    """A file of vectors."""
    marks = np.array([[label in labels for label in LABELS] for labels in label_sets(TRAIN)], dtype=np.uint8)
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
