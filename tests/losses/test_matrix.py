"""Every loss with every form and kind of labels, and everything that can meet in a call, against literal loops.

Processes that gather are in test_candidates.py.
"""

import warnings
from dataclasses import dataclass
from math import isnan
from typing import Any

import oracle_of_rows as oracle
import pytest
import scipy.sparse
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle_of_rows import Row
from torch import Tensor
from trees import Tree, trees

import labelcontrast as lc
from labelcontrast.errors import ConfigError, EmbeddingError
from labelcontrast.losses import blocks, module
from labelcontrast.losses import loss as loss_module

NAMES = [row.name for row in lc.loss_catalogue() if row.contrast is not None]
WITH_PROTOTYPES = ["proto", "msc", "wo_reg", "reg", "bcl", "paco", "lacon"]
OVER_LEVELS = [row.name for row in lc.loss_catalogue() if row.needs_hierarchy]
ON_LOGITS = [row.name for row in lc.loss_catalogue() if row.kind == "logit"]
PARAMETERS: dict[str, list[dict[str, Any]]] = {
    "supcon": [{}, {"positives": "exact"}],
    "proto": [{}, {"denominator": "negatives"}],
    "multisupcon": [{}, {"threshold": 0.25}],
    "paco": [{}, {"alpha": 2.0}],
    "msc": [{}, {"alpha": 2.0, "beta": 0.3}, {"beta": 1e15}],
    "wo_reg": [{}, {"alpha": 1.0}, {"alpha": 1.0, "prototype_anchors": False}, {"instance_attraction": 0.0}],
    "reg": [
        {},
        {"alpha": 1.0},
        {"alpha": -1.0},
        {"prototype_anchors": False},
        {"instance_attraction": 3.0, "instance_repulsion": 0.1},
    ],
    "sincere": [{}, {"positives": "exact"}],
    "jaccard_sigmoid": [{}, {"bias": -1.0}, {"bias": 40.0}],
    "weighted": [
        {"affinity": affinity, "sharing": sharing}
        for affinity in ("any", "exact", "overlap", "jaccard", "inverse_union", "coverage", "similarity_dissimilarity")
        for sharing in ("per_anchor", "per_label", "per_positive")
    ]
    + [
        {"candidates": "prototypes", "sharing": "per_label"},
        {"candidates": "both", "affinity": "overlap", "instance_repulsion": 0.5},
        {"candidates": "both", "affinity": "jaccard", "sharing": "per_label", "prototype_anchors": True},
    ],
    "himulcon": [{"layer_penalty": "pow"}, {"variant": "released"}],
    "hicone": [{}, {"variant": "released"}, {"constraint": "levels"}],
    "himulcone": [{}, {"variant": "released"}, {"constraint": "levels"}],
}
LAYOUTS = ("dense", "COO", "CSR", "SciPy")
KINDS = ("binary", "soft", "tiny", "unknown")
MEETING = ("plain", "views", "queue", "keys", "keys and queue", "views and queue", "weights", "closure", "everything")


@dataclass(frozen=True)
class Case:
    """One call of a loss, and what it is made with; everything in float64."""

    parameters: dict[str, Any]
    dtype: torch.dtype
    layout: str
    z: Tensor
    y: Tensor
    keys: Tensor | None
    weights: Tensor | None
    tree: Tree | None
    earlier: list[tuple[Tensor, Tensor]]
    queue_size: int
    every: bool
    stop: float
    power: float


def in_layout(y: Tensor, layout: str) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support")
        return {
            "dense": lambda: y,
            "COO": y.to_sparse,
            "CSR": y.to_sparse_csr,
            "SciPy": lambda: scipy.sparse.csr_array(y.numpy()),
        }[layout]()


@st.composite
def labels(draw: st.DrawFn, *, size: int, width: int, kind: str) -> Tensor:
    """Draw labels of a kind; the soft ones add up without rounding."""
    values = {
        "binary": [0.0, 0.0, 1.0],
        "soft": [0.0, 0.25, 0.5, 1.0],
        "tiny": [0.0, 2.0**-39, 2.0**-20, 1.0],
        "unknown": [0.0, 1.0, 0.5, torch.nan],
    }[kind]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    return torch.tensor(values, dtype=torch.float64)[torch.randint(len(values), (size, width), generator=generator)]


