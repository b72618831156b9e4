"""Projections, labels and weights: every form of labels is the same labels, and the rest is refused."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import scipy.sparse
import torch
from torch import Tensor

from labelcontrast.errors import EmbeddingError, LabelContrastError, LabelShapeError, TensorError
from labelcontrast.losses.factory import make_loss
from labelcontrast.losses.module import WIDE, example_weights, label_sets, unit_vectors
from labelcontrast.losses.registry import loss_catalogue

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
        (torch.tensor([1.0, -1.0, 1.0]), TensorError, "weights must be numbers from 0 to 1e\\+30. Got -1 to 1."),
        (torch.tensor([1.0, torch.inf, 1.0]), TensorError, "weights must be numbers from 0 to 1e\\+30. Got 1 to inf."),
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
        (
            "bce",
            lambda z, y: (z, y.tolist()),
            "labels must be a torch tensor or a SciPy sparse matrix. Got list; torch.as_tensor converts it.",
        ),
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


TREE = SimpleNamespace(ancestors=[[1, 0, 0], [1, 1, 0], [1, 0, 1]], depths=[0, 1, 1])
FOUR = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
ROWS = torch.eye(4, 6)


def hierarchy(**changed: object) -> SimpleNamespace:
    return SimpleNamespace(**{**vars(TREE), **changed})


@pytest.mark.parametrize(
    ("name", "made_with", "call", "message"),
    [
        ("supcon", {}, lambda f: f(ROWS, FOUR, keys=ROWS[:3]), "keys must be of the same 4 examples. Got 3."),
        ("supcon", {}, lambda f: f(ROWS, FOUR, keys=ROWS.repeat(2, 1)), "keys must be of the same 4 examples. Got 8."),
        ("supcon", {}, lambda f: f(ROWS, FOUR, keys=ROWS[:, :5]), "keys must have the width 6. Got 5."),
        ("supcon", {}, lambda f: f(ROWS, FOUR, keys=ROWS / 0), "keys must be finite. Got NaN or infinity in 4 rows."),
        (
            "hicone",
            {"hierarchy": TREE, "variant": "released"},
            lambda f: f(ROWS, FOUR, keys=ROWS),
            "hicone level by level takes no keys.",
        ),
        (
            "hicone",
            {"hierarchy": TREE, "variant": "released"},
            lambda f: f(ROWS, FOUR, weights=torch.ones(3)),
            "weights must be one for each of 4 examples. Got [3].",
        ),
        (
            "simclr",
            {},
            lambda f: f(ROWS),
            "simclr pairs views: it needs projections [batch, views, dim] with two views or more, or keys. Got [4, 6].",
        ),
        ("simclr", {}, lambda f: f.repulsion(ROWS, FOUR), "simclr ignores labels: it has no repulsion by label."),
        ("supcon", {}, lambda f: f(ROWS, FOUR.to(torch.complex64)), "labels must be from 0 to 1. Got torch.complex64."),
        ("supcon", {}, lambda f: f(ROWS, 1e-13 * FOUR), "a soft label must be 0 or from 1e-12. Got 1e-13; round it to"),
        (
            "supcon",
            {},
            lambda f: f(ROWS.to_sparse(), FOUR),
            "projections must be floats [batch, dim] or [batch, views,",
        ),
        (
            "supcon",
            {},
            lambda f: f(ROWS[:, None][:, :0], FOUR),
            "projections must be floats [batch, dim] or [batch, vi",
        ),
        (
            "supcon",
            {},
            lambda f: f(ROWS, FOUR, weights=torch.full((4,), 3e38)),
            "weights must be numbers from 0 to 1e+30",
        ),
        ("bce", {}, lambda f: f(ROWS[:, :3], 2 * FOUR), "labels must be from 0 to 1. Got 0 to 2."),
        ("lsep", {}, lambda f: f(ROWS[:, :3], FOUR - 1), "labels must be from 0 to 1. Got -1 to 0."),
        ("zlpr", {}, lambda f: f(ROWS[:, :3] / 0, FOUR), "logits must be finite. Got NaN or infinity in 4 rows."),
        (
            "asl",
            {},
            lambda f: f(ROWS[:, :3].to_sparse(), FOUR),
            "logits must be floats [batch, labels]. Got sparse torch",
        ),
        ("supcon", {"num_labels": True}, None, "num_labels must be a whole number from 1, or None. Got True."),
        (
            "reg",
            {"num_labels": 10**5000, "dim": 2},
            None,
            "num_labels must be a whole number from 1, or None. Got a nu",
        ),
        (
            "reg",
            {"num_labels": 10**9, "dim": 10**9},
            None,
            "reg keeps at most 1e+11 numbers as prototypes and queue. G",
        ),
        ("reg", {"num_labels": 3, "dim": 2, "generator": 0}, None, "generator must be a torch.Generator. Got int."),
        ("supcon", {"temperature": 10**400}, None, "temperature must be a number from 0.002 to 1000. Got 1000"),
        (
            "supcon",
            {"reduction": ["sum"]},
            None,
            "reduction must be one of mean_valid, mean_all, label_count, mean_kinds, sum, none",
        ),
        ("msc", {"beta": 1e30}, None, "beta must be a number from 1e-20 to 1e+20. Got 1e+30."),
        ("jaccard_sigmoid", {"bias": 200.0}, None, "bias must be a number from -50 to 50. Got 200.0."),
        ("reg", {"alpha": 40.0}, None, "alpha must be a number from -10 to 10. Got 40.0."),
        (["reg"], {}, None, "the name of a loss must be a word. Got ['reg']."),
        (
            "supcon",
            {"hierarchy": {"a": None}},
            None,
            "a hierarchy must have ancestors and depths, as labelcontrast.Hie",
        ),
        (
            "supcon",
            {"hierarchy": hierarchy(depths="abc")},
            None,
            "the ancestors and depths of a hierarchy must be numbers. Got",
        ),
        (
            "supcon",
            {"hierarchy": hierarchy(ancestors=torch.tensor(TREE.ancestors).T)},
            None,
            "the ancestors of a label must be itself and labels of a smaller depth.",
        ),
        (
            "supcon",
            {"hierarchy": hierarchy(depths=[0, 1, 10**6])},
            None,
            "the depths of a hierarchy must be from 0 and below 1000. Got 0 to 1000000.",
        ),
    ],
)
def test_wrong_uses_are_refused_in_one_line(
    name: Any, made_with: dict[str, Any], call: Callable[[Any], Tensor] | None, message: str, unchecked: None
) -> None:
    with pytest.raises(LabelContrastError) as caught:
        loss = make_loss(name, **made_with)
        assert call is not None
        call(loss)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [row.name for row in loss_catalogue()])
def test_an_empty_batch_is_0_for_every_loss(name: str) -> None:
    row = next(row for row in loss_catalogue() if row.name == name)
    sizes = {} if row.kind == "logit" else {"dim": 6, "hierarchy": TREE}
    variants = [{}, {"variant": "released"}] if "variant" in row.parameters else [{}]
    for variant in variants:
        z = torch.zeros((0, 3) if row.kind == "logit" else (0, 2, 6), requires_grad=True)
        value = make_loss(name, num_labels=3, **sizes, **variant)(z, FOUR[:0])
        value.backward()
        assert value == 0
        assert z.grad.shape == z.shape


@pytest.mark.parametrize("beta", [1e-20, 1e-10, 1e15, 1e20])
def test_extreme_factors_are_computed_in_float64(beta: float) -> None:
    generator = torch.Generator().manual_seed(0)
    loss = make_loss("msc", beta=beta, num_labels=3, dim=6, generator=generator)
    exact = make_loss("msc", beta=beta, num_labels=3, dim=6).double()
    exact.load_state_dict(loss.state_dict())
    torch.testing.assert_close(loss(ROWS, FOUR).double(), exact(ROWS.double(), FOUR), rtol=1e-6, atol=0)
    least = make_loss("jaccard_sigmoid", bias=50.0)(ROWS, FOUR)
    torch.testing.assert_close(least.double(), make_loss("jaccard_sigmoid", bias=50.0)(ROWS.double(), FOUR))


def test_a_wide_dense_matrix_is_read_as_its_sparse_one() -> None:
    wide = torch.zeros(4, WIDE)
    wide[:, :3] = FOUR
    wide[1, 5] = torch.nan
    expected = make_loss("base")(ROWS, wide[:, :6])
    torch.testing.assert_close(make_loss("base")(ROWS, wide), expected)
    counts = make_loss("base").repulsion(ROWS, wide).positives
    assert counts.shape == (WIDE,)
    assert counts[:3].tolist() == [2, 2, 0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler
@pytest.mark.parametrize("name", ["supcon", "reg", "himulcone", "bce"])
def test_compiled_by_the_default_backend(name: str, unchecked: None) -> None:
    sizes = {} if name == "bce" else {"dim": 6, "hierarchy": TREE}
    loss = make_loss(name, num_labels=3, **sizes)
    z = torch.randn(4, 3 if name == "bce" else 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    expected = loss(z, FOUR)
    value = torch.compile(loss)(z, FOUR)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value, z), torch.autograd.grad(expected, z))
