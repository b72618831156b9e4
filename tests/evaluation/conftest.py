"""Problems with a known shape, and a way past the shape check to the refusals behind it."""

from collections.abc import Iterator

import jaxtyping
import numpy as np
import pytest


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Call as a user does, without the shape check that only the tests turn on."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def problem() -> tuple[np.ndarray, np.ndarray]:
    """300 examples, 12 correlated features of very different scale, 6 labels from frequent to rare, with noise."""
    generator = np.random.default_rng(7)
    features = generator.normal(size=(300, 12)) @ generator.normal(size=(12, 12)) * np.logspace(-2, 2, 12) + 5
    margins = (features - features.mean(0)) / features.std(0) @ generator.normal(size=(12, 6))
    margins += generator.logistic(size=margins.shape)
    cut = np.diag(np.quantile(margins, [0.5, 0.6, 0.7, 0.8, 0.9, 0.95], axis=0))
    return features.astype(np.float32), (margins > cut).astype(np.uint8)
