"""What is wrong or odd about labels: without an example, always or never together, contradicted by a probe."""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import csr_array

from labelcontrast.data.doctor.findings import SHOWN, Finding, name_of, short
from labelcontrast.data.doctor.suspects import Suspect
from labelcontrast.data.splitting.splits import Splits

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