@st.composite
def cases(draw: st.DrawFn, name: str) -> Case:
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    dtype = draw(st.sampled_from([torch.float64, torch.float32]))
    meeting, kind = draw(st.sampled_from(MEETING)), draw(st.sampled_from(KINDS))
    parameters = draw(st.sampled_from(PARAMETERS.get(name, [{}])))
    size, width, dim = draw(st.integers(0, 5)), draw(st.integers(1, 4)), 3

    def rows(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(dtype).double()

    views = (draw(st.integers(1, 3)),) if "views" in meeting or meeting == "everything" or name == "simclr" else ()
    queued = "queue" in meeting or meeting == "everything"
    # empty, in part, full, and wrapped around
    lengths = draw(st.sampled_from([[], [2], [4], [3, 3], [9]])) if queued else []
    over = name in OVER_LEVELS or meeting in {"closure", "everything"}
    if "exact" in parameters.values() and kind == "tiny":
        dtype = torch.float64  # 1 and a tiny label are 1 in float32
    tiny = 0.002 if dtype == torch.float64 else 0.05
    return Case(
        parameters={**parameters, "temperature": draw(st.sampled_from([tiny, 0.1, 0.5]))},
        dtype=dtype,
        layout=draw(st.sampled_from(LAYOUTS)),
        z=rows(size, *views, dim),
        y=draw(labels(size=size, width=width, kind=kind)),
        keys=rows(size, *draw(st.sampled_from([(), (2,)])), dim) if "keys" in meeting else None,
        weights=torch.rand(size, generator=generator).round(decimals=1)
        if meeting in {"weights", "everything"}
        else None,
        tree=draw(trees(size=width)) if over else None,
        earlier=[(rows(length, *views, dim), draw(labels(size=length, width=width, kind=kind))) for length in lengths],
        queue_size=4 if queued else 0,
        every=draw(st.booleans()),
        stop=draw(st.sampled_from([0.0, 0.5, 1.0])),
        power=draw(st.sampled_from([0.0, 0.0, 1.0, -0.5])),
    )


def expected_of(name: str, case: Case, z: Tensor, keys: Tensor | None, learned: dict[str, Tensor]) -> Tensor:
    """The loss by loops, from leaves in float64."""
    tree = case.tree
    closed = [oracle.close(y, tree.ancestors) if tree is not None else y for y in case.y.tolist()]
    stacked = z if z.ndim == 3 else z[:, None]
    offered = None if keys is None else keys if keys.ndim == 3 else keys[:, None]
    weights = [1.0] * len(z) if case.weights is None else case.weights.double().tolist()
    sets = torch.eye(len(z)).tolist() if name == "simclr" else closed
    by_example = [
        [Row(view, y, weight=weight) for view in of_one]
        for of_one, y, weight in zip(stacked, sets, weights, strict=True)
    ]
    instances = [row for of_one in by_example for row in of_one]
    anchors = instances if case.every else [of_one[0] for of_one in by_example]
    candidates = list(instances)
    if offered is not None:
        candidates = [Row(view, y) for of_one, y in zip(offered, sets, strict=True) for view in of_one]
    elsewhere: list[Row] = []
    for earlier_z, earlier_y in case.earlier:
        for of_one, y in zip(earlier_z if earlier_z.ndim == 3 else earlier_z[:, None], earlier_y.tolist(), strict=True):
            there = oracle.close(y, tree.ancestors) if tree is not None else y
            elsewhere += [Row(view, [0.0] * len(z) if name == "simclr" else there) for view in of_one]
    candidates += elsewhere[len(elsewhere) - case.queue_size :] if case.queue_size < len(elsewhere) else elsewhere
    given = {key: value for key, value in case.parameters.items() if key in {"temperature"}}
    own = {key: value for key, value in case.parameters.items() if key != "temperature"}
    zero = z.sum() * 0
    if name in OVER_LEVELS:
        depths = tree.depths.tolist()
        given |= {"penalty": own.get("layer_penalty", "uniform" if name == "hicone" else "exp"), "zero": zero}
        given["constrained"] = name != "himulcon"
        if own.get("variant") == "released" or own.get("constraint") == "levels":
            return oracle.by_levels(
                by_example, depths, representatives=own.get("variant") == "released", every=case.every, **given
            )
        return oracle.by_pairs(anchors, candidates, depths, **given)
    if "prototypes" in learned:
        one = torch.eye(len(learned["prototypes"])).tolist()
        prototypes = [Row(c, y, prototype=True) for c, y in zip(learned["prototypes"], one, strict=True)]
        anchors = anchors + (prototypes if prototypes_are_anchors(name, case) else [])
        alone = name == "proto" or own.get("candidates") == "prototypes"
        candidates = prototypes if alone else candidates + prototypes
    more = {"power": case.power, "bias": learned.get("bias", zero)}
    return zero + oracle.flat(name, anchors, candidates, stop=case.stop, **{**given, **own, **more})


def prototypes_are_anchors(name: str, case: Case) -> bool:
    return bool(case.parameters.get("prototype_anchors", name in {"wo_reg", "reg", "lacon"}))


def refused(name: str, case: Case) -> tuple[type[Exception], str] | None:
    """What a loss says by name that it does not take."""
    single = case.z.ndim == 2 or case.z.shape[1] == 1
    if name == "simclr" and single and case.keys is None:
        return EmbeddingError, "simclr pairs views"
    means = case.parameters.get("variant") == "released" or case.parameters.get("constraint") == "levels"
    if means and case.queue_size:
        return ConfigError, "level by level takes no queue_size"
    if means and case.keys is not None:
        return ConfigError, "level by level takes no keys"
    if case.keys is not None and prototypes_are_anchors(name, case):
        return ConfigError, "with keys, prototypes cannot be anchors too"
    return None


def compute(name: str, case: Case) -> None:
    """Compare value and gradients, or read the refusal."""

    def call() -> tuple[Tensor, torch.nn.Module, Tensor, Tensor | None]:
        sizes = {"num_labels": case.y.shape[1], "dim": 3, "queue_size": case.queue_size, "hierarchy": case.tree}
        more = {"anchor_views": "all" if case.every else "first"}
        if name not in OVER_LEVELS:
            more |= {"stop_repulsion": case.stop, "label_power": case.power}
        loss = lc.make_loss(name, generator=torch.Generator().manual_seed(0), **sizes, **more, **case.parameters)
        loss = loss.to(case.dtype)
        z = case.z.to(case.dtype).requires_grad_()
        keys = None if case.keys is None else case.keys.to(case.dtype).requires_grad_()
        for earlier, labels_ in case.earlier:
            # keys enter the queue where there are any; the projections beside them do not matter
            with torch.no_grad():
                loss(
                    earlier.to(case.dtype),
                    in_layout(labels_, case.layout),
                    **({} if keys is None else {"keys": earlier.to(case.dtype)}),
                )
        more = {} if keys is None else {"keys": keys}
        more |= {} if case.weights is None else {"weights": case.weights}
        return loss(z, in_layout(case.y, case.layout), **more), loss, z, keys

    if refusal := refused(name, case):
        with pytest.raises(refusal[0], match=refusal[1]):
            call()
        return
    value, loss, z, keys = call()
    leaves = {"z": case.z.clone().requires_grad_()}
    if keys is not None:
        leaves["keys"] = case.keys.clone().requires_grad_()
    learned = {key: one.detach().double().requires_grad_() for key, one in loss.named_parameters()}
    expected = expected_of(name, case, leaves["z"], leaves.get("keys"), learned)
    rtol = 1e-9 if case.dtype == torch.float64 else 3e-4
    scale = max(1.0, float(expected.detach().abs()))
    torch.testing.assert_close(value.double(), expected, rtol=rtol, atol=rtol * scale)
    if case.stop:
        learned.pop("bias", None)  # the regulariser holds its factors of the similarities constant, not of the bias
    ours = {"z": z, "keys": keys, **dict(loss.named_parameters())}
    inputs = {**leaves, **learned}
    got = torch.autograd.grad(value, [ours[key] for key in inputs], allow_unused=True)
    wanted = torch.autograd.grad(expected, list(inputs.values()), allow_unused=True)
    for key, one, other in zip(inputs, got, wanted, strict=True):
        one, other = (torch.zeros_like(inputs[key]) if x is None else x.double() for x in (one, other))  # noqa: PLW2901
        scale = max(1.0, float(other.abs().max())) if other.numel() else 1.0
        torch.testing.assert_close(one, other, rtol=10 * rtol, atol=10 * rtol * scale)


few = settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.too_slow])
many = settings(few, max_examples=150)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", NAMES)
@few
@given(data=st.data())
def test_whatever_meets_in_a_loss_equals_loops_or_is_refused(name: str, data: st.DataObject) -> None:
    compute(name, data.draw(cases(name)))


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", NAMES)
@many
@given(data=st.data())
def test_whatever_meets_in_a_loss_at_length(name: str, data: st.DataObject) -> None:
    compute(name, data.draw(cases(name)))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", WITH_PROTOTYPES)
