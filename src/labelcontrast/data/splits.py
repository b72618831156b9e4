"""Train, validation and test parts: as the data have them, by iterative stratification with a seed, or as folds."""

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Literal, TypeVar, cast, get_args

import numpy as np
from sklearn.model_selection import train_test_split

from labelcontrast.data.arrow import ArrowColumn
from labelcontrast.data.assembly import PART_NAMES
from labelcontrast.data.columns import ColumnNames, listed
from labelcontrast.data.examples import Examples, Inputs, Part
from labelcontrast.data.official.source import Parts
from labelcontrast.data.readers import data_files, format_of, read_as, read_parts
from labelcontrast.data.stratification import (
    Rows,
    checked_fractions,
    iterative_stratification,
    keep_labels,
    low_data_subset,
    stratified_folds,
)
from labelcontrast.errors import ConfigError, DataError, nearest
from labelcontrast.labels.label_sets import LabelSets
from labelcontrast.labels.vocabulary import LabelVocabulary

T = TypeVar("T")


Protocol = Literal["official", "paper", "paper-small"]
HALVES_SEED = 42
"""The seed with which the published code halves the held-out part."""
SMALL = 0.2
"""The share of train in the paper's subsets for little data."""


def divide(parts: Parts, protocol: str, *, seed: int) -> Parts:
    """Divide the parts of an official distribution as a protocol says.

    ``official`` leaves them. ``paper`` takes pictures: those without a label are dropped, and the held-out part is
    halved by scikit-learn's ``train_test_split`` with seed 42, as the published code does it. ``paper-small`` keeps a
    random fifth of train beside that.

    Args:
        parts: train, and val or test.
        protocol: one of the three names.
        seed: of the subset of ``paper-small``.

    Raises:
        ConfigError: when there is no such protocol.
        DataError: when the data are texts, for which the paper's split was not published; or have no part to halve.

    Reference: Audibert et al., Multi-label contrastive learning: a comprehensive study, 2024, section 5.1.
    """
    if protocol not in get_args(Protocol):
        message = f'there is no protocol "{protocol}"{nearest(protocol, get_args(Protocol))}.'
        raise ConfigError(message)
    if protocol == "official":
        return parts
    train = parts["train"]
    if train.kind != "image":
        message = "the paper's split of texts was published as CSV files only; read those, or take the official split."
        raise DataError(message, path=train.origin)
    held_out = [part for part in ("val", "test") if part in parts]
    if len(held_out) != 1:
        message = f"the paper halves one held-out part; there are {len(held_out)}."
        raise DataError(message, path=train.origin)
    rest = _labelled(parts["val" if held_out == ["val"] else "test"])
    train = _labelled(train)
    val, test = train_test_split(np.arange(len(rest)), test_size=0.5, random_state=HALVES_SEED)
    if protocol == "paper-small":
        order = np.random.default_rng(seed).permutation(len(train))
        train = train.select(np.sort(order[: int(len(train) * SMALL)]))
    return {"train": train, "val": rest.select(val), "test": rest.select(test)}


def _labelled(examples: Examples) -> Examples:
    """Keep the examples that have a label."""
    return examples.select([row for row, labels in enumerate(examples.label_sets or []) if labels])


def cross_validate(
    examples: Examples, vocabulary: LabelVocabulary, *, folds: int, fold: int, val: float, seed: int
) -> tuple[dict[Part, Examples], str]:
    """Test on one fold, and divide the others into training and validation; all by iterative stratification.

    Args:
        examples: all there are.
        vocabulary: their labels.
        folds: how many; every example is in exactly one.
        fold: which is tested on, from 0.
        val: the share of the other folds that is validation.
        seed: of the folds, which are the same whichever is tested on, and of the validation examples.

    Returns:
        The three parts, and how they came about in one sentence.

    Raises:
        ConfigError: there are fewer than two folds, or more than examples.
        DataError: a part would be empty.
    """
    labels = vocabulary.encode(examples.label_sets or [])
    rest, test = stratified_folds(labels, folds, generator=np.random.default_rng(seed))[fold]
    train, held_out = iterative_stratification(labels[rest], (1 - val, val), generator=np.random.default_rng(seed))
    parts: dict[Part, Rows] = {"train": rest[train], "val": rest[held_out], "test": test}
    if not all(map(len, parts.values())):
        message = f"{len(examples)} examples are too few for {folds} folds and validation examples beside each."
        raise DataError(message, path=examples.origin)
    said = f"test is fold {fold} of {folds}, counted from 0, and val {100 * val:.3g} % of the others"
    how = f"{said}, by iterative stratification of all examples with seed {seed}"
    return {part: examples.select(rows) for part, rows in parts.items()}, how


def pool(parts: Sequence[Examples], vocabulary: LabelVocabulary, origin: str) -> Examples:
    """Put parts together, one after the other.

    Args:
        parts: of the same kind, all with labels.
        vocabulary: the labels of all.
        origin: the file or folder that all are of.

    Example:
        >>> examples = Examples(
        ...     inputs=["a goal", "a vote"], label_sets=[("sports",), ("politics",)], kind="text",
        ...     ids=["1", "2"], lines=[2, 3], origin="reviews.csv", understood="reviews.csv: 2 rows",
        ... )
        >>> labels = LabelVocabulary(("politics", "sports"))
        >>> pool([examples.select([1]), examples.select([0])], labels, "reviews.csv").inputs
        ['a vote', 'a goal']
    """
    soft, partly = any(part.values for part in parts), any(part.annotated is not None for part in parts)
    every = vocabulary.names  # where nothing says which labels were looked for, all were
    return replace(
        parts[0],
        inputs=_joined_parts([part.inputs for part in parts]),
        label_sets=_chained(part.label_sets or [] for part in parts),
        ids=_chained(part.ids for part in parts),
        lines=_chained(part.lines for part in parts),
        origin=origin,
        parts=None,
        values=_chained(part.values or [{}] * len(part) for part in parts) if soft else None,
        annotated=_chained(part.annotated or [every] * len(part) for part in parts) if partly else None,
        parents=_above(parts),
    )


def _joined_parts(inputs: Sequence[Inputs]) -> Inputs:
    """Put inputs of one kind together, as far as that goes without reading them."""
    arrays = [one for one in inputs if isinstance(one, np.ndarray)]
    if len(arrays) == len(inputs):
        return np.concatenate(arrays)
    columns = [one for one in inputs if isinstance(one, ArrowColumn)]
    if len(columns) == len(inputs) and len({one.holds_bytes for one in columns}) == 1:
        return ArrowColumn.joined(columns)
    return cast("Inputs", _chained(inputs))


def _above(parts: Sequence[Examples]) -> Mapping[str, tuple[str, ...]] | None:
    """Gather the labels above each label from all parts that know of some."""
    known = [part.parents for part in parts if part.parents is not None]
    names = dict.fromkeys(_chained(known))
    found = {name: dict.fromkeys(_chained(above.get(name, ()) for above in known)) for name in names}
    return {name: tuple(above) for name, above in found.items()} if known else None


def _chained(lists: Iterable[Iterable[T]]) -> list[T]:
    """Put lists together."""
    return list(chain.from_iterable(lists))


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
