"""Find problems with examples and labels of a data set, describe them as text, and write the data without them."""

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import wrap

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array

from labelcontrast.data.description import Description, describe
from labelcontrast.data.doctor.duplicates import fingerprints, near_pairs, words
from labelcontrast.data.doctor.suspects import Suspect, cleanlab_rows, out_of_fold, plain_features, suspects
from labelcontrast.data.examples import BySplit, Examples, SplitName
from labelcontrast.data.feature_files import SPLIT_CODES
from labelcontrast.data.picture_files import picture_problem
from labelcontrast.data.splits import Splits, absent_labels, load_splits
from labelcontrast.encoders.pictures import open_picture
from labelcontrast.errors import DataError
from labelcontrast.files import check_new, whole_file, write_text
from labelcontrast.progress import tracked

SHOWN = 3
"""Examples of a finding, at most."""
EXPECTED = 5.0
"""Two labels exclude each other if this number of examples with both is expected and there is none."""
ENOUGH = 5
"""Examples of a label before it is reported that it never occurs without another."""
WIDTH = 100
"""Columns of the text."""


@dataclass(frozen=True)
class Finding:
    """One problem of the data."""

    kind: str
    number: int
    sentence: str
    instances: tuple[str, ...]
    """The first examples of it, in words."""


@dataclass(frozen=True)
class Checkup:
    """All findings, and the suspected labels of train, the worst first."""

    findings: tuple[Finding, ...]
    suspects: tuple[Suspect, ...] = field(repr=False)

    def __str__(self) -> str:
        return render_findings(self.findings)


def examine(
    splits: Splits | str | Path,
    description: Description | None = None,
    *,
    features: Float[np.ndarray, "examples dim"] | None = None,
    cleanlab: bool = False,
) -> Checkup:
    r"""Look for all problems that the doctor knows.

    Args:
        splits: The data, with every picture readable (see ``without_unreadable``); or a file or folder, which is loaded
            with seed 0.
        description: Of the same data, for repeats and truncation; by default it is computed, without truncation.
        features: Features of train, for the probe that suspects labels; by default some that need no encoder.
        cleanlab: Whether cleanlab evaluates the same probabilities too; it is an extra.

    Returns: The findings: about examples, then about labels. ``print`` shows them as text.

    Raises:
        MissingExtraError: cleanlab is requested and not installed.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from labelcontrast.data import examine, load_splits
        >>> with TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "reviews.csv").write_text("text,tag\n" + 10 * "good,food\nbad,price\n")
        ...     checkup = examine(load_splits(folder, seed=0))
        >>> checkup.findings[0].sentence
        '12 of 14 examples of train repeat an earlier one'
    """
    if not isinstance(splits, Splits):
        splits = load_splits(splits, seed=0)
    train = splits.vocabulary.encode(splits.train.label_sets or [])
    rows = plain_features(splits.train) if features is None else features
    probabilities = out_of_fold(rows, train)
    found = suspects(probabilities, train)
    known = describe(splits) if description is None else description
    findings = [*about_examples(splits, known), *about_labels(splits, train, found)]
    if cleanlab:
        findings += about_cleanlab(splits, cleanlab_rows(probabilities, train))
    return Checkup(tuple(findings), tuple(found))


def without_unreadable(splits: Splits) -> tuple[Splits, tuple[Finding, ...]]:
    """Remove the pictures that cannot be read, which no other check can process; and return findings about them."""
    findings = []
    readable: BySplit = {}
    for split, examples in splits.by_name.items():
        problems = {
            row: problem
            for row, picture in enumerate(tracked(examples.inputs, "pictures") if examples.kind == "image" else ())
            if (problem := picture_problem(picture, decode=True))
        }
        readable[split] = examples.select([row for row in range(len(examples)) if row not in problems])
        if problems:
            named = [f"{_place(examples, row)}: {_excerpt(examples, row)} {why}" for row, why in problems.items()]
            sentence = f"{len(problems):,} of {len(examples):,} pictures of {split} cannot be read"
            findings.append(Finding("unreadable", len(problems), sentence, tuple(named[:SHOWN])))
    train, val, test = readable["train"], readable["val"], readable["test"]
    return (replace(splits, train=train, val=val, test=test) if findings else splits), tuple(findings)