@few
@given(data=st.data())
def test_prototypes_of_labels_that_do_not_occur_equal_loops_too(name: str, data: st.DataObject) -> None:
    """As with thousands of labels, where these prototypes are swept apart from all other rows."""
    with pytest.MonkeyPatch.context() as patch:
        sweep_apart(patch, piece=data.draw(st.sampled_from([1, 2, 384])), keep=data.draw(st.booleans()))
        compute(name, data.draw(cases(name)))


def sweep_apart(patch: pytest.MonkeyPatch, *, piece: int, keep: bool) -> None:
    patch.setattr(module, "WIDE", 1)
    patch.setattr(loss_module, "WIDE", 1)
    patch.setattr(blocks, "BLOCK_SIZE", piece)
    patch.setattr(blocks, "NEGATIVE_PAIRS", 1)
    patch.setattr(blocks, "KEPT_NEGATIVES", blocks.KEPT_NEGATIVES if keep else 0)


@pytest.mark.parametrize("name", WITH_PROTOTYPES)
@pytest.mark.parametrize("reduction", ["mean_valid", "mean_all", "label_count", "mean_kinds", "sum", "none"])
def test_prototypes_apart_change_no_term_and_no_statistic(name: str, reduction: str) -> None:
    generator = torch.Generator().manual_seed(0)
    z, y = torch.randn(12, 2, 8, generator=generator), (torch.rand(12, 50, generator=generator) < 0.03).double()
    weights, upstream = torch.rand(12, generator=generator), torch.randn(74, generator=generator, dtype=torch.float64)
    found = []
    for apart in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if apart:
                sweep_apart(patch, piece=16, keep=False)
            loss = lc.make_loss(
                name, num_labels=50, dim=8, reduction=reduction, diagnostics=True, generator=generator.manual_seed(1)
            ).double()
            rows = z.double().requires_grad_()
            value = loss(rows, y, weights=weights)
            (value @ upstream[: len(value)] if reduction == "none" else value).backward()
            terms = loss.per_anchor(rows, y.to_sparse()).detach()
            shown = vars(loss.repulsion(rows, y))
            counted = loss.diagnostics if reduction != "none" else {}
            found.append([value, rows.grad, loss.prototypes.grad, terms, *counted.values(), *shown.values()])
    assert found[0][3].shape == ((74,) if name in {"wo_reg", "reg", "lacon"} else (24,))
    for dense, apart in zip(*found, strict=True):
        torch.testing.assert_close(apart, dense, rtol=1e-11, atol=1e-12)


