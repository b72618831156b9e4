"""Base class of the loss modules: settings as attributes, and validation of projections, labels and weights."""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from math import isnan
from typing import Any, TypeAlias, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelcontrast.errors import ConfigError, EmbeddingError, LabelShapeError, TensorError, nearest
from labelcontrast.losses.axes import Parameter
from labelcontrast.losses.batch_labels import BatchLabels

Labels: TypeAlias = Any  # a tensor, dense or sparse, or a SciPy sparse matrix
Compute = TypeVar("Compute", bound=Callable[..., Tensor])
LEAST_LABEL = 1e-12
"""Smallest soft label: the product of two, over the number of labels, stays in the range of float32."""
LARGEST_WEIGHT = 1e30
"""Largest weight of an example: sums over a batch stay in the range of float32."""
WIDE = 4096
"""Columns from which a dense matrix is read as a sparse one, where its columns have no meaning of their own."""


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


def uncompiled(compute: Compute) -> Compute:
    """Leave a method out of ``torch.compile``, which cannot trace a gradient that is computed with the value.

    ``torch.compiler.disable`` is not the decorator, as it takes two seconds to load.
    """

    @wraps(compute)
    def call(*inputs: Any, **options: Any) -> Tensor:  # noqa: ANN401
        if torch.compiler.is_compiling():
            eager: Callable[..., Tensor] = torch.compiler.disable(compute)  # type: ignore[no-untyped-call]
            return eager(*inputs, **options)
        return compute(*inputs, **options)

    return call  # type: ignore[return-value]


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
    dense, empty = projections.layout == torch.strided, 0 in projections.shape[1:]
    if projections.ndim not in {2, 3} or not projections.is_floating_point() or empty or not dense:
        kind = f"{'' if dense else 'sparse '}{projections.dtype} {list(projections.shape)}"
        raise EmbeddingError(f"{name} must be floats [batch, dim] or [batch, views, dim]. Got {kind}.")
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
    repeated: bool = False,
    close: Callable[[Tensor], Tensor] | None = None,
) -> BatchLabels:
    """Read the labels of a batch: a tensor [batch, labels] of any type, dense or sparse, or a SciPy sparse matrix.

    Args:
        labels: From 0 to 1; NaN for unknown.
        like: The projections that they belong to.
        num_labels: Number of labels, where it is fixed.
        dense: Whether every label needs a column, even where the matrix is sparse.
        repeated: Whether an example is a candidate of itself, by a view or a key.
        close: Adds to the matrix, dense or sparse, the labels that these imply.

    Raises:
        LabelShapeError: No matrix of this size.
        TensorError: A label that is not from 0 to 1, or labels that are neither a tensor nor a sparse matrix.
    """
    if labels is not None:
        check_labels(labels)
    shape = None if labels is None else list(labels.shape)
    if shape is None or len(shape) != 2 or shape[0] != len(like) or num_labels not in {None, shape[1]}:
        width = "labels" if num_labels is None else num_labels
        raise LabelShapeError(f"labels must be a matrix [{len(like)}, {width}]. Got {shape or 'none'}.")
    wide = shape[1] >= WIDE and not dense
    labels = labels.to_sparse() if wide and isinstance(labels, Tensor) else labels
    matrix = read_labels(labels, like, least=LEAST_LABEL)
    matrix = matrix if close is None else close(matrix)
    if matrix.layout == torch.strided:
        return BatchLabels.of(matrix)
    return BatchLabels.of(matrix.to_dense()) if dense else BatchLabels.of_sparse(matrix, least=1 if repeated else 2)


def check_labels(labels: Labels) -> None:
    """Raise TensorError for labels that are neither a tensor nor a SciPy sparse matrix, or no numbers."""
    if not hasattr(labels, "tocoo"):
        check_tensor(labels, "labels", expected="a torch tensor or a SciPy sparse matrix")
    if labels.is_complex() if isinstance(labels, Tensor) else labels.dtype.kind not in "biuf":
        raise TensorError(f"labels must be from 0 to 1. Got {labels.dtype}.")


def read_labels(labels: Labels, like: Tensor, *, least: float = 0.0) -> Tensor:
    """Return labels of a known shape in the precision and on the device of the rows they belong to.

    Those of a sparse matrix stay sparse: coordinates, each once.

    Raises:
        TensorError: A label that is not from 0 to 1 or NaN, or one above 0 and below ``least``.
    """
    matrix: Tensor
    if not isinstance(labels, Tensor):
        labels = labels.tocoo()
        indices = torch.stack([torch.as_tensor(labels.row), torch.as_tensor(labels.col)])
        values = torch.as_tensor(labels.data.astype("float64"))
        labels = torch.sparse_coo_tensor(indices, values, labels.shape, check_invariants=True)
    if labels.layout == torch.strided or (labels.layout == torch.sparse_coo and labels.dense_dim()):
        matrix = labels.to_dense().to(like.device, like.dtype)
        _check_range(matrix, least)
    else:
        matrix = labels.to_sparse_coo().to(like.device, like.dtype).coalesce()
        _check_range(matrix.values(), least)
    return matrix


def example_weights(weights: Tensor | None, like: Float[Tensor, "batch *rest"]) -> Float[Tensor, " batch"]:
    """Read the weights of the examples: 1 by default.

    Raises:
        LabelShapeError: Not one for each example.
        TensorError: One below 0, or not finite; or no tensor.
    """
    if weights is None:
        return like.new_ones(len(like))
    check_tensor(weights, "weights")
    if weights.shape != (len(like),) or weights.layout != torch.strided:
        raise LabelShapeError(f"weights must be one for each of {len(like)} examples. Got {list(weights.shape)}.")
    if weights.is_complex():
        raise TensorError(f"weights must be numbers from 0 to {LARGEST_WEIGHT:g}. Got {weights.dtype}.")
    weights = weights.to(like)
    if not ((weights >= 0) & (weights <= LARGEST_WEIGHT)).all():
        raise TensorError(
            f"weights must be numbers from 0 to {LARGEST_WEIGHT:g}. Got {weights.min():g} to {weights.max():g}."
        )
    return weights


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


def _check_range(labels: Tensor, least: float) -> None:
    """Refuse labels that are not from 0 to 1, other than NaN; the device is asked once."""
    if not labels.numel():
        return
    bounds = [*labels.aminmax(), *([labels.masked_fill(labels == 0, 1).amin()] if least else [])]
    low, high, *soft = torch.stack(bounds).tolist()
    if isnan(low):  # of all where one is
        _check_range(labels[~labels.isnan()], least)
    elif low < 0 or high > 1:
        raise TensorError(f"labels must be from 0 to 1. Got {low:g} to {high:g}.")
    elif soft and soft[0] < least:
        raise TensorError(f"a soft label must be 0 or from {least:g}. Got {soft[0]:g}; round it to 0.")