def render_findings(findings: Sequence[Finding]) -> str:
    """Write findings as text: a sentence each, its examples below it.

    Example:
        >>> print(render_findings([Finding("empty", 1, "1 texts of train have no word", ("a.csv, line 7: ''",))]))
        Doctor
          - 1 texts of train have no word.
              a.csv, line 7: ''
    """
    if not findings:
        return "Doctor\n  Nothing was found."
    lines = ["Doctor"]
    for finding in findings:
        lines += wrap(f"{finding.sentence}.", WIDTH, initial_indent="  - ", subsequent_indent="    ")
        for instance in finding.instances:
            lines += wrap(instance, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 8, break_on_hyphens=False)
    return "\n".join(lines)


def write_fixed(splits: Splits, found: Sequence[Suspect], folder: str | Path) -> dict[str, int]:
    """Write the data without the problems that can be fixed: JSON Lines for texts and pictures, an archive for vectors.

    Removed are texts without a word, repeats within a split with the same labels, and examples of train or val that are
    also in a later split, so that the evaluated split stays complete. Suspected labels stay; the column ``suspected``
    of train lists them.

    Args:
        splits: The data, with every picture readable.
        found: The suspected labels.
        folder: The folder to write to, new or empty: it may not be that of the data.

    Returns: The number of removed examples for each reason.

    Raises:
        DataError: No example of a split would be left.
        RunError: The folder is not empty.
    """
    folder = Path(folder)
    check_new(folder)
    removed: Counter[str] = Counter()
    kept = {split: _kept(split, splits, removed) for split in splits.by_name}
    for split, rows in kept.items():
        if not rows:
            message = f"nothing of {split} is left without repeats and empty texts; split the data again."
            raise DataError(message, path=splits.by_name[split].origin)
    write_text(folder / "labels.json", json.dumps(splits.vocabulary.names, ensure_ascii=False, indent=0) + "\n")
    if splits.train.kind == "vector":
        _write_archive(splits, kept, folder / "data.npz")
        return dict(removed)
    suspected: dict[int, list[str]] = {}
    for it in found:
        suspected.setdefault(it.row, []).append(splits.vocabulary.names[it.label])
    for split, examples in splits.by_name.items():
        lines = []
        for row in kept[split]:
            record = _record(examples, row, folder / "images" / f"{split}-{row}")
            if split == "train" and row in suspected:
                record["suspected"] = suspected[row]
            lines.append(json.dumps(record, ensure_ascii=False) + "\n")
        write_text(folder / f"{split}.jsonl", "".join(lines))
    return dict(removed)


def about_examples(splits: Splits, description: Description) -> Iterator[Finding]:
    """Yield the findings about examples: repeats, conflicting labels, near repeats, empty and truncated texts."""
    for repeat in description.repeats:
        size = description.splits[repeat.later].examples
        where = "repeat an earlier one" if repeat.earlier == repeat.later else f"are also in {repeat.earlier}"
        sentence = f"{repeat.examples:,} of {size:,} examples of {repeat.later} {where}"
        yield Finding("duplicates", repeat.examples, sentence, (" = ".join(map(_short, repeat.instance)),))
    yield from _conflicts(splits)
    yield from _nearly_repeated(splits)
    for split, examples in splits.by_name.items():
        rows = [row for row, text in enumerate(examples.inputs if examples.kind == "text" else ()) if is_empty(text)]
        if rows:
            named = tuple(f"{_place(examples, row)}: {str(examples.inputs[row])[:20]!r}" for row in rows[:SHOWN])
            yield Finding("empty", len(rows), f"{len(rows):,} texts of {split} have no word", named)
    for cut in description.truncations:
        texts = f"{cut.texts:,} texts of {cut.split} ({100 * cut.share:.1f} %)"
        sentence = f"{texts} are longer than {description.max_length} tokens"
        yield Finding("truncation", cut.texts, sentence, (f"the longest loses {cut.max_cut:,} tokens",))


def about_labels(splits: Splits, train: csr_array, found: Sequence[Suspect]) -> Iterator[Finding]:
    """Yield the findings about labels, suspected ones last.

    Args:
        splits: The data.
        train: The labels of train, multi-hot.
        found: The suspected labels.
    """
    names = splits.vocabulary.names
    yield from _nearly_equal_names(names)
    for split, examples in splits.by_name.items():
        if absent := absent_labels(examples, splits.vocabulary):
            sentence = f"{len(absent):,} of {len(names):,} labels have no example in {split}"
            yield Finding("no positives", len(absent), sentence, tuple(f'"{name}"' for name in absent[:SHOWN]))
    yield from _always_together(train, names)
    yield from _never_together(train, names)
    if found:
        rows = len({it.row for it in found})
        sentence = f"{len(found):,} labels of {rows:,} training examples are suspected of being wrong"
        yield Finding("suspected labels", len(found), sentence, tuple(_suspicion(it, splits) for it in found[:SHOWN]))


