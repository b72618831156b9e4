"""One door to all losses: a name and settings in, a module out."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from labelcontrast.errors import ConfigError
from labelcontrast.losses import logits as logit_losses
from labelcontrast.losses.axes import LossRow
from labelcontrast.losses.catalogue import check_loss, loss_row
from labelcontrast.losses.levels import Closure, HierarchyArrays
from labelcontrast.losses.loss import ContrastiveLoss
from labelcontrast.losses.whole_levels import LevelByLevel, by_levels


def make_loss(
    name: str,
    *,
    num_labels: int | None = None,
    dim: int | None = None,
    generator: torch.Generator | None = None,
    hierarchy: HierarchyArrays | None = None,
    **parameters: object,
) -> nn.Module:
    """Make a loss; it is called with (projections or logits, labels) and returns a scalar.

    Args:
        name: one of :func:`loss_catalogue`.
        num_labels: how many labels there are; needed where every label has a prototype, elsewhere a check.
        dim: width of the projections; needed where every label has a prototype, elsewhere a check.
        generator: what the prototypes are drawn with; by default torch's own.
        hierarchy: of the labels, in the order of their columns; a contrastive loss then takes each label for all that
            are above it too. Needed by those whose name begins with hi.
        **parameters: those of the loss, with defaults in the catalogue.

    Raises:
        ConfigError: no such loss or parameter, a value that the parameter does not accept, or no size for prototypes.

    Example:
        >>> loss = make_loss("supcon", temperature=0.5)
        >>> loss(torch.eye(3), torch.tensor([[1, 0], [1, 1], [0, 1]]))  # all equally far: log of the two candidates
        tensor(0.6931)
    """
    settings = check_loss(name, parameters)
    closure = None if hierarchy is None else Closure(hierarchy)
    num_labels = _number_of_labels(num_labels, closure)
    for what, size in {"num_labels": num_labels, "dim": dim}.items():
        if size is not None and (not isinstance(size, int) or size < 1):
            raise ConfigError(f"{what} must be a whole number from 1. Got {size!r}.")
    row = loss_row(name)
    _check_hierarchy(row, settings, closure)
    contrast = row.contrast
    if contrast is None:
        settings.pop("preset", None)
        return logit_losses.LogitLoss(getattr(logit_losses, name), settings, num_labels=num_labels)
    if "prototypes" in contrast.candidates and (num_labels is None or dim is None):
        raise ConfigError(
            f"{name} has a prototype for every label: it needs num_labels and dim. Got {num_labels} and {dim}."
        )
    if settings["queue_size"] and (dim is None or (num_labels is None and not contrast.views_only)):
        raise ConfigError(f"a queue keeps rows and labels: it needs num_labels and dim. Got {num_labels} and {dim}.")
    if closure is not None and by_levels(settings):
        return LevelByLevel(name, contrast, settings, closure, dim=dim)
    return ContrastiveLoss(contrast, settings, num_labels=num_labels, dim=dim, generator=generator, closure=closure)


def _number_of_labels(given: int | None, closure: Closure | None) -> int | None:
    """Take it from the hierarchy, where there is one."""
    if closure is not None and given not in {None, len(closure)}:
        raise ConfigError(f"num_labels must be that of the hierarchy, {len(closure)}. Got {given!r}.")
    return given if closure is None else len(closure)


def _check_hierarchy(row: LossRow, settings: Mapping[str, Any], closure: Closure | None) -> None:
    """Refuse a hierarchy that is missing or of no use, and what it does not go with."""
    if row.needs_hierarchy and closure is None:
        raise ConfigError(f"{row.name} needs a hierarchy of the labels.")
    if row.contrast is None and closure is not None:
        raise ConfigError(f"{row.name} takes no hierarchy.")
    if row.contrast is not None and row.contrast.constrained and settings["gather"]:
        raise ConfigError(f"{row.name} compares the pairs of one process: gather must be False.")
