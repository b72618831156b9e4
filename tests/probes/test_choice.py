"""The door: every name gives what its own function gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from labelcontrast.probes.choice import fit_probe
from labelcontrast.probes.linear import fit_linear_probe
from labelcontrast.probes.published import PROTOCOLS, fit_published_probe


def test_newton_is_the_convex_optimum_as_a_layer(problem) -> None:
    features, labels = problem
    parts = features[:200], labels[:200], features[200:], labels[200:]
    layer, probe = fit_probe("newton", *parts, generator=torch.Generator()), fit_linear_probe(*parts)
    logits = layer(torch.from_numpy(features)).detach().numpy()
    np.testing.assert_allclose(logits, probe.scores(features.astype(np.float64)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("name", "heads"), [("paper", 3), ("released", 5)])
def test_the_others_are_the_published_protocols(problem, name, heads: int) -> None:
    features, labels = problem
    parts = features[:200], labels[:200], features[200:], labels[200:]
    chosen = fit_probe(name, *parts, generator=torch.Generator().manual_seed(3))
    direct = fit_published_probe(*parts, protocol=PROTOCOLS[name], generator=torch.Generator().manual_seed(3))
    assert torch.equal(chosen.weight, direct.weight)
    assert len(chosen.weight) == heads


def test_the_grid_of_a_published_probe_can_be_another(problem) -> None:
    features, labels = problem
    parts = features[:200], labels[:200], features[200:], labels[200:]
    changes = {"rates": (1.0,), "decays": (0.01,), "batch_size": 64}
    chosen = fit_probe("paper", *parts, generator=torch.Generator().manual_seed(3), changes=changes)
    protocol = replace(PROTOCOLS["paper"], **changes)
    direct = fit_published_probe(*parts, protocol=protocol, generator=torch.Generator().manual_seed(3))
    assert torch.equal(chosen.weight, direct.weight)
    usual = fit_probe("paper", *parts, generator=torch.Generator().manual_seed(3))
    assert not torch.equal(chosen.weight, usual.weight)
