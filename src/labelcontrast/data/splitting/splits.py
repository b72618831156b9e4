"""Train, validation and test: as the data have them, or by iterative stratification with a seed."""

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.published.protocols import divide
from labelcontrast.data.readers.assembly import PART_NAMES
from labelcontrast.data.readers.registry import data_files, format_of, read_as, read_parts
from labelcontrast.data.readers.rows import ColumnNames, listed
from labelcontrast.data.splitting.folds import cross_validate, pool
from labelcontrast.data.splitting.stratification import checked_fractions, iterative_stratification
from labelcontrast.data.splitting.subsets import keep_labels, low_data_subset
from labelcontrast.errors import DataError
from labelcontrast.labels.label_sets import LabelSets
from labelcontrast.labels.vocabulary import LabelVocabulary

PARTS: tuple[Part, ...] = ("train", "val", "test")
UNSEEN: dict[Part, tuple[str, str]] = {
    "train": ("no training example has", "stay in the vocabulary, but cannot be learned"),
    "val": ("no validation example has", "have no say in thresholds and the choice of the epoch"),
    "test": ("no test example has", "have an F1 of 0 and no average precision"),
}
"""What is said of labels without a positive in a part."""


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The three parts of the data, with the labels of all of them."""

    train: Examples
    val: Examples
    test: Examples
    how: str
    """One sentence: where the parts come from."""
    vocabulary: LabelVocabulary
    """Every label of the three parts, and those that the data name without an example."""
    warnings: tuple[str, ...] = ()
    """What is no reason to refuse the data, but should be known; a sentence each."""

    @property
    def parts(self) -> dict[Part, Examples]:
        """The parts by name."""
        return {"train": self.train, "val": self.val, "test": self.test}


def load_splits(
    path: Path | str,
    *,
    seed: int,
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    train_fraction: float = 1.0,
    val_fraction: float = 1.0,
    label_fraction: float = 1.0,
    folds: int | None = None,
    fold: int = 0,
    text: str | None = None,
    image: str | None = None,
    labels: str | Sequence[str] | None = None,
    separator: str | None = None,
    check_pictures: bool = True,
    difficult: Literal["count", "leave_out"] = "count",
    protocol: str = "official",
) -> Splits:
    r"""Read data and their parts: those that are there are kept, those that are missing are taken from train.

    Args:
        path: a folder with a file or folder each for train, val and test (any usual name); or one file in any known
            format, whose column or array ``split`` is respected.
        seed: of the split, where one is drawn.
        fractions: the shares of train, val and test; of a missing part, beside train.
        train_fraction: the share of the training examples to keep, all by default; nested, so that 0.05 lies in 0.1.
        val_fraction: the same of the validation examples.
        label_fraction: the share of the labels to keep, drawn at random and nested. The parts are those of all labels,
            and an example that is left without a label stays, so that nothing varies but the labels.
        folds: put all parts together and divide them anew into so many folds, by the seed. One is tested on; of the
            others validation has the share that it has of train and validation in ``fractions``.
        fold: which is tested on, from 0.
        text: the column of the texts; columns that are not named are found by looking.
        image: the column of the pictures' paths.
        labels: the column of label sets, or the columns of 0 and 1.
        separator: what stands between the labels of a cell.
        check_pictures: whether a picture of a table that cannot be read is refused.
        difficult: whether objects that PASCAL VOC marks difficult count.
        protocol: the split of an official distribution: its own, ``paper`` or ``paper-small``.

    Raises:
        DataError: when data cannot be read, have no labels, or are too few for three parts.
        LabelError: when a label is not in the ``labels.json`` of the data.
        ConfigError: when the fractions are not positive or their sum is not one, or a share is none.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "reviews.csv").write_text("text,tag\n" + 10 * "good,food\nbad,price\n")
        ...     splits = load_splits(folder, seed=0)
        >>> [len(part) for part in splits.parts.values()], splits.vocabulary.names
        ([14, 2, 4], ('food', 'price'))
    """
    checked_fractions(fractions)
    wanted = ColumnNames(
        text=text, image=image, labels=labels, separator=separator, difficult=difficult, check_pictures=check_pictures
    )
    with _collector_at_rest():
        found, source = _found_parts(Path(path), wanted, protocol, seed)
    for examples in found.values():
        _check_part(examples, found["train"])
    vocabulary = _vocabulary(found)
    for examples in found.values():
        vocabulary.encode(examples.label_sets or [], where=examples.where_labels)
    if folds is None:
        parts, drawn = _complete(found, vocabulary, dict(zip(PARTS, fractions, strict=True)), seed)
    else:
        whole, val = pool(list(found.values()), vocabulary, str(path)), fractions[1] / (fractions[0] + fractions[1])
        parts, drawn = cross_validate(whole, vocabulary, folds=folds, fold=fold, val=val, seed=seed)
        source = ""
    shares: dict[Part, float] = {"train": train_fraction, "val": val_fraction}
    parts |= {part: _fewer(parts[part], vocabulary, share, seed) for part, share in shares.items()}
    kept = [f"{100 * share:.3g} % of {part} kept, with seed {seed}" for part, share in shares.items() if share < 1]
    if label_fraction != 1:
        count, vocabulary = len(vocabulary), keep_labels(vocabulary, label_fraction, seed=seed)
        parts = {part: examples.with_labels(vocabulary.names) for part, examples in parts.items()}
        kept.append(f"{len(vocabulary)} of {count} labels kept, with seed {seed}")
    if not LabelSets.of(parts["train"].label_sets or []).held:
        message = "no training example has a label."
        raise DataError(message, path=parts["train"].origin)
    return Splits(
        **parts,
        how="; ".join(sentence for sentence in (source, drawn, *kept) if sentence),
        vocabulary=vocabulary,
        warnings=warn(parts, vocabulary),
    )


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Keep the collector of garbage from looking, over and over, through millions of objects that are read to stay."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _found_parts(path: Path, wanted: ColumnNames, protocol: str, seed: int) -> tuple[dict[Part, Examples], str]:
    """Read the parts that the data have, train at least; and say where they come from."""
    if known := read_parts(path, wanted):
        found = divide(known, protocol, seed=seed)
        which = "of the distribution" if protocol == "official" else f'by the protocol "{protocol}"'
        return found, f"{_joined(found)} {which}"
    if protocol != "official":
        message = f'the protocol "{protocol}" is for official distributions; this is none that is known.'
        raise DataError(message, path=path)
    if path.is_dir() and (files := _part_files(path)):
        found = {part: read_as(files[part], wanted) for part in PARTS if part in files}
        return found, f"{_joined(found)} as in the folder" if len(found) > 1 else ""
    whole = read_as(path, wanted)
    if whole.parts is None:
        return {"train": whole}, ""
    rows = {part: [row for row, name in enumerate(whole.parts) if name == part] for part in PARTS}
    if not rows["train"]:
        message = "split has no row for train."
        raise DataError(message, path=path)
    found = {part: whole.select(rows[part]) for part in PARTS if rows[part]}
    return found, f"{_joined(found)} as in the file" if len(found) > 1 else ""


def _part_files(folder: Path) -> dict[Part, Path]:
    """Find the file of each part by its name; folders only where no file is a part."""
    files = [path for path in data_files(folder) if _stem(path) in PART_NAMES]
    named: dict[Part, Path] = {}
    for path in files or sorted(path for path in folder.iterdir() if path.is_dir() and _stem(path) in PART_NAMES):
        part = PART_NAMES[_stem(path)]
        if part in named:
            message = f'both "{named[part].name}" and "{path.name}" could be {part}.'
            raise DataError(message, path=folder)
        named[part] = path
    if named and "train" not in named:
        message = f"there is {listed([path.name for path in named.values()])}, but no train."
        raise DataError(message, path=folder)
    return named


def _stem(path: Path) -> str:
    """Return the name of a file or folder without the end that is its format, in small letters."""
    name = path.name.lower()
    return name.removesuffix(".gz").removesuffix(format_of(path)) if path.is_file() else name


def _check_part(examples: Examples, train: Examples) -> None:
    """Refuse a part without labels, or whose inputs are other than those of train."""
    if examples.label_sets is None:
        message = "there are no labels; name the label column. What was understood: "
        raise DataError(message + examples.understood.removeprefix(f"{examples.origin}: ") + ".", path=examples.origin)
    if examples.kind != train.kind:
        message = f"the inputs are of kind {examples.kind}, but those of train are of kind {train.kind}."
        raise DataError(message, path=examples.origin)
    if isinstance(examples.inputs, np.ndarray) and isinstance(train.inputs, np.ndarray):
        here, there = examples.inputs.shape[1], train.inputs.shape[1]
        if here != there:
            message = f"there are {here} features, but {there} in train."
            raise DataError(message, path=examples.origin)


def _vocabulary(found: dict[Part, Examples]) -> LabelVocabulary:
    """Collect the labels: in the order that the data give, else sorted."""
    given = dict.fromkeys(chain.from_iterable(examples.label_names or () for examples in found.values()))
    if given:
        return LabelVocabulary(tuple(given))
    named = [
        [
            LabelSets.of(examples.label_sets or []).held,
            LabelSets.of(examples.annotated or []).held,
            *(examples.values or []),
        ]
        for examples in found.values()
    ]
    return LabelVocabulary.from_label_sets(chain.from_iterable(named))


def _complete(
    found: dict[Part, Examples], vocabulary: LabelVocabulary, fractions: dict[Part, float], seed: int
) -> tuple[dict[Part, Examples], str]:
    """Take the parts that are missing from train, and say so."""
    drawn: list[Part] = ["train", *(part for part in PARTS if part not in found)]
    if drawn == ["train"]:
        return found, ""
    shares = np.array([fractions[part] for part in drawn])
    shares /= shares.sum()
    train = found["train"]
    rows = iterative_stratification(
        vocabulary.encode(train.label_sets or []), shares.tolist(), generator=np.random.default_rng(seed)
    )
    if not all(len(part) for part in rows):
        message = f"{len(train)} examples are too few to be divided into {_joined(drawn)}."
        raise DataError(message, path=train.origin)
    parts = found | {part: train.select(taken) for part, taken in zip(drawn, rows, strict=True)}
    sizes = {part: f"{100 * share:.3g} %" for part, share in zip(drawn, shares, strict=True)}
    if len(found) == 1:
        what = _joined([f"{size} {part}" for part, size in sizes.items()]) + f" of {train.origin}"
    else:
        what = _joined([f"{part} is {sizes[part]} of train" for part in drawn[1:]])
    return parts, f"{what}, by iterative stratification with seed {seed}"


def _fewer(examples: Examples, vocabulary: LabelVocabulary, fraction: float, seed: int) -> Examples:
    """Keep a share of the examples."""
    if fraction == 1:
        return examples
    labels = vocabulary.encode(examples.label_sets or [])
    return examples.select(low_data_subset(labels, fraction, generator=np.random.default_rng(seed)))


def warn(parts: dict[Part, Examples], vocabulary: LabelVocabulary) -> tuple[str, ...]:
    """Name the labels that cannot be learned, chosen for or measured; and say what becomes of soft and unknown ones."""
    sentences = []
    for part, (nobody, consequence) in UNSEEN.items():
        counts = vocabulary.encode(parts[part].label_sets or []).sum(0)
        absent = [name for name, count in zip(vocabulary.names, counts, strict=True) if not count]
        if absent:
            which = f"{len(absent)} of {len(vocabulary)} labels: {listed(absent, most=5)}"
            sentences.append(f"{nobody} {which}. They {consequence}.")
    return (*sentences, *_about_values(parts.values()))


def _about_values(parts: Iterable[Examples]) -> tuple[str, ...]:
    """Say what becomes of soft and unknown labels."""
    if all(examples.values is None and examples.annotated is None for examples in parts):
        return ()
    sentence = (
        "training takes them so; figures and metrics count from 0.5 as present, and metrics leave unknown ones out."
    )
    return (f"some labels are soft or unknown: {sentence}",)


def _joined(names: Sequence[str] | dict[Part, Examples]) -> str:
    """Write names with commas and a last ``and``."""
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last
