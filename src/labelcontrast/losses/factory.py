"""Make a loss from its name: one function for all, and one for each loss with its parameters in the signature."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from textwrap import wrap
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from labelcontrast.errors import ConfigError, TensorError
from labelcontrast.losses import logits
from labelcontrast.losses.axes import SIZES, Contrast, LossRow, Parameter, shown, whole_number
from labelcontrast.losses.levels import Closure, HierarchyArrays
from labelcontrast.losses.logits import FunctionLoss, LogitLoss
from labelcontrast.losses.loss import ContrastiveLoss, LevelByLevel
from labelcontrast.losses.registry import check_loss, computes, is_built_in, loss_catalogue, loss_row

LARGEST_TABLE = 10**11
"""Largest number of numbers in prototypes and queue, with their labels: 400 GB."""


def make_loss(
    name: str,
    *,
    num_labels: int | None = None,
    dim: int | None = None,
    generator: torch.Generator | None = None,
    hierarchy: HierarchyArrays | None = None,
    **parameters: object,
) -> nn.Module:
    """Make a loss; call it with (projections or logits, labels) for a scalar.

    Args:
        name: A name of :func:`loss_catalogue`.
        num_labels: Number of labels; required for prototypes and queues, elsewhere a check.
        dim: Width of the projections; required for prototypes and queues, elsewhere a check.
        generator: Draws the prototypes; by default torch's own.
        hierarchy: Of the labels, in the order of their columns; every label of an example then stands for all labels
            above it too. Required by the losses over levels.
        **parameters: Those of the loss, listed below.

    Returns: A module; its settings are attributes, as ``loss.temperature``. Those that the forward pass reads can be
        assigned, for a schedule; the others are fixed.

    Raises:
        ConfigError: There is no such loss or parameter, a parameter does not accept its value, or a size is missing.

    Example:
        >>> loss = make_loss("supcon", temperature=0.5)
        >>> loss(torch.eye(3), torch.tensor([[1, 0], [1, 1], [0, 1]]))  # all equally far: log of the two candidates
        tensor(0.6931)
        >>> loss.temperature
        0.5
    """
    settings = check_loss(name, parameters)
    closure = None if hierarchy is None else Closure(hierarchy)
    num_labels = _number_of_labels(num_labels, closure)
    for what, size in {"num_labels": num_labels, "dim": dim}.items():
        whole_number(what, None, "", low=1).read(size)
    if generator is not None and not isinstance(generator, torch.Generator):
        raise ConfigError(f"generator must be a torch.Generator. Got {type(generator).__name__}.")
    row = loss_row(name)
    _check_hierarchy(row, closure)
    if row.function is not None:
        sizes = {"num_labels": num_labels, "dim": dim, "generator": generator, "hierarchy": hierarchy}
        return _own_loss(row, row.function, settings, sizes)
    contrast = row.contrast_of(settings)
    if contrast is None:
        settings.pop("preset", None)
        return LogitLoss(getattr(logits, name), settings, num_labels=num_labels)
    _check_affinities(name, contrast)
    if "prototypes" in contrast.candidates and (num_labels is None or dim is None):
        raise ConfigError(
            f"{name} has a prototype for every label: it needs num_labels and dim. Got {num_labels} and {dim}."
        )
    if settings["queue_size"] and (dim is None or (num_labels is None and not contrast.views_only)):
        raise ConfigError(f"a queue keeps rows and labels: it needs num_labels and dim. Got {num_labels} and {dim}.")
    prototypes = (num_labels or 0) if "prototypes" in contrast.candidates else 0
    kept = prototypes * (dim or 0) + settings["queue_size"] * ((dim or 0) + (num_labels or 0))
    if kept > LARGEST_TABLE:
        asked = f"num_labels={num_labels}, dim={dim} and queue_size={settings['queue_size']}"
        raise ConfigError(f"{name} keeps at most {LARGEST_TABLE:g} numbers as prototypes and queue. Got {asked}.")
    if closure is not None and contrast.level_means:
        return LevelByLevel(contrast, settings, closure, dim=dim, name=name)
    return ContrastiveLoss(
        contrast, settings, num_labels=num_labels, dim=dim, generator=generator, closure=closure, name=name
    )


@runtime_checkable
class LossMaker(Protocol):
    """A function that makes one loss: ``reg(num_labels=54, dim=256, alpha=1.0)``."""

    def __call__(self, **arguments: Any) -> nn.Module:  # noqa: ANN401
        """Make the loss."""


def __getattr__(name: str) -> LossMaker:
    """Return the function that makes one loss."""
    if name in {row.name for row in loss_catalogue()}:
        return maker(name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def maker(name: str) -> LossMaker:
    """Return ``make_loss`` for one loss, with its parameters in signature and docstring.

    Example:
        >>> inspect.signature(maker("zlpr"))
        <Signature (*, num_labels: int | None = None, reduction: str = 'mean') -> torch.nn.modules.module.Module>
    """
    row = loss_row(name)

    def make(**arguments: Any) -> nn.Module:  # noqa: ANN401
        return make_loss(name, **arguments)

    make.__name__ = make.__qualname__ = name
    make.__module__ = "labelcontrast.losses"
    make.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*(_argument(size, kind) for size, kind in _sizes(row).items()), *(_of(one) for one in row.takes)],
        return_annotation=nn.Module,
    )
    make.__doc__ = _documentation(row)
    return make


_SIZES: dict[str, tuple[Any, str]] = {
    "num_labels": (int | None, "Number of labels."),
    "dim": (int | None, "Width of the projections."),
    "generator": (torch.Generator | None, "Draws the prototypes; by default torch's own."),
    "hierarchy": (HierarchyArrays | None, "Of the labels, in the order of their columns."),
}


def _sizes(row: LossRow) -> dict[str, Any]:
    """Return the arguments that a loss takes beside its parameters, with their types."""
    named = SIZES if row.kind == "contrastive" else ("num_labels",)
    return {name: _SIZES[name][0] for name in named}


def _argument(name: str, kind: Any, default: object = None) -> inspect.Parameter:  # noqa: ANN401
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _of(parameter: Parameter) -> inspect.Parameter:
    optional = parameter.default is None or parameter.expected.endswith("or None")
    kind: Any = float if parameter.real else int if parameter.default is None else type(parameter.default)
    return _argument(parameter.name, kind | None if optional else kind, parameter.default)


def _documentation(row: LossRow) -> str:
    lines = [row.summary, "", *([f".. math:: {row.equation}", ""] if row.equation else []), "Args:"]
    lines += [f"    {name}: {_SIZES[name][1]}" for name in _sizes(row)]
    for one in row.takes:
        meaning = f"{one.meaning[:1].upper()}{one.meaning[1:]}; {one.expected}." if one.meaning else f"{one.expected}."
        lines += wrap(f"{one.name}: {meaning}", 112, initial_indent="    ", subsequent_indent="        ")
    called = "logits" if row.kind == "logit" else "projections"
    lines += ["", f"Returns: A module, called as ``loss({called}, labels)`` for a scalar."]
    return "\n".join([*lines, *(["", f"Reference: {row.reference}."] if row.reference else [])])


def _list_parameters() -> str:
    """List all losses with their parameters, those that all contrastive losses have once."""
    rows = loss_catalogue()
    shared = [one for one in rows[-1].takes if all(one.name in row.parameters for row in rows if row.contrast)]

    def call(name: str, parameters: list[Parameter]) -> list[str]:
        listed = ", ".join(f"{one.name}={one.default!r}" for one in parameters)
        return wrap(f"{name}({listed})", 112, initial_indent="        ", subsequent_indent="            ")

    lines = ["", "    Parameters of every contrastive loss, with their usual defaults:", *call("", shared)]
    lines += ["", "    Losses, with the parameters that are their own or have another default:"]
    usual = {(one.name, one.default) for one in shared}
    for row in rows:
        lines += call(row.name, [one for one in row.takes if not row.contrast or (one.name, one.default) not in usual])
    return "\n".join([*lines, "    "])


make_loss.__doc__ = (make_loss.__doc__ or "").rstrip() + "\n" + _list_parameters()


def _own_loss(
    row: LossRow, function: Callable[..., Any], settings: dict[str, Any], sizes: Mapping[str, object]
) -> nn.Module:
    """Make a registered loss that is not on the axes."""
    known = inspect.signature(function).parameters
    given = settings | {name: size for name, size in sizes.items() if name in known}
    if not computes(function):
        function, given = function(**given), {}
    if not callable(function):
        raise ConfigError(f"{row.name} must make a function or module. Got {type(function).__name__}.")
    loss = function
    if not isinstance(loss, nn.Module):
        kind = LogitLoss if row.kind == "logit" else FunctionLoss
        num_labels = sizes["num_labels"]
        loss = kind(function, given, num_labels=num_labels if isinstance(num_labels, int) else None, name=row.name)
    if settings.get("reduction") != "none":
        loss.register_forward_hook(partial(_check_scalar, row.name))
    return loss


def _check_scalar(name: str, _loss: nn.Module, _inputs: object, value: object) -> None:
    if not isinstance(value, torch.Tensor) or value.ndim:
        found = f"shape {list(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
        raise TensorError(f"the loss {name} must return a scalar tensor. Got {found}.")


def _check_affinities(name: str, contrast: Contrast) -> None:
    """Compute the affinities of a registered loss for small label sets, empty and soft ones among them.

    Raises:
        ConfigError: A function fails, or a value is negative or not finite.
    """
    if is_built_in(name):
        return
    given = [one for one in (contrast.affinity, contrast.prototype_affinity, contrast.pair_prior) if one is not None]
    sizes = torch.tensor([0.0, 0.5, 1.0, 2.0, 3.0])
    size_i, size_j = sizes[:, None], sizes[None]
    for affinity, most in product(given, sizes):
        overlap = size_i.minimum(size_j).minimum(most)
        try:
            values = affinity(overlap, size_i, size_j)
        except Exception as error:
            message = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(f"the affinity of {name} raised {message}") from error
        if not isinstance(values, torch.Tensor) or values.shape != overlap.shape or not values.is_floating_point():
            tensor = isinstance(values, torch.Tensor)
            found = f"{values.dtype} {list(values.shape)}" if tensor else type(values).__name__
            raise ConfigError(f"the affinity of {name} must return floats in the shape of the overlap. Got {found}.")
        for i, j in (~(values.isfinite() & (values >= 0))).nonzero().tolist():
            sets = f"sets of {sizes[i]:g} and {sizes[j]:g} labels, {overlap[i, j]:g} in common"
            raise ConfigError(f"the affinity of {name} must be a number from 0. Got {values[i, j]:g} for {sets}.")


def _number_of_labels(given: int | None, closure: Closure | None) -> int | None:
    """Return the number of labels, that of the hierarchy where there is one."""
    if closure is not None and given is not None and given != len(closure):
        raise ConfigError(f"num_labels must be that of the hierarchy, {len(closure)}. Got {shown(given)}.")
    return given if closure is None else len(closure)


def _check_hierarchy(row: LossRow, closure: Closure | None) -> None:
    """Refuse a hierarchy that is missing or has no use."""
    if row.needs_hierarchy and closure is None:
        raise ConfigError(f"{row.name} needs a hierarchy of the labels.")
    if row.kind == "logit" and closure is not None:
        raise ConfigError(f"{row.name} takes no hierarchy.")
