"""Load train, validation and test splits: as the data have them, by iterative stratification, or as folds."""

import gc
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from sklearn.model_selection import train_test_split

from labelcontrast.data.columns import ColumnNames
from labelcontrast.data.examples import SPLIT_ALIASES, SPLIT_NAMES, BySplit, Examples, SplitName, pool
from labelcontrast.data.readers import data_files, format_of, read_as, read_parts, read_split_data
from labelcontrast.data.stratification import (
    checked_fractions,
    iterative_stratification,
    keep_labels,
    low_data_subset,
    stratified_folds,
)
from labelcontrast.data.table import listed
from labelcontrast.errors import ConfigError, DataError, nearest
from labelcontrast.files import readable
from labelcontrast.labels.label_sets import LabelSets
from labelcontrast.labels.vocabulary import LabelVocabulary

Protocol = Literal["official", "paper", "paper-small"]
HALVES_SEED = 42
"""The seed with which the published code halves the held-out split."""
SMALL = 0.2
"""The share of train in the paper's small sets."""
UNSEEN: dict[SplitName, tuple[str, str]] = {
    "train": ("no training example has", "stay in the vocabulary, but cannot be learned"),
    "val": ("no validation example has", "have no say in thresholds and the choice of the epoch"),
    "test": ("no test example has", "have an F1 of 0 and no average precision"),
}
"""The warning about labels without a positive in a split."""
PLAIN_WORDS = frozenset(["split", "set", "data", "dataset", "part", "file", "of", "final", "clean", "cleaned", "new"])
"""Words in the name of the file of a split that say nothing."""
SOFT = (
    "some labels are soft or unknown: training takes them so; figures and metrics count from 0.5 as present, and "
    "metrics leave unknown ones out."
)


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The train, validation and test examples, with the labels of all of them."""

    train: Examples
    val: Examples
    test: Examples
    how: str
    """One sentence: where the splits come from."""
    vocabulary: LabelVocabulary
    """Every label of the three splits, and labels that the data name without an example."""
    warnings: tuple[str, ...] = ()
    """Facts about the data that a user should know but that do not prevent training; a sentence each."""

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}={len(examples):,}" for name, examples in self.by_name.items())
        return f"Splits({sizes}, {len(self.vocabulary):,} labels)"

    @property
    def by_name(self) -> BySplit:
        """The examples by the name of their split."""
        return {"train": self.train, "val": self.val, "test": self.test}


def load_splits(
    path: str | Path,
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
    multi_hot: int | None = None,
    check_pictures: bool = True,
    difficult: Literal["count", "leave_out"] = "count",
    protocol: str = "official",
) -> Splits:
    r"""Read data and their splits; splits that the data lack are drawn from train by iterative stratification.

    Args:
        path: A folder with a file or folder for each split (any usual name); or one file in any known format, whose
            column or array ``split`` is respected.
        seed: Seed of the split, if one is drawn.
        fractions: The shares of train, val and test; those of drawn splits are relative to train.
        train_fraction: The share of the training examples to keep; nested, so that 0.05 is a subset of 0.1.
        val_fraction: The same for the validation examples.
        label_fraction: The share of the labels to keep, drawn at random and nested. The splits are those of all labels,
            and an example that is left without a label stays, so that nothing varies but the labels.
        folds: Pool all splits and divide them again into this number of folds, by the seed. One is the test split; of
            the others, validation has the share that it has of train and validation in ``fractions``.
        fold: The fold to test on, from 0.
        text: The column of the texts; a column that is not named is detected.
        image: The column of the paths of pictures.
        labels: The column of label sets, or the columns of 0 and 1.
        separator: The text between the labels of a cell; empty if a cell is one label.
        multi_hot: The length of the lists if they hold a value for each label, 0 if they hold names or numbers.
        check_pictures: Whether an unreadable picture of a table is refused.
        difficult: Whether objects that PASCAL VOC marks as difficult count.
        protocol: The splits of an official distribution: its own, ``paper`` or ``paper-small``.

    Raises:
        DataError: Data cannot be read, have no labels, or are too few for three splits.
        LabelError: A label is not in the ``labels.json`` of the data.
        ConfigError: The fractions are not positive or do not sum to one, or a share is not in (0, 1].

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "reviews.csv").write_text("text,tag\n" + 10 * "good,food\nbad,price\n")
        ...     splits = load_splits(folder, seed=0)
        >>> [len(examples) for examples in splits.by_name.values()], splits.vocabulary.names
        ([14, 2, 4], ('food', 'price'))
    """
    checked_fractions(fractions)
    wanted = ColumnNames(
        text=text,
        image=image,
        labels=labels,
        separator=separator,
        multi_hot=multi_hot,
        difficult=difficult,
        check_pictures=check_pictures,
    )
    with _no_garbage_collection(), readable(path):
        found, source = _found_splits(Path(path), wanted, protocol, seed)
    if "train" not in found:
        raise DataError(f"there is {listed(list(found))}, but no train.", path=path)
    for examples in found.values():
        _check_split(examples, found["train"])
    vocabulary = _vocabulary(found)
    for examples in found.values():
        vocabulary.encode(examples.label_sets or [], where=examples.where_labels)
    if folds is None:
        splits, drawn = _complete(found, vocabulary, dict(zip(SPLIT_NAMES, fractions, strict=True)), seed)
    else:
        whole, val = pool(list(found.values()), vocabulary, str(path)), fractions[1] / (fractions[0] + fractions[1])
        splits, drawn = cross_validate(whole, vocabulary, folds=folds, fold=fold, val=val, seed=seed)
        source = ""
    shares: dict[SplitName, float] = {"train": train_fraction, "val": val_fraction}
    splits |= {split: _subset(splits[split], vocabulary, share, seed) for split, share in shares.items()}
    kept = [f"{100 * share:.3g} % of {split} kept, with seed {seed}" for split, share in shares.items() if share < 1]
    if label_fraction != 1:
        count, vocabulary = len(vocabulary), keep_labels(vocabulary, label_fraction, seed=seed)
        splits = {split: examples.with_labels(vocabulary.names) for split, examples in splits.items()}
        kept.append(f"{len(vocabulary)} of {count} labels kept, with seed {seed}")
    if not LabelSets.of(splits["train"].label_sets or []).held:
        raise DataError("no training example has a label.", path=splits["train"].origin)
    return Splits(
        **splits,
        how="; ".join(sentence for sentence in (source, drawn, *kept) if sentence),
        vocabulary=vocabulary,
        warnings=data_warnings(splits, vocabulary),
    )


def cross_validate(
    examples: Examples, vocabulary: LabelVocabulary, *, folds: int, fold: int, val: float, seed: int
) -> tuple[BySplit, str]:
    """Test on one fold, and divide the others into training and validation; all by iterative stratification.

    Args:
        examples: All examples.
        vocabulary: Their labels.
        folds: The number of folds; every example is in exactly one.
        fold: The fold to test on, from 0.
        val: The share of the other folds that is validation.
        seed: Seed of the folds, which do not depend on ``fold``, and of the validation examples.

    Returns: The three splits, and a sentence about how they were drawn.

    Raises:
        ConfigError: There are fewer than two folds, or more than examples.
        DataError: A split would be empty.
    """
    labels = vocabulary.encode(examples.label_sets or [])
    rest, test = stratified_folds(labels, folds, generator=np.random.default_rng(seed))[fold]
    train, held_out = iterative_stratification(labels[rest], (1 - val, val), generator=np.random.default_rng(seed))
    splits: BySplit = {
        "train": examples.select(rest[train]), "val": examples.select(rest[held_out]), "test": examples.select(test)
    }  # fmt: skip
    if not all(map(len, splits.values())):
        message = f"{len(examples)} examples are too few for {folds} folds and validation examples beside each."
        raise DataError(message, path=examples.origin)
    shares = f"test is fold {fold} of {folds}, counted from 0, and val {100 * val:.3g} % of the others"
    return splits, f"{shares}, by iterative stratification of all examples with seed {seed}"


def divide(splits: BySplit, protocol: str, *, seed: int) -> BySplit:
    """Divide an official distribution according to a protocol.

    ``official`` keeps its splits. ``paper`` is for pictures: those without a label are dropped, and the held-out split
    is halved by scikit-learn's ``train_test_split`` with seed 42, as in the published code. ``paper-small`` also keeps
    only a random fifth of train.

    Args:
        splits: Train, and val or test.
        protocol: One of the three names.
        seed: Seed of the subset of ``paper-small``.

    Raises:
        ConfigError: The protocol is unknown.
        DataError: The data are texts, for which the paper's split was not published; or there is no split to halve.

    Reference: Audibert et al., Multi-label contrastive learning: a comprehensive study, 2024, section 5.1.
    """
    if protocol not in get_args(Protocol):
        raise ConfigError(f'there is no protocol "{protocol}"{nearest(protocol, get_args(Protocol))}.')
    if protocol == "official":
        return splits
    train = splits["train"]
    if train.kind != "image":
        message = "the paper's split of texts was published as CSV files only; read those, or take the official split."
        raise DataError(message, path=train.origin)
    held_out = [splits[split] for split in SPLIT_NAMES[1:] if split in splits]
    if len(held_out) != 1:
        raise DataError(f"the paper halves one held-out split; there are {len(held_out)}.", path=train.origin)
    train, rest = _labelled(train), _labelled(held_out[0])
    val, test = train_test_split(np.arange(len(rest)), test_size=0.5, random_state=HALVES_SEED)
    if protocol == "paper-small":
        order = np.random.default_rng(seed).permutation(len(train))
        train = train.select(np.sort(order[: int(len(train) * SMALL)]))
    return {"train": train, "val": rest.select(val), "test": rest.select(test)}


def with_examples(splits: Splits, examples: BySplit, vocabulary: LabelVocabulary) -> Splits:
    """Replace the examples and the labels of splits, and renew their warnings."""
    train, val, test = examples["train"], examples["val"], examples["test"]
    return replace(
        splits, train=train, val=val, test=test, vocabulary=vocabulary, warnings=data_warnings(examples, vocabulary)
    )


def data_warnings(splits: Mapping[SplitName, Examples], vocabulary: LabelVocabulary) -> tuple[str, ...]:
    """Return a warning for each split in which labels have no positive, and one about soft and unknown labels."""
    sentences = []
    for split, (nothing, consequence) in UNSEEN.items():
        if absent := absent_labels(splits[split], vocabulary):
            which = f"{len(absent)} of {len(vocabulary)} labels: {listed(absent, most=5)}"
            sentences.append(f"{nothing} {which}. They {consequence}.")
    if any(examples.values is not None or examples.annotated is not None for examples in splits.values()):
        sentences.append(SOFT)
    return tuple(sentences)


def absent_labels(examples: Examples, vocabulary: LabelVocabulary) -> list[str]:
    """Return the labels that no example has."""
    counts = vocabulary.encode(examples.label_sets or []).sum(0)
    return [name for name, count in zip(vocabulary.names, counts, strict=True) if not count]


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Disable garbage collection while loading: it would search through millions of objects that stay alive."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _labelled(examples: Examples) -> Examples:
    return examples.select([row for row, labels in enumerate(examples.label_sets or []) if labels])


def _found_splits(path: Path, wanted: ColumnNames, protocol: str, seed: int) -> tuple[BySplit, str]:
    """Read the splits that the data have, at least train; and a sentence about where they come from."""
    if known := read_split_data(path, wanted):
        found = divide(known, protocol, seed=seed)
        which = "of the distribution" if protocol == "official" else f'by the protocol "{protocol}"'
        return found, f"{_joined(found)} {which}"
    if protocol != "official":
        message = f'the protocol "{protocol}" is for official distributions; this is none that is known.'
        raise DataError(message, path=path)
    if path.is_dir() and (files := _split_paths(path)):
        found = dict(zip(files, read_parts(list(files.values()), wanted), strict=True))
        return found, _told_of_files(path, files)
    whole = read_as(path, wanted)
    if whole.splits is None:
        return {"train": whole}, ""
    rows = {split: [row for row, name in enumerate(whole.splits) if name == split] for split in SPLIT_NAMES}
    if not rows["train"]:
        raise DataError("split has no row for train.", path=path)
    found = {split: whole.select(rows[split]) for split in SPLIT_NAMES if rows[split]}
    return found, f"{_joined(found)} as in the file" if len(found) > 1 else ""


def _split_paths(folder: Path) -> dict[SplitName, Path]:
    """Find the file of each split by its name, train first; if no file has such a name, the folder of each split.

    The name of a split alone is enough, as ``dev.jsonl``. A longer name stands for a split that has no such file, as
    ``dev_split.jsonl`` or ``reviews-test-v2.jsonl`` beside ``reviews-train-v2.jsonl``.

    Raises:
        DataError: Two files could be a split, it cannot be told whether one is, or there is no train.
    """
    files = data_files(folder)
    paths = files if any(map(_split_of, files)) else sorted(path for path in folder.iterdir() if path.is_dir())
    named: dict[SplitName, Path] = {}
    for path in sorted(paths, key=lambda path: _stem(path) not in SPLIT_ALIASES):
        split = _split_of(path)
        longer = _stem(path) not in SPLIT_ALIASES
        if split is None or (longer and split in named and _stem(named[split]) in SPLIT_ALIASES):
            continue
        if split in named:
            raise DataError(f'both "{named[split].name}" and "{path.name}" could be {split}.', path=folder)
        named[split] = path
    if "train" not in named and not any(_stem(path) in SPLIT_ALIASES for path in named.values()):
        return {}
    if "train" not in named:
        raise DataError(f"there is {listed([path.name for path in named.values()])}, but no train.", path=folder)
    for split, path in named.items():
        if odd := _words(path) - _words(named["train"]) - SPLIT_ALIASES.keys() - PLAIN_WORDS:
            message = f'"{path.name}" could be {split}, but "{min(odd)}" may mean something else; rename it or move it.'
            raise DataError(message, path=folder)
    return {split: named[split] for split in SPLIT_NAMES if split in named}


def _told_of_files(folder: Path, files: Mapping[SplitName, Path]) -> str:
    """Say where the splits come from, and which files of the folder are not read."""
    names = [split if _stem(path) in SPLIT_ALIASES else f"{split} ({path.name})" for split, path in files.items()]
    told = [f"{_joined(names)} as in the folder"] if len(files) > 1 or names != list(files) else []
    if unread := [path.name for path in data_files(folder) if path not in files.values()]:
        told.append(f"not read: {listed(unread)}")
    return "; ".join(told)


def _split_of(path: Path) -> SplitName | None:
    """Return the split that a name stands for; None if it has no such word, or several."""
    found = {SPLIT_ALIASES[word] for word in _words(path) & SPLIT_ALIASES.keys()}
    return next(iter(found)) if len(found) == 1 else None


def _words(path: Path) -> set[str]:
    """Return the words of the name of a file or folder in small letters, without numbers."""
    return set(re.split(r"[^a-z]+", re.sub(r"v?\d+", " ", _stem(path)))) - {""}


def _stem(path: Path) -> str:
    """Return the name of a file or folder in small letters, without the suffix of its format."""
    name = path.name.lower()
    return name.removesuffix(".gz").removesuffix(format_of(path)) if path.is_file() else name


def _check_split(examples: Examples, train: Examples) -> None:
    """Refuse examples without labels, or with other inputs than those of train."""
    if examples.label_sets is None:
        how = "; name their column (--label-column), or with commas those of 0 and 1 or of soft labels"
        named = how if examples.columns is not None else ""
        if examples.kind == "image" and not named:
            named = "; those of pictures stand in a table with the columns image and labels"
        message = f"there are no labels{named}. What was understood: "
        raise DataError(message + examples.understood.removeprefix(f"{examples.origin}: ") + ".", path=examples.origin)
    if examples.kind != train.kind:
        message = f"the inputs are of kind {examples.kind}, but those of train are of kind {train.kind}."
        raise DataError(message, path=examples.origin)
    if isinstance(examples.inputs, np.ndarray) and isinstance(train.inputs, np.ndarray):
        here, there = examples.inputs.shape[1], train.inputs.shape[1]
        if here != there:
            raise DataError(f"there are {here} features, but {there} in train.", path=examples.origin)


def _vocabulary(found: BySplit) -> LabelVocabulary:
    """Collect the labels: in the order that the data give, else sorted."""
    given = dict.fromkeys(chain.from_iterable(examples.label_names or () for examples in found.values()))
    if given:
        return LabelVocabulary(tuple(given))
    named: list[Iterable[str]] = []
    for examples in found.values():
        named += [LabelSets.of(sets or []).held for sets in (examples.label_sets, examples.annotated)]
        named += examples.values or []
    return LabelVocabulary.from_label_sets(named)


def _complete(
    found: BySplit, vocabulary: LabelVocabulary, fractions: Mapping[SplitName, float], seed: int
) -> tuple[BySplit, str]:
    """Draw the missing splits from train; and a sentence about it."""
    drawn: list[SplitName] = ["train", *(split for split in SPLIT_NAMES if split not in found)]
    if drawn == ["train"]:
        return found, ""
    shares = np.array([fractions[split] for split in drawn])
    shares /= shares.sum()
    train = found["train"]
    rows = iterative_stratification(
        vocabulary.encode(train.label_sets or []), shares.tolist(), generator=np.random.default_rng(seed)
    )
    if not all(len(taken) for taken in rows):
        raise DataError(f"{len(train)} examples are too few to be divided into {_joined(drawn)}.", path=train.origin)
    splits = found | {split: train.select(taken) for split, taken in zip(drawn, rows, strict=True)}
    sizes = {split: f"{100 * share:.3g} %" for split, share in zip(drawn, shares, strict=True)}
    if len(found) == 1:
        what = _joined([f"{size} {split}" for split, size in sizes.items()]) + f" of {train.origin}"
    else:
        what = _joined([f"{split} is {sizes[split]} of train" for split in drawn[1:]])
    return splits, f"{what}, by iterative stratification with seed {seed}"


def _subset(examples: Examples, vocabulary: LabelVocabulary, fraction: float, seed: int) -> Examples:
    if fraction == 1:
        return examples
    labels = vocabulary.encode(examples.label_sets or [])
    return examples.select(low_data_subset(labels, fraction, generator=np.random.default_rng(seed)))


def _joined(names: Sequence[str] | BySplit) -> str:
    """Join names with commas and a last ``and``."""
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last
