"""Projections, labels and weights: every form of labels is the same labels, and the rest is refused."""

from collections.abc import Callable
from typing import Any

import pytest
import scipy.sparse
import torch
from torch import Tensor

from labelcontrast.errors import EmbeddingError, LabelShapeError, TensorError
from labelcontrast.losses.factory import make_loss
from labelcontrast.losses.module import example_weights, label_sets, unit_vectors

Z = torch.ones(3, 1, 2)
Y = torch.tensor([[1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])


@pytest.mark.parametrize(
    "labels",
    [
        Y,
        Y.bool(),
        Y.long(),
        Y.to_sparse(),
        Y.bool().to_sparse(),
        scipy.sparse.csr_array(Y.numpy()),
        scipy.sparse.coo_array(Y.int().numpy()),
    ],
)
def test_labels_of_every_form(labels: Any) -> None:
    for dense in (True, False):
        sets = label_sets(labels, Z, dense=dense)
        assert sets.sizes.tolist() == [2, 2, 0]
        overlap = sets.overlap(sets, slice(0, 1), slice(0, 3))
        assert overlap[0].tolist() == [2 if dense or sets.matrix.shape[1] == 4 else 1, 1, 0]
        assert not dense or torch.equal(sets.matrix, Y)


def test_compressed_rows() -> None:
    with pytest.warns(UserWarning, match="Sparse CSR tensor support is in beta"):
        labels = Y.to_sparse_csr()
    assert label_sets(labels, Z, dense=False).matrix.tolist() == [[1], [1], [0]]


def test_lengths_leave_the_range_of_no_type() -> None:
    rows = torch.tensor([[3.0, 4.0], [3e-30, 4e-30], [3e30, 4e30], [0.0, 0.0]], requires_grad=True)
    units = unit_vectors(rows, torch.float32)
    torch.testing.assert_close(units[:3, 0], torch.tensor([[0.6, 0.8]]).expand(3, 2))
    assert units[3].tolist() == [[0.0, 0.0]]
    units.sum().backward()
    assert rows.grad.isfinite().all()


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (torch.ones(2), LabelShapeError, r"weights must be one for each of 3 examples. Got \[2\]."),
        (torch.tensor([1.0, -1.0, 1.0]), TensorError, "weights must be numbers from 0. Got -1 to 1."),
        (torch.tensor([1.0, torch.inf, 1.0]), TensorError, "weights must be numbers from 0. Got 1 to inf."),
    ],
)
def test_refused_weights(weights: Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        example_weights(weights, Z)


def test_a_wrong_label_is_refused_beside_an_unknown_one() -> None:
    with pytest.raises(TensorError, match="labels must be from 0 to 1"):
        label_sets(torch.tensor([[torch.nan], [2.0], [0.0]]), Z, dense=False)


def test_refused_sparse_labels() -> None:
    with pytest.raises(TensorError, match="labels must be from 0 to 1"):
        label_sets((2 * Y).to_sparse(), Z, dense=False)
    with pytest.raises(LabelShapeError, match=r"labels must be a matrix \[3, 5\]. Got \[3, 4\]."):
        label_sets(scipy.sparse.csr_array(Y.numpy()), Z, num_labels=5, dense=False)


@pytest.mark.parametrize(
    ("z", "y", "error", "message"),
    [
        (torch.ones(2, 3), torch.ones(3, 4), LabelShapeError, r"labels must be a matrix \[2, 4\]. Got \[3, 4\]."),
        (torch.ones(2, 3), torch.ones(2, 5), LabelShapeError, r"labels must be a matrix \[2, 4\]. Got \[2, 5\]."),
        (torch.ones(2, 3), torch.ones(2), LabelShapeError, r"labels must be a matrix \[2, 4\]. Got \[2\]."),
        (torch.ones(2, 3), None, LabelShapeError, r"labels must be a matrix \[2, 4\]. Got none."),
        (torch.ones(2, 3), 2 * torch.ones(2, 4), TensorError, "labels must be from 0 to 1. Got 2 to 2."),
        (
            torch.ones(2, 0),
            torch.ones(2, 4),
            EmbeddingError,
            r"projections must be floats .* Got torch.float32 \[2, 0\].",
        ),
        (torch.ones(2), torch.ones(2, 4), EmbeddingError, r"projections must be floats .* Got torch.float32 \[2\]."),
        (torch.ones(2, 3).int(), torch.ones(2, 4), EmbeddingError, "projections must be floats .* Got torch.int32"),
        (torch.ones(2, 5), torch.ones(2, 4), EmbeddingError, "projections must have the width 3. Got 5."),
        (
            torch.tensor([[1.0, float("nan"), 1.0], [1.0, 1.0, 1.0]]),
            torch.ones(2, 4),
            EmbeddingError,
            "projections must be finite. Got NaN or infinity in 1 rows.",
        ),
    ],
)
def test_refused_projections_and_labels(z: Tensor, y: Tensor | None, error: type[Exception], message: str) -> None:
    loss = make_loss("wo_reg", num_labels=4, dim=3)
    with pytest.raises(error, match=message):
        loss(z, y)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "supcon",
            lambda z, y: (z.numpy(), y),
            "projections must be a torch tensor. Got ndarray; torch.as_tensor",
        ),
        ("supcon", lambda z, y: (z.tolist(), y), "projections must be a torch tensor. Got list; torch.as_tensor conv"),
        ("supcon", lambda z, y: (z, y.numpy()), "labels must be a torch tensor or a SciPy sparse matrix. Got ndarray;"),
        ("supcon", lambda z, y: (z, y.tolist()), "labels must be a torch tensor or a SciPy sparse matrix. Got list;"),
        (
            "bce",
            lambda z, y: (z.numpy(), y),
            "logits must be a torch tensor. Got ndarray; torch.as_tensor converts",
        ),
        ("bce", lambda z, y: (z, y.tolist()), "labels must be a torch tensor. Got list; torch.as_tensor converts it."),
    ],
)
def test_arrays_and_lists_are_refused(
    name: str, arguments: Callable[[Tensor, Tensor], tuple[Any, Any]], message: str, unchecked: None
) -> None:
    with pytest.raises(TensorError) as caught:
        make_loss(name)(*arguments(torch.ones(3, 4), Y))
    assert str(caught.value).startswith(message)


def test_weights_and_keys_must_be_tensors(unchecked: None) -> None:
    for name, value in {"weights": [1.0, 1.0, 1.0], "keys": [[1.0]] * 3}.items():
        with pytest.raises(TensorError, match=f"{name} must be a torch tensor. Got list"):
            make_loss("supcon")(Z, Y, **{name: value})
