"""Examples that occur more than once, exactly or nearly."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, combinations, combinations_with_replacement
from zlib import crc32

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from PIL import Image

from labelcontrast.data.examples import Examples, SplitName
from labelcontrast.data.splits import Splits
from labelcontrast.encoders.pictures import Picture, decode_picture
from labelcontrast.errors import DataError
from labelcontrast.progress import tracked

WORDS = 3
"""Words of a shingle."""
HASHES, BANDS = 64, 16
NEARLY_EQUAL = 0.8
"""Minimum Jaccard similarity of the shingles of near-duplicate texts."""
SIDE = 16
MOST_BITS = 6
"""Bits of 256 in which the slopes of two pictures may differ; fewer than there are bands of 32 bits."""
CROWD = 200
"""Examples with a common band beyond which the band is ignored, as for plain pictures."""


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """The number of examples of a split that are also in an earlier split, or earlier in the same."""

    earlier: SplitName
    later: SplitName
    examples: int
    """Examples of the later split."""
    instance: tuple[str, str]
    """The places of one of them: the earlier, and the later."""


@dataclass(frozen=True)
class NearPair:
    """Two examples that are nearly the same, by their positions among all examples."""

    first: int
    second: int
    likeness: float
    """From 0 to 1: the Jaccard similarity of the shingles, or the share of equal bits."""


def duplicates(splits: Splits) -> tuple[Repeat, ...]:
    """Find the examples that are the same in two splits, or twice in one.

    Texts are the same if their words are, in small letters and without punctuation; pictures if their files are;
    vectors if all their numbers are.

    Returns: An entry for each pair of splits that share an example.
    """
    keys = {split: list(fingerprints(examples)) for split, examples in splits.by_name.items()}
    first = {split: {key: row for row, key in reversed(list(enumerate(keys[split])))} for split in keys}
    repeats = []
    for earlier, later in combinations_with_replacement(keys, 2):
        known = first[earlier]
        rows = [row for row, key in enumerate(keys[later]) if key in known and (earlier != later or known[key] < row)]
        if rows:
            places = splits.by_name[earlier].where(known[keys[later][rows[0]]]), splits.by_name[later].where(rows[0])
            repeats.append(Repeat(earlier=earlier, later=later, examples=len(rows), instance=places))
    return tuple(repeats)


def fingerprints(examples: Examples) -> Iterator[bytes]:
    """Yield a key of 16 bytes for each example; two examples share it if they are the same.

    Example:
        >>> texts = ["Good food!", "good  food", "bad food"]
        >>> first, second, third = fingerprints(Examples(
        ...     inputs=texts, label_sets=None, kind="text", ids=texts, lines=[1, 2, 3], origin="", understood=""))
        >>> first == second, first == third
        (True, False)
    """
    if isinstance(examples.inputs, np.ndarray):
        contents = (row.tobytes() for row in examples.inputs)
    elif sp.issparse(examples.inputs):
        contents = (row.indices.tobytes() + row.data.tobytes() for row in sp.csr_array(examples.inputs))
    else:
        contents = (_content(item) for item in examples.inputs)
    for content in contents:
        yield blake2b(content, digest_size=16).digest()


def words(text: str) -> bytes:
    """Return the words of a text in small letters; a text without words is returned as it is."""
    return (" ".join(re.findall(r"\w+", text.lower())) or text.strip()).encode()


def near_pairs(parts: Sequence[Examples]) -> list[NearPair]:
    """Find the pairs of examples that are nearly the same, the most similar first; there are none of vectors.

    Texts are nearly the same if the Jaccard similarity of their triples of words is at least 80 %. Candidates share one
    of 16 bands of four minimal hashes, which misses one such pair in five thousand. Pictures are nearly the same if at
    most 6 of 256 bits differ, which compare the brightness of neighbours among 17 x 16 points. No such pair is missed,
    unless more than 200 pictures have a band in common.

    Args:
        parts: The examples; positions are counted through all parts.

    Reference: Broder, On the resemblance and containment of documents, 1997.
    """
    if parts[0].kind == "vector":
        return []
    every = chain.from_iterable(part.inputs for part in parts)
    inputs = tracked(every, "near duplicates", total=sum(map(len, parts)))
    if parts[0].kind == "text":
        pairs = _near_texts([shingles(str(text)) for text in inputs])
    else:
        pairs = _near_pictures([slopes(picture) for picture in inputs])
    return sorted(pairs, key=lambda pair: -pair.likeness)


def shingles(text: str) -> NDArray[np.uint64]:
    """Hash the triples of words of a text, in small letters; of a shorter text, all its words as one.

    Example:
        >>> len(shingles("one two three four")), len(shingles("one")), len(shingles(" "))
        (2, 1, 0)
    """
    words = re.findall(r"\w+", text.lower())
    spans = [words[at : at + WORDS] for at in range(max(len(words) - WORDS + 1, 1))] if words else []
    return np.unique(np.array([crc32(" ".join(span).encode()) for span in spans], dtype=np.uint64))


def slopes(picture: Picture) -> NDArray[np.uint8]:
    """Return for 16 x 16 points of a picture whether the next is brighter; empty for an unreadable or plain picture."""
    try:
        image = decode_picture(picture, place="").convert("L")
    except DataError:
        return np.zeros(0, dtype=np.uint8)
    grey = np.asarray(image.resize((SIDE + 1, SIDE), Image.Resampling.BOX), dtype=np.int16)
    bits = (np.diff(grey, axis=1) > 0).ravel()
    return np.packbits(bits) if bits.any() else np.zeros(0, dtype=np.uint8)


def _content(item: str | Picture) -> bytes:
    return words(item) if isinstance(item, str) else item if isinstance(item, bytes) else item.read_bytes()


def _near_texts(documents: list[NDArray[np.uint64]]) -> Iterator[NearPair]:
    """Verify the texts that share a band of minimal hashes."""
    for first, second in _candidates(_minimal_hashes(documents), [bool(len(document)) for document in documents]):
        shared = len(np.intersect1d(documents[first], documents[second], assume_unique=True))
        likeness = shared / (len(documents[first]) + len(documents[second]) - shared)
        if likeness >= NEARLY_EQUAL:
            yield NearPair(first, second, likeness)


def _near_pictures(pictures: list[NDArray[np.uint8]]) -> Iterator[NearPair]:
    """Verify the pictures that share a band of 32 bits."""
    bits = SIDE * SIDE
    whole = np.zeros((len(pictures), bits // 8), dtype=np.uint8)
    for row, picture in enumerate(pictures):
        whole[row, : len(picture)] = picture
    bands = whole.view(np.uint32).astype(np.uint64)
    for first, second in _candidates(bands, [bool(len(picture)) for picture in pictures]):
        different = int(np.bitwise_count(whole[first] ^ whole[second]).sum())
        if different <= MOST_BITS:
            yield NearPair(first, second, 1 - different / bits)


def _minimal_hashes(documents: list[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """Return the minimum of each of 64 hashes over the shingles of every document, four combined to a band."""
    random = np.random.default_rng(0)
    factors = random.integers(1, 2**63, HASHES, dtype=np.uint64) | np.uint64(1)
    starts = np.cumsum([0, *(len(document) for document in documents)])[:-1]
    filled = np.array([len(document) > 0 for document in documents], dtype=bool)
    everything = np.concatenate(documents) if documents else np.zeros(0, dtype=np.uint64)
    bands = np.zeros((len(documents), BANDS), dtype=np.uint64)
    for place, factor in enumerate(factors):
        hashed = (everything + np.uint64(place + 1)) * factor
        hashed ^= hashed >> np.uint64(29)
        least = np.minimum.reduceat(hashed, starts[filled]) if filled.any() else hashed
        band = place % BANDS
        bands[filled, band] = bands[filled, band] * np.uint64(0x9E3779B97F4A7C15) + least
    return bands


def _candidates(bands: NDArray[np.uint64], counted: Iterable[bool]) -> Iterator[tuple[int, int]]:
    """Yield each pair of rows once that have a band in common."""
    rows = np.flatnonzero(list(counted))
    seen: set[tuple[int, int]] = set()
    for band in bands.T:
        order = rows[np.argsort(band[rows], kind="stable")]
        edges = np.flatnonzero(np.diff(band[order])) + 1
        for group in np.split(order, edges):
            if 1 < len(group) <= CROWD:
                seen.update(combinations(sorted(group.tolist()), 2))
    yield from sorted(seen)
