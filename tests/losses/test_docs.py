"""docs/losses.md is up to date, its example runs, and its figures show the right weights."""

import importlib.util
import re
from math import e
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.nn import functional as F

import labelcontrast as lc
from labelcontrast.losses.registry import unregister_loss

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def maker() -> ModuleType:
    """Return the script that makes the page."""
    spec = importlib.util.spec_from_file_location("make_losses", DOCS / "make_losses.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(maker: ModuleType) -> None:
    assert (DOCS / "losses.md").read_text() == maker.page(), "run python docs/make_losses.py"
    assert all((DOCS / name).is_file() for name in re.findall(r"\((losses/\w+\.png)\)", maker.page()))


def test_your_own_loss_in_ten_lines() -> None:
    code = re.findall(r"```python\n(.*?)```", (DOCS / "losses.md").read_text(), re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line]) <= 10
    names: dict = {}
    exec(code, names)
    unregister_loss("dice")
    y = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    z = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    s = F.normalize(z) @ F.normalize(z).T / 0.1
    log_p = s - s.masked_fill(torch.eye(3, dtype=torch.bool), -torch.inf).logsumexp(1, keepdim=True)
    # the first shares one label of three with each other; these share nothing with one another
    expected = -(log_p[0, 1] + log_p[0, 2]) / 2 - log_p[1, 0] - log_p[2, 0]
    torch.testing.assert_close(names["loss"](z, y), expected / 3)


def test_pair_weights_of_the_figures(maker: ModuleType) -> None:
    """The rows of examples with a positive sum to one, for every loss that shares per anchor or per label."""
    for row in lc.loss_catalogue():
        contrast = row.contrast_of(row.parameters)
        if contrast is not None and contrast.sharing in {"per_anchor", "per_label"}:
            weights = maker.toy_weights(row)
            assert ((weights.sum(1) - 1).abs() < 1e-6).logical_or(weights.sum(1) == 0).all()
            assert weights.any()


@pytest.mark.parametrize(
    ("name", "leaves", "roots"), [("himulcon", e, e**0.5), ("hicone", 1, 1), ("himulcone", e, e**0.5)]
)
def test_pair_weights_of_the_figures_over_a_hierarchy(
    maker: ModuleType, name: str, leaves: float, roots: float
) -> None:
    """The cat has two cats, one of them a dog too, and three mammals; the levels are two, and the examples'."""
    first = maker.toy_weights(next(row for row in lc.loss_catalogue() if row.name == name))[0]
    both = leaves / 2 + roots / 3
    torch.testing.assert_close(first, torch.tensor([0, both, roots / 3, both, 0, 0]) / 3)
