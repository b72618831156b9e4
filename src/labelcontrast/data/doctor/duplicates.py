"""Examples that stand more than once: within a part, or, what spoils a test, in two parts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import combinations_with_replacement

import numpy as np

from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.readers.pictures import Picture
from labelcontrast.data.splitting.splits import Splits


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """How many examples of a part are also in an earlier part, or stand before in the same."""

    earlier: Part
    later: Part
    examples: int
    """Examples of the later part."""
    instance: tuple[str, str]
    """The places of one of them: the earlier, and the later."""


def duplicates(splits: Splits) -> tuple[Repeat, ...]:
    """Find the examples that are the same in two parts, or twice in one.

    Texts are the same when their words are, in small letters and without punctuation; pictures when their files are;
    vectors when all their numbers are.

    Returns:
        A row for each pair of parts that share an example; none where nothing is repeated.
    """
    keys = {part: list(fingerprints(examples)) for part, examples in splits.parts.items()}
    first = {part: {key: row for row, key in reversed(list(enumerate(keys[part])))} for part in keys}
    repeats = []
    for earlier, later in combinations_with_replacement(keys, 2):
        known = first[earlier]
        rows = [row for row, key in enumerate(keys[later]) if key in known and (earlier != later or known[key] < row)]
        if rows:
            one = splits.parts[earlier].where(known[keys[later][rows[0]]]), splits.parts[later].where(rows[0])
            repeats.append(Repeat(earlier=earlier, later=later, examples=len(rows), instance=one))
    return tuple(repeats)


def fingerprints(examples: Examples) -> Iterator[bytes]:
    """Give each example a key of 16 bytes that two examples share when they are the same.

    Example:
        >>> texts = ["Good food!", "good  food", "bad food"]
        >>> first, second, third = fingerprints(Examples(
        ...     inputs=texts, label_sets=None, kind="text", ids=texts, lines=[1, 2, 3], origin="", understood=""))
        >>> first == second, first == third
        (True, False)
    """
    if isinstance(examples.inputs, np.ndarray):
        contents = (row.tobytes() for row in examples.inputs)
    else:
        contents = (_content(item) for item in examples.inputs)
    for content in contents:
        yield blake2b(content, digest_size=16).digest()


def words(text: str) -> bytes:
    """Return the words of a text in small letters; of a text without words, what it is."""
    return (" ".join(re.findall(r"\w+", text.lower())) or text.strip()).encode()


def _content(item: str | Picture) -> bytes:
    """Return the words of a text, or the bytes of a picture."""
    return words(item) if isinstance(item, str) else item if isinstance(item, bytes) else item.read_bytes()
