"""Base class of the loss modules: settings as attributes, and validation of projections, labels and weights."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelcontrast.errors import ConfigError, EmbeddingError, LabelShapeError, TensorError, nearest
from labelcontrast.losses.axes import Parameter
from labelcontrast.losses.batch_labels import BatchLabels

Labels: TypeAlias = Any  # a tensor, dense or sparse, or a SciPy sparse matrix


class LossModule(nn.Module):
    """A loss with settings: each is an attribute, and ``repr`` shows them.

    A setting that the forward pass reads can be assigned, with the same check as when the loss is made; for example a
    temperature that follows a schedule. The others are fixed. An assignment to a name that is almost that of a setting
    is an AttributeError.

    Args:
        name: Of the loss.
        settings: Its parameters. A subclass sets its own attributes first.
    """

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.name = name
        self.settings = dict(settings)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        try:
            return super().__getattr__(name)
        except AttributeError:
            settings = self.__dict__.get("settings", {})
            if name not in settings:
                raise
            return settings[name]

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401
        settings = self.__dict__.get("settings", {})
        if name not in settings or name in self._parameters:
            if not name.startswith("_") and not hasattr(self, name) and (similar := nearest(name, settings)):
                raise AttributeError(f"{self.name} has no setting {name!r}{similar}.")
            super().__setattr__(name, value)
            return
        variable = {parameter.name: parameter for parameter in self._variable()}
        if name not in variable:
            raise ConfigError(f"{name} is fixed when {self.name} is made; make a new loss.")
        changed = {**self.settings, name: variable[name].read(value)}
        self._check_settings(changed)
        self.settings[name] = changed[name]

    def _variable(self) -> Iterable[Parameter]:
        """Return the parameters that the forward pass reads."""
        return ()

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        """Raise ConfigError for settings that do not go together."""

    def extra_repr(self) -> str:
        """Show the name and the settings."""
        return ", ".join([self.name, *(f"{name}={value!r}" for name, value in self.settings.items())])


def check_tensor(value: object, name: str, *, expected: str = "a torch tensor") -> None:
    """Raise TensorError for an array, a list or anything else that is no tensor."""
    if not isinstance(value, Tensor):
        hint = "; torch.as_tensor converts it" if hasattr(value, "__len__") else ""
        raise TensorError(f"{name} must be {expected}. Got {type(value).__name__}{hint}.")


def unit_vectors(
    projections: Tensor, dtype: torch.dtype, *, dim: int | None = None, name: str = "projections"
) -> Float[Tensor, "batch views dim"]:
    """Normalise projections, shape [batch, dim] or [batch, views, dim], to unit length; a row of zeros stays 0.

    Raises:
        EmbeddingError: Another shape, another width than ``dim``, NaN or infinity.
        TensorError: No tensor.
    """
    check_tensor(projections, name)
    if projections.ndim not in {2, 3} or not projections.is_floating_point() or not projections.shape[-1]:
        expected = "floats [batch, dim] or [batch, views, dim]"
        raise EmbeddingError(f"{name} must be {expected}. Got {projections.dtype} {list(projections.shape)}.")
    if dim not in {None, projections.shape[-1]}:
        raise EmbeddingError(f"{name} must have the width {dim}. Got {projections.shape[-1]}.")
    rows = projections.to(dtype)
    rows = rows if rows.ndim == 3 else rows.unsqueeze(1)
    largest = rows.detach().abs().amax(-1, keepdim=True)
    if not (largest < torch.inf).all():
        raise EmbeddingError(f"{name} must be finite. Got NaN or infinity in {int((~largest.isfinite()).sum())} rows.")
    units: Tensor = _UnitVectors.apply(rows, largest)
    return units


def label_sets(
    labels: Labels,
    like: Float[Tensor, "batch views dim"],
    *,
    num_labels: int | None = None,
    dense: bool,
    close: Callable[[Tensor], Tensor] | None = None,
) -> BatchLabels:
    """Read the labels of a batch: a tensor [batch, labels] of any type, dense or sparse, or a SciPy sparse matrix.

    Args:
        labels: From 0 to 1; NaN for unknown.
        like: The projections that they belong to.
        num_labels: Number of labels, where it is fixed.
        dense: Whether every label needs a column, even where the matrix is sparse.
        close: Adds to the matrix, dense or sparse, the labels that these imply.

    Raises:
        LabelShapeError: No matrix of this size.
        TensorError: A label that is not from 0 to 1, or labels that are neither a tensor nor a sparse matrix.
    """
    if hasattr(labels, "tocoo"):
        labels = labels.tocoo()
        indices = torch.stack([torch.as_tensor(labels.row), torch.as_tensor(labels.col)])
        labels = torch.sparse_coo_tensor(indices, torch.as_tensor(labels.data), labels.shape, check_invariants=True)
    if labels is not None:
        check_tensor(labels, "labels", expected="a torch tensor or a SciPy sparse matrix")
    shape = None if labels is None else list(labels.shape)
    if shape is None or len(shape) != 2 or shape[0] != len(like) or num_labels not in {None, shape[1]}:
        width = "labels" if num_labels is None else num_labels
        raise LabelShapeError(f"labels must be a matrix [{len(like)}, {width}]. Got {shape or 'none'}.")
    if labels.layout != torch.strided:
        labels = labels.to(like.device).to_sparse_coo().coalesce()
        _check_range(labels.values())
        labels = labels if close is None else close(labels.to(like.dtype))
        if not dense:
            return BatchLabels.of_sparse(labels, like.dtype)
        labels = labels.to_dense()
    labels = labels.to(device=like.device, dtype=like.dtype)
    _check_range(labels)
    return BatchLabels.of(labels if close is None else close(labels))


def example_weights(weights: Tensor | None, like: Float[Tensor, "batch views dim"]) -> Float[Tensor, " batch"]:
    """Read the weights of the examples: 1 by default.

    Raises:
        LabelShapeError: Not one for each example.
        TensorError: One below 0, or not finite; or no tensor.
    """
    if weights is None:
        return like.new_ones(len(like))
    check_tensor(weights, "weights")
    if weights.shape != (len(like),):
        raise LabelShapeError(f"weights must be one for each of {len(like)} examples. Got {list(weights.shape)}.")
    if not (weights.isfinite() & (weights >= 0)).all():
        raise TensorError(f"weights must be numbers from 0. Got {weights.min():g} to {weights.max():g}.")
    return weights.to(like)


class _UnitVectors(torch.autograd.Function):
    """``torch.nn.functional.normalize``, in half the passes, and for rows of any length.

    Each row is divided by its largest number first: the square of a huge or tiny one leaves the range of its type.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, largest: Tensor) -> Tensor:  # noqa: ANN401
        units = rows / largest.masked_fill(largest == 0, 1)
        length = torch.linalg.vector_norm(units, dim=-1, keepdim=True).clamp_(min=1e-12)
        units /= length
        ctx.save_for_backward(units, length * largest.masked_fill(largest == 0, 1))
        return units

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        units, length = ctx.saved_tensors
        along = torch.linalg.vecdot(upstream, units).unsqueeze(-1)
        return torch.addcmul(upstream, units, along, value=-1).div_(length), None


def _check_range(labels: Tensor) -> None:
    """Refuse labels that are not from 0 to 1, other than NaN."""
    if not labels.numel():
        return
    least, most = labels.aminmax()
    if least.isnan():  # of all where one is
        _check_range(labels[~labels.isnan()])
    elif least < 0 or most > 1:
        raise TensorError(f"labels must be from 0 to 1. Got {least:g} to {most:g}.")
