"""A tiny training problem: vectors, a linear encoder with dropout, a linear head."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from labelcontrast.data.batches import Prepared
from labelcontrast.settings import TrainingSettings
from labelcontrast.training import Learner, Rates


class Linear(nn.Module):
    """An encoder of vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Dropout(0.5))

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return self.layers(inputs["rows"])


@pytest.fixture
def prepared() -> Prepared:
    random = np.random.default_rng(0)
    rows = random.normal(size=(37, 6)).astype(np.float32)
    labels = sp.csr_array((rows[:, :3] > 0).astype(np.uint8))
    return Prepared(rows, np.ones(37, int), lambda items: {"rows": torch.from_numpy(np.stack(items))}, labels)


@pytest.fixture
def build_learner(prepared: Prepared) -> Callable[..., Learner]:
    def build(settings: TrainingSettings, loss: nn.Module | None = None) -> Learner:
        torch.manual_seed(0)

        def score(encoder: nn.Module, head: nn.Module) -> dict[str, float]:
            encoder.eval()
            inputs, labels = prepared.batch(range(len(prepared)))
            with torch.inference_mode():
                right = ((head(encoder(inputs)) > 0) == labels.bool()).float().mean()
            encoder.train()
            return {"score": float(right)}

        rates = Rates(encoder=0.01, head=0.02, schedule="cosine")
        return Learner(
            Linear(), nn.Linear(8, 3), loss or nn.BCEWithLogitsLoss(), score=score, settings=settings, rates=rates
        )

    return build
