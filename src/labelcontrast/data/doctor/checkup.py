"""Checks of a data set for problems with examples and labels, as findings and as text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import wrap

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array

from labelcontrast.data.describe import Description
from labelcontrast.data.doctor.duplicates import fingerprints, near_pairs, words
from labelcontrast.data.doctor.suspects import Suspect, cleanlab_rows, out_of_fold, plain_features, suspects
from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.pictures import picture_problem
from labelcontrast.data.splits import Splits

SHOWN = 3
"""Examples that a finding has, at most."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found."""

    kind: str
    number: int
    sentence: str
    instances: tuple[str, ...]
    """The first of them, in words."""


def without_unreadable(splits: Splits) -> tuple[Splits, tuple[Finding, ...]]:
    """Leave out the pictures that cannot be read, and say which: nothing else can look at them."""
    findings = []
    parts: dict[Part, Examples] = {}
    for part, examples in splits.parts.items():
        problems = {
            row: problem
            for row, picture in enumerate(examples.inputs if examples.kind == "image" else ())
            if (problem := picture_problem(picture))
        }
        parts[part] = examples.select([row for row in range(len(examples)) if row not in problems])
        if problems:
            said = [f"{short(examples.where(row))}: {name_of(examples, row)} {why}" for row, why in problems.items()]
            sentence = f"{len(problems):,} of {len(examples):,} pictures of {part} cannot be read"
            findings.append(Finding("unreadable", len(problems), sentence, tuple(said[:SHOWN])))
    whole = replace(splits, train=parts["train"], val=parts["val"], test=parts["test"]) if findings else splits
    return whole, tuple(findings)


def about_examples(splits: Splits, description: Description) -> Iterator[Finding]:
    """Look for all that is about examples, what reaches across parts first."""
    yield from _repeated(description)
    yield from _conflicts(splits)
    yield from _nearly_repeated(splits)
    yield from _empty(splits)
    yield from _cut(description)


def is_empty(text: object) -> bool:
    """Say whether a text has no letter, digit or sign."""
    return not words(str(text))


def name_of(examples: Examples, row: int) -> str:
    """Return what an example is, in a few words."""
    item = examples.inputs[row]
    if isinstance(item, Path):
        return item.name
    return " ".join(item.split())[:70] if isinstance(item, str) else f"example {examples.ids[row]}"


def short(place: str) -> str:
    """Return the name of a file without its folder, with the line."""
    path, comma, line = place.rpartition(", ")
    return f"{Path(path).name}{comma}{line}"


def _repeated(description: Description) -> Iterator[Finding]:
    """Say which parts share examples."""
    for repeat in description.repeats:
        size = description.parts[repeat.later].examples
        where = "stand before in it" if repeat.earlier == repeat.later else f"are also in {repeat.earlier}"
        sentence = f"{repeat.examples:,} of {size:,} examples of {repeat.later} {where}"
        yield Finding("duplicates", repeat.examples, sentence, (" = ".join(map(short, repeat.instance)),))


def _conflicts(splits: Splits) -> Iterator[Finding]:
    """Find the same example with different label sets."""
    first: dict[bytes, tuple[Part, int]] = {}
    instances: list[str] = []
    number = 0
    for part, examples in splits.parts.items():
        for row, key in enumerate(fingerprints(examples)):
            before, place = first.setdefault(key, (part, row))
            one, other = (splits.parts[before].label_sets or [])[place], (examples.label_sets or [])[row]
            if set(one) != set(other):
                number += 1
                here = f"{short(splits.parts[before].where(place))} has {_set(one)}"
                instances.append(f"{here}, {short(examples.where(row))} has {_set(other)}")
    if number:
        yield Finding(
            "conflicts", number, f"{number:,} examples repeat another one with other labels", tuple(instances[:SHOWN])
        )