def about_cleanlab(splits: Splits, rows: Sequence[int]) -> Iterator[Finding]:
    """Yield a finding about the training examples that cleanlab names."""
    if rows:
        named = tuple(f"{_place(splits.train, row)}: {_excerpt(splits.train, row)}" for row in rows[:SHOWN])
        sentence = f"cleanlab names {len(rows):,} training examples whose label set is probably wrong"
        yield Finding("cleanlab", len(rows), sentence, named)


def is_empty(text: object) -> bool:
    """Return True if a text has no letter, digit or symbol."""
    return not words(str(text))


def _conflicts(splits: Splits) -> Iterator[Finding]:
    """Find repeats with different label sets."""
    first: dict[bytes, tuple[SplitName, int]] = {}
    instances: list[str] = []
    for split, examples in splits.by_name.items():
        for row, key in enumerate(fingerprints(examples)):
            before, place = first.setdefault(key, (split, row))
            earlier = splits.by_name[before]
            one, other = (earlier.label_sets or [])[place], (examples.label_sets or [])[row]
            if set(one) != set(other):
                here = f"{_place(earlier, place)} has {_set(one)}"
                instances.append(f"{here}, {_place(examples, row)} has {_set(other)}")
    if instances:
        sentence = f"{len(instances):,} examples repeat another one with other labels"
        yield Finding("conflicts", len(instances), sentence, tuple(instances[:SHOWN]))


def _nearly_repeated(splits: Splits) -> Iterator[Finding]:
    """Find examples of val and test that are nearly, but not exactly, one of an earlier split."""
    every = list(splits.by_name.values())
    keys = [key for examples in every for key in fingerprints(examples)]
    owner = [(split, row) for split, examples in splits.by_name.items() for row in range(len(examples))]
    found: dict[tuple[SplitName, SplitName], dict[int, str]] = {}
    for pair in near_pairs(every):
        (before, one), (after, other) = owner[pair.first], owner[pair.second]
        if before != after and keys[pair.first] != keys[pair.second]:
            places = _place(splits.by_name[after], other), _place(splits.by_name[before], one)
            line = f"{places[0]} and {places[1]}, {100 * pair.likeness:.0f} % similar"
            found.setdefault((before, after), {}).setdefault(other, line)
    for (before, after), rows in found.items():
        sentence = f"{len(rows):,} of {len(splits.by_name[after]):,} examples of {after} are nearly one of {before}"
        yield Finding("near duplicates", len(rows), sentence, tuple(rows.values())[:SHOWN])


def _nearly_equal_names(names: Sequence[str]) -> Iterator[Finding]:
    """Find labels whose names differ only in case, white space, hyphens, underscores, or the form of characters."""
    alike: dict[str, list[str]] = {}
    for name in names:
        bare = re.sub(r"[\s_-]+", "", unicodedata.normalize("NFKC", name).casefold())
        alike.setdefault(bare, []).append(name)
    groups = [group for group in alike.values() if len(group) > 1]
    if groups:
        sentence = f"{sum(map(len, groups)):,} labels have names that are nearly equal"
        named = tuple(", ".join(f'"{name}"' for name in group) for group in groups[:SHOWN])
        yield Finding("similar names", len(groups), sentence, named)


def _always_together(train: csr_array, names: Sequence[str]) -> Iterator[Finding]:
    """Find labels that never occur without another one, each with the rarest such label."""
    counts = train.sum(0, dtype=np.int64)
    both = (train.astype(np.int64).T @ train.astype(np.int64)).tocoo()
    always = (both.row != both.col) & (both.data == counts[both.row]) & (counts[both.row] >= ENOUGH)
    partner: dict[int, int] = {}
    for one, other in zip(both.row[always].tolist(), both.col[always].tolist(), strict=True):
        if one not in partner or counts[other] < counts[partner[one]]:
            partner[one] = other
    if partner:
        first = sorted(partner, key=lambda label: (-counts[label], label))[:SHOWN]
        pairs = tuple(
            f'"{names[one]}" ({counts[one]:,}) never without "{names[partner[one]]}" ({counts[partner[one]]:,})'
            for one in first
        )
        yield Finding("always together", len(partner), f"{len(partner):,} labels of train never occur alone", pairs)


