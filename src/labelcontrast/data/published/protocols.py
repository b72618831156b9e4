"""How the paper divides picture sets: train as it is, and the held-out part half and half into validation and test."""

from typing import Literal, get_args

import numpy as np
from sklearn.model_selection import train_test_split

from labelcontrast.data.examples import Examples
from labelcontrast.data.readers.official.source import Parts
from labelcontrast.errors import ConfigError, DataError, nearest

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
