"""The small network takes pictures of any size, embeds each by itself, and learns what is where."""

import numpy as np
import pytest
import torch

from labelcontrast.encoders.convnet import ConvNet


@pytest.mark.parametrize("size", [32, 48, 75, 96])
def test_it_takes_sizes_from_32_to_96(size: int) -> None:
    encoder = ConvNet(width=32, image_size=size).eval()
    batch = encoder.collate(encoder.prepare([np.full((20, 30), 9, np.uint8)] * 2))
    assert batch["pixels"].shape == (2, size, size, 3)
    assert encoder(batch).shape == (2, 32)


def test_it_has_about_a_million_parameters() -> None:
    assert 1.0e6 < sum(weight.numel() for weight in ConvNet().parameters()) < 1.3e6


def test_company_does_not_change_an_embedding() -> None:
    encoder = ConvNet(width=32, image_size=32).eval()
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    alone = torch.cat([encoder(encoder.collate(pictures[index : index + 1])) for index in range(3)])
    assert torch.allclose(encoder(encoder.collate(pictures)), alone, atol=1e-5)


def test_it_learns_a_mark_wherever_it_stands() -> None:
    rng = np.random.default_rng(0)
    pictures, target = rng.integers(0, 60, (64, 32, 32), dtype=np.uint8), torch.arange(64) % 2
    for index in range(1, 64, 2):
        row, column = rng.integers(0, 24, 2)
        pictures[index, row : row + 8, column : column + 8] = np.eye(8, dtype=np.uint8) * 255
    encoder = ConvNet(width=32, image_size=32, generator=torch.Generator().manual_seed(0))
    head = torch.nn.Linear(32, 1)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=5e-3)
    batch = encoder.collate(encoder.prepare(list(pictures)))
    for _ in range(25):
        optimiser.zero_grad()
        logits = head(encoder(batch))[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target.float())
        loss.backward()
        optimiser.step()
    assert loss < 0.1