def _never_together(train: csr_array, names: Sequence[str]) -> Iterator[Finding]:
    """Find pairs of labels that exclude each other though both are frequent."""
    counts = train.sum(0, dtype=np.float64)
    frequent = np.flatnonzero(counts > EXPECTED)
    expected = np.outer(counts[frequent], counts[frequent]) / max(train.shape[0], 1)
    chosen = train[:, frequent].astype(np.int64)
    absent = (chosen.T @ chosen).toarray() == 0
    first, second = np.nonzero(np.triu(absent & (expected >= EXPECTED), k=1))
    # If every example has one label, no two can occur together: nothing to report.
    if not len(first) or np.diff(train.indptr).max() < 2:
        return
    order = np.argsort(-expected[first, second], kind="stable")[:SHOWN]
    pairs = []
    for one, other in zip(first[order].tolist(), second[order].tolist(), strict=True):
        pair = f'"{names[frequent[one]]}" and "{names[frequent[other]]}"'
        pairs.append(f"{pair}, where {expected[one, other]:.0f} examples with both were to be expected")
    sentence = f"{len(first):,} pairs of frequent labels exclude one another"
    yield Finding("never together", len(first), sentence, tuple(pairs))


def _suspicion(it: Suspect, splits: Splits) -> str:
    place, has = _place(splits.train, it.row), "has" if it.present else "lacks"
    what = f'{place} {has} "{splits.vocabulary.names[it.label]}" (probability {it.probability:.2f})'
    return f"{what}: {_excerpt(splits.train, it.row)}"


def _place(examples: Examples, row: int) -> str:
    return _short(examples.where(row))


def _short(place: str) -> str:
    """Remove the folder from a place."""
    path, comma, line = place.rpartition(", ")
    return f"{Path(path).name}{comma}{line}"


def _excerpt(examples: Examples, row: int) -> str:
    item = examples.inputs[row]
    if isinstance(item, Path):
        return item.name
    return " ".join(item.split())[:70] if isinstance(item, str) else f"example {examples.ids[row]}"


def _set(labels: Sequence[str]) -> str:
    return f"{{{', '.join(labels[:SHOWN])}{', ...' if len(labels) > SHOWN else ''}}}"


def _kept(split: SplitName, splits: Splits, removed: Counter[str]) -> list[int]:
    """Return the rows of a split that stay, and count the others by their reason."""
    examples = splits.by_name[split]
    order = list(splits.by_name)
    later = {key for name in order[order.index(split) + 1 :] for key in fingerprints(splits.by_name[name])}
    seen: set[tuple[bytes, frozenset[str]]] = set()
    rows = []
    for row, (key, labels) in enumerate(zip(fingerprints(examples), examples.label_sets or [], strict=True)):
        same = (key, frozenset(labels))
        reason = (
            "empty" if examples.kind == "text" and is_empty(examples.inputs[row])
            else "in a later part" if key in later
            else "repeated" if same in seen
            else ""
        )  # fmt: skip
        seen.add(same)
        if reason:
            removed[reason] += 1
        else:
            rows.append(row)
    return rows


def _record(examples: Examples, row: int, picture: Path) -> dict[str, object]:
    """Return an example as a JSON object; its labels are a list, or an object if some are soft or unknown.

    A picture that is bytes in a table becomes a file, named ``picture`` with the suffix of its format.
    """
    item = examples.inputs[row]
    record: dict[str, object] = {"id": examples.ids[row]}
    if isinstance(item, bytes):
        item = _written_picture(item, picture)
    record |= {"image": str(item.resolve())} if isinstance(item, Path) else {"text": item}
    labels = (examples.label_sets or [])[row]
    record["labels"] = list(labels)
    if examples.values is not None:
        values: dict[str, float | None] = dict.fromkeys(labels, 1.0)
        odd = examples.values[row].items()
        record["labels"] = values | {name: None if math.isnan(value) else value for name, value in odd}
    if examples.annotated is not None:
        record["annotated"] = list(examples.annotated[row])
    return record


def _written_picture(picture: bytes, path: Path) -> Path:
    with open_picture(picture) as image:
        path = path.with_suffix(f".{image.format}".lower())
    with whole_file(path) as file:
        file.write(picture)
    return path


def _write_archive(splits: Splits, kept: dict[SplitName, list[int]], path: Path) -> None:
    chosen = {split: examples.select(kept[split]) for split, examples in splits.by_name.items()}
    features = np.concatenate([np.asarray(examples.inputs) for examples in chosen.values()])
    labels = [
        splits.vocabulary.encode_values(examples.label_sets or [], examples.values, examples.annotated).toarray()
        for examples in chosen.values()
    ]
    codes = np.concatenate([np.full(len(examples), SPLIT_CODES.index(split)) for split, examples in chosen.items()])
    with whole_file(path) as file:
        names = np.array(splits.vocabulary.names)
        np.savez_compressed(file, X=features, Y=np.concatenate(labels), label_names=names, split=codes)
