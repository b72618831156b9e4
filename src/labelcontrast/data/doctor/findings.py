"""What is wrong or odd about examples: repeats, near ones, conflicts, empty texts, unreadable pictures, cut texts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from labelcontrast.data.describe import Description
from labelcontrast.data.doctor.duplicates import fingerprints, words
from labelcontrast.data.doctor.near_duplicates import near_pairs
from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.readers.pictures import picture_problem
from labelcontrast.data.splitting.splits import Splits

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
