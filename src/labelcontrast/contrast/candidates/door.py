"""The door of a loss: projections become unit vectors, labels label sets, and what does not fit is refused by name."""

from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from labelcontrast.contrast.label_sets import LabelSets
from labelcontrast.errors import EmbeddingError, LabelShapeError, TensorError

Labels: TypeAlias = Any  # a tensor, dense or sparse, or a SciPy sparse matrix


def unit_vectors(
    projections: Tensor, dtype: torch.dtype, *, dim: int | None = None, name: str = "projections"
) -> Float[Tensor, "batch views dim"]:
    """Put projections [batch, dim] or [batch, views, dim] on the unit sphere; a row of zeros stays where it is.

    Raises:
        EmbeddingError: another shape, another width than ``dim``, NaN or infinity.
    """
    if projections.ndim not in {2, 3} or not projections.is_floating_point() or not projections.shape[-1]:
        expected = "floats [batch, dim] or [batch, views, dim]"
        raise EmbeddingError(f"{name} must be {expected}. Got {projections.dtype} {list(projections.shape)}.")
    if dim not in {None, projections.shape[-1]}:
        raise EmbeddingError(f"{name} must have the width {dim}. Got {projections.shape[-1]}.")
    rows = projections.to(dtype)
    rows = rows if rows.ndim == 3 else rows.unsqueeze(1)
    largest = rows.detach().abs().amax(-1, keepdim=True)
    finite = largest.isfinite()
    if not finite.all():
        raise EmbeddingError(f"{name} must be finite. Got NaN or infinity in {int((~finite).sum())} rows.")
    # divided by its largest part first: the square of a huge or tiny number leaves the range of the type
    return F.normalize(rows / largest.masked_fill(largest == 0, 1), dim=-1)


def label_sets(
    labels: Labels,
    like: Float[Tensor, "batch views dim"],
    *,
    num_labels: int | None = None,
    dense: bool,
) -> LabelSets:
    """Read the labels of a batch: a tensor [batch, labels] of any type, dense or sparse, or a SciPy sparse matrix.

    Args:
        labels: from 0 to 1; NaN where it is not known.
        like: the projections that they belong to.
        num_labels: their number, where it is fixed.
        dense: whether every label has to have a column, even where the matrix is sparse.

    Raises:
        LabelShapeError: no matrix of this size.
        TensorError: a label that is not from 0 to 1.
    """
    if hasattr(labels, "tocoo"):
        labels = labels.tocoo()
        indices = torch.stack([torch.as_tensor(labels.row), torch.as_tensor(labels.col)])
        labels = torch.sparse_coo_tensor(indices, torch.as_tensor(labels.data), labels.shape, check_invariants=True)
    shape = None if labels is None else list(labels.shape)
    if shape is None or len(shape) != 2 or shape[0] != len(like) or num_labels not in {None, shape[1]}:
        width = "labels" if num_labels is None else num_labels
        raise LabelShapeError(f"labels must be a matrix [{len(like)}, {width}]. Got {shape or 'none'}.")
    if labels.layout != torch.strided:
        labels = labels.to(like.device).to_sparse_coo().coalesce()
        _check_range(labels.values())
        if not dense:
            return LabelSets.of_sparse(labels, like.dtype)
        labels = labels.to_dense()
    labels = labels.to(device=like.device, dtype=like.dtype)
    _check_range(labels)
    return LabelSets.of(labels)


def example_weights(weights: Tensor | None, like: Float[Tensor, "batch views dim"]) -> Float[Tensor, " batch"]:
    """Read the weights of the examples: 1 by default.

    Raises:
        LabelShapeError: not one for each.
        TensorError: one below 0, or not finite.
    """
    if weights is None:
        return like.new_ones(len(like))
    if weights.shape != (len(like),):
        raise LabelShapeError(f"weights must be one for each of {len(like)} examples. Got {list(weights.shape)}.")
    if not (weights.isfinite() & (weights >= 0)).all():
        raise TensorError(f"weights must be numbers from 0. Got {weights.min():g} to {weights.max():g}.")
    return weights.to(like)


def _check_range(labels: Tensor) -> None:
    """Refuse labels that are not from 0 to 1; NaN is none of these."""
    if ((labels < 0) | (labels > 1)).any():
        raise TensorError(f"labels must be from 0 to 1. Got {labels.min():g} to {labels.max():g}.")