def of_logits(name: str, x: Tensor, y: Tensor) -> Tensor:
    """The losses on logits with their defaults; a soft label weighs both sides, an unknown one neither."""
    terms, rows = [], []
    for row, there in zip(x, y.tolist(), strict=True):
        known = [(value, label) for value, label in zip(row, there, strict=True) if not isnan(label)]
        for value, label in known:
            p = value.sigmoid()
            if name == "bce":
                terms.append(-label * p.log() - (1 - label) * (1 - p).log())
            elif name == "focal":
                terms.append(-label * (1 - p) ** 2 * p.log() - (1 - label) * p**2 * (1 - p).log())
            else:
                low = (p - 0.05).clamp(min=0)
                focus = label * (1 - p).detach(), (1 - label) * low.detach() ** 4
                terms.append(-focus[0] * p.log() - focus[1] * (1 - low).log())
        pairs = [a * (1 - b) * (v - u).exp() for u, a in known for v, b in known]
        above = 1 + sum((label * (-value).exp() for value, label in known), 0 * row.sum())
        below = 1 + sum(((1 - label) * value.exp() for value, label in known), 0 * row.sum())
        rows.append((1 + sum(pairs, 0 * row.sum())).log() if name == "lsep" else above.log() + below.log())
    chosen = rows if name in {"lsep", "zlpr"} else terms
    total = sum(chosen, x.sum() * 0)
    return total if name == "asl" else total / max(len(chosen), 1)


@pytest.mark.parametrize("name", ON_LOGITS)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_losses_on_logits_read_every_form_of_labels(name: str, data: st.DataObject) -> None:
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    size, width = data.draw(st.integers(0, 5)), data.draw(st.integers(1, 5))
    dtype, layout = data.draw(st.sampled_from([torch.float64, torch.float32])), data.draw(st.sampled_from(LAYOUTS))
    y = data.draw(labels(size=size, width=width, kind=data.draw(st.sampled_from(KINDS))))
    x = torch.randn(size, width, generator=generator).to(dtype).requires_grad_()
    literal = x.detach().double().requires_grad_()
    value, expected = lc.make_loss(name)(x, in_layout(y, layout)), of_logits(name, literal, y)
    rtol = 1e-9 if dtype == torch.float64 else 3e-5
    torch.testing.assert_close(value.double(), expected, rtol=rtol, atol=rtol)
    got, wanted = torch.autograd.grad(value, x)[0], torch.autograd.grad(expected, literal)[0]
    torch.testing.assert_close(got.double(), wanted, rtol=rtol, atol=rtol)