def _nearly_repeated(splits: Splits) -> Iterator[Finding]:
    """Find examples of val and test that are nearly one of an earlier part, but not the same."""
    parts = list(splits.parts.items())
    keys = [key for _, examples in parts for key in fingerprints(examples)]
    owner = [(part, row) for part, examples in parts for row in range(len(examples))]
    found: dict[tuple[Part, Part], dict[int, str]] = {}
    for pair in near_pairs([examples for _, examples in parts]):
        (before, one), (after, other) = owner[pair.first], owner[pair.second]
        if before != after and keys[pair.first] != keys[pair.second]:
            places = short(splits.parts[before].where(one)), short(splits.parts[after].where(other))
            said = f"{places[1]} and {places[0]}, {100 * pair.likeness:.0f} % alike"
            found.setdefault((before, after), {}).setdefault(other, said)
    for (before, after), rows in found.items():
        sentence = f"{len(rows):,} of {len(splits.parts[after]):,} examples of {after} are nearly one of {before}"
        yield Finding("near duplicates", len(rows), sentence, tuple(rows.values())[:SHOWN])


def _empty(splits: Splits) -> Iterator[Finding]:
    """Find texts without a word."""
    for part, examples in splits.parts.items():
        if examples.kind == "text":
            rows = [row for row, text in enumerate(examples.inputs) if is_empty(text)]
            if rows:
                places = tuple(f"{short(examples.where(row))}: {str(examples.inputs[row])[:20]!r}" for row in rows)
                yield Finding("empty", len(rows), f"{len(rows):,} texts of {part} have no word", places[:SHOWN])


def _cut(description: Description) -> Iterator[Finding]:
    """Say which texts are longer than is read."""
    for cut in description.truncations:
        texts = f"{cut.texts:,} texts of {cut.part} ({100 * cut.share:.1f} %)"
        sentence = f"{texts} are longer than {description.max_length} tokens"
        yield Finding("truncation", cut.texts, sentence, (f"the longest loses {cut.max_cut:,} tokens",))


def _set(labels: Sequence[str]) -> str:
    """Write a label set, its first three."""
    return f"{{{', '.join(labels[:SHOWN])}{', ...' if len(labels) > SHOWN else ''}}}"


EXPECTED = 5.0
"""Two labels never go together when so many examples with both were to be expected, and there is none."""
ENOUGH = 5
"""Examples of a label before it is said that it never stands without another."""


def about_labels(splits: Splits, train: csr_array, found: Sequence[Suspect]) -> Iterator[Finding]:
    """Look for all that is about labels; suspected ones last.

    Args:
        splits: the data.
        train: the labels of its training part, multi-hot.
        found: the labels that are suspected.
    """
    yield from _without_positives(splits)
    yield from _together(train, splits.vocabulary.names)
    yield from _never_together(train, splits.vocabulary.names)
    yield from _suspected(found, splits)


def about_cleanlab(splits: Splits, rows: Sequence[int]) -> Iterator[Finding]:
    """Show the training examples that cleanlab names."""
    if rows:
        said = tuple(f"{short(splits.train.where(row))}: {name_of(splits.train, row)}" for row in rows[:SHOWN])
        sentence = f"cleanlab names {len(rows):,} training examples whose label set is probably wrong"
        yield Finding("cleanlab", len(rows), sentence, said)


def _without_positives(splits: Splits) -> Iterator[Finding]:
    """Find the labels that a part has no example of."""
    for part, examples in splits.parts.items():
        counts = splits.vocabulary.encode(examples.label_sets or []).sum(0)
        absent = [name for name, count in zip(splits.vocabulary.names, counts, strict=True) if not count]
        if absent:
            sentence = f"{len(absent):,} of {len(counts):,} labels have no example in {part}"
            yield Finding("no positives", len(absent), sentence, tuple(f'"{name}"' for name in absent[:SHOWN]))


