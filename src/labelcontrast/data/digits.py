"""A built-in data set without a download: pictures composed of real handwritten digits, with a long tail."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from labelcontrast.files import write_text

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIZES = {"train": 1500, "val": 400, "test": 800}
SIDE = 40
"""Side of a picture in pixels: two by two places, each for a digit of 16 x 16 pixels with room to shift."""
TAIL = 0.68
"""The frequency of each digit relative to the one before: zero is the most frequent, nine the rarest."""


def write_digits(folder: str | Path, *, seed: int = 0) -> Path:
    """Write train, val and test as JSON Lines with PNG pictures beside them.

    Each picture holds 1 to 4 different digits of scikit-learn's ``load_digits`` (1,797 real ones, 8 x 8 pixels, doubled
    in size) at shifted places on noise. The handwritten digits of the three splits are disjoint.

    Args:
        folder: The folder to write to; it is created.
        seed: Seed of the choice, the places and the noise.

    Returns: The folder.
    """
    folder = Path(folder)
    random = np.random.default_rng(seed)
    digits = load_digits()
    write_text(folder / "labels.json", json.dumps(NAMES) + "\n")
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for (split, size), pool in zip(SIZES.items(), disjoint_pools(len(digits.target), random), strict=True):
        rows = []
        for index in range(size):
            picture, labels = _compose(digits.images[pool], digits.target[pool], random)
            name = f"images/{split}-{index:04d}.png"
            Image.fromarray(picture).save(folder / name)
            row = {"id": f"{split}-{index:04d}", "image": name, "labels": [NAMES[label] for label in sorted(labels)]}
            rows.append(json.dumps(row))
        write_text(folder / f"{split}.jsonl", "\n".join(rows) + "\n")
    return folder


def disjoint_pools(count: int, random: np.random.Generator) -> list[np.ndarray]:
    """Divide the handwritten digits among train, val and test, so that no test picture holds a training digit."""
    return np.split(random.permutation(count), [int(0.55 * count), int(0.7 * count)])


def _compose(images: np.ndarray, targets: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, list[int]]:
    """Draw 1 to 4 different digits and put each in its own place."""
    weights = TAIL ** np.arange(10)
    labels = random.choice(10, size=random.integers(1, 5), replace=False, p=weights / weights.sum())
    picture = random.normal(0, 12, (SIDE, SIDE))
    for label, (top, left) in zip(labels, _places(random), strict=False):
        digit = images[random.choice(np.flatnonzero(targets == label))] * (255 / 16)
        picture[top : top + 16, left : left + 16] += np.kron(digit, np.ones((2, 2))) * random.uniform(0.5, 1)
    return picture.clip(0, 255).astype(np.uint8), labels.tolist()


def _places(random: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Yield the four places in random order, each shifted by up to 4 pixels."""
    for place in random.permutation(4):
        top, left = divmod(int(place), 2)
        yield top * 20 + int(random.integers(0, 5)), left * 20 + int(random.integers(0, 5))