def _together(train: csr_array, names: Sequence[str]) -> Iterator[Finding]:
    """Find labels that never stand without another one, each with the rarest such."""
    counts = train.sum(0, dtype=np.int64)
    both = (train.astype(np.int64).T @ train.astype(np.int64)).tocoo()
    always = (both.row != both.col) & (both.data == counts[both.row]) & (counts[both.row] >= ENOUGH)
    partner: dict[int, int] = {}
    for one, other in zip(both.row[always].tolist(), both.col[always].tolist(), strict=True):
        if one not in partner or counts[other] < counts[partner[one]]:
            partner[one] = other
    if partner:
        first = sorted(partner, key=lambda label: (-counts[label], label))[:SHOWN]
        said = tuple(
            f'"{names[one]}" ({counts[one]:,}) never without "{names[partner[one]]}" ({counts[partner[one]]:,})'
            for one in first
        )
        yield Finding("always together", len(partner), f"{len(partner):,} labels of train never stand alone", said)


def _never_together(train: csr_array, names: Sequence[str]) -> Iterator[Finding]:
    """Find pairs of labels that exclude one another though both are frequent."""
    counts = train.sum(0, dtype=np.float64)
    frequent = np.flatnonzero(counts > EXPECTED)
    expected = np.outer(counts[frequent], counts[frequent]) / max(train.shape[0], 1)
    chosen = train[:, frequent].astype(np.int64)
    absent = (chosen.T @ chosen).toarray() == 0
    first, second = np.nonzero(np.triu(absent & (expected >= EXPECTED), k=1))
    # Where an example has one label, no two go together: that is said by the labels each, not here.
    if not len(first) or np.diff(train.indptr).max() < 2:
        return
    order = np.argsort(-expected[first, second], kind="stable")[:SHOWN]
    said = []
    for one, other in zip(first[order].tolist(), second[order].tolist(), strict=True):
        pair = f'"{names[frequent[one]]}" and "{names[frequent[other]]}"'
        said.append(f"{pair}, where {expected[one, other]:.0f} examples with both were to be expected")
    sentence = f"{len(first):,} pairs of frequent labels exclude one another"
    yield Finding("never together", len(first), sentence, tuple(said))


def _suspected(found: Sequence[Suspect], splits: Splits) -> Iterator[Finding]:
    """Show the labels that are most probably wrong."""
    if not found:
        return
    said = []
    for it in found[:SHOWN]:
        has = "has" if it.present else "lacks"
        place = short(splits.train.where(it.row))
        what = f'{place} {has} "{splits.vocabulary.names[it.label]}" (probability {it.probability:.2f})'
        said.append(f"{what}: {name_of(splits.train, it.row)}")
    rows = len({it.row for it in found})
    sentence = f"{len(found):,} labels of {rows:,} training examples are suspected of being wrong"
    yield Finding("suspected labels", len(found), sentence, tuple(said))


WIDTH = 100


@dataclass(frozen=True)
class Checkup:
    """All that was found, and the labels of train that are suspected, the worst first."""

    findings: tuple[Finding, ...]
    suspects: tuple[Suspect, ...] = field(repr=False)


def check(
    splits: Splits,
    description: Description,
    *,
    features: Float[np.ndarray, "examples dim"] | None = None,
    cleanlab: bool = False,
) -> Checkup:
    """Look for everything that the doctor knows of.

    Args:
        splits: the data, every picture readable.
        description: of the same data; repeats and truncation are taken from it.
        features: of train, for the probe that suspects labels; by default what needs no encoder.

        cleanlab: whether cleanlab shall judge the same probabilities too; it is an extra.

    Returns:
        What was found: about examples, then about labels.

    Raises:
        MissingExtraError: when cleanlab is asked for and not installed.
    """
    train = splits.vocabulary.encode(splits.train.label_sets or [])
    rows = plain_features(splits.train) if features is None else features
    probabilities = out_of_fold(rows, train)
    found = suspects(probabilities, train)
    findings = [*about_examples(splits, description), *about_labels(splits, train, found)]
    if cleanlab:
        findings += about_cleanlab(splits, cleanlab_rows(probabilities, train))
    return Checkup(tuple(findings), tuple(found))


def render_findings(findings: Sequence[Finding]) -> str:
    """Write findings for a reader: a sentence each, its examples below it.

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
