"""A frozen encoder: its features are computed once, its weights never change, and it is saved whole."""

from pathlib import Path

import numpy as np
import torch

from labelcontrast.encoders.frozen import FrozenEncoder
from labelcontrast.encoders.hashed import HashedEncoder
from labelcontrast.encoders.registry import load_encoder

TEXTS = ["a short text", "a text that is rather longer than the others of its kind", "", "another", "one more text"]


class Counted(HashedEncoder):
    """An encoder that counts how often it embeds."""

    asked = 0

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        self.asked += 1
        return super().forward(inputs)


def base(seed: int = 0) -> Counted:
    return Counted(width=16, generator=torch.Generator().manual_seed(seed))


def test_the_features_are_those_of_the_frozen_encoder_in_evaluation_mode() -> None:
    alone = base().eval()
    with torch.no_grad():
        expected = torch.cat([alone(alone.collate(alone.prepare([text]))) for text in TEXTS])
    features = FrozenEncoder(base(), width=4).train().prepare(TEXTS)
    np.testing.assert_allclose(features, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_features_are_kept_under_all_they_depend_on(tmp_path: Path) -> None:
    first, again = FrozenEncoder(base()), FrozenEncoder(base(), width=9)
    features = first.prepare_kept(TEXTS, tmp_path)
    np.testing.assert_array_equal(first.prepare(TEXTS), features)
    np.testing.assert_array_equal(again.prepare_kept(list(TEXTS), tmp_path), features)
    assert again.base.asked == 0
    assert [path.parent.name for path in tmp_path.glob("*/*")] == ["features"]
    assert not np.allclose(FrozenEncoder(base(seed=1)).prepare_kept(TEXTS, tmp_path), features)
    np.testing.assert_allclose(first.prepare_kept(TEXTS[:3], tmp_path), features[:3], rtol=1e-5, atol=1e-6)
    assert len(list(tmp_path.glob("*/*"))) == 3


def test_training_changes_the_adapter_only() -> None:
    encoder = FrozenEncoder(base(), width=4).train()
    before = {name: value.clone() for name, value in encoder.base.state_dict().items()}
    optimiser = torch.optim.SGD([one for one in encoder.parameters() if one.requires_grad], lr=1.0)
    start = [one.clone() for one in encoder.parameters()]
    encoder(encoder.collate(encoder.prepare(TEXTS))).square().sum().backward()
    optimiser.step()
    assert all(torch.equal(value, before[name]) for name, value in encoder.base.state_dict().items())
    assert any(not torch.equal(one, old) for one, old in zip(encoder.parameters(), start, strict=True))
    assert not encoder.base.training


def test_saved_and_built_again_it_embeds_the_same(tmp_path: Path) -> None:
    encoder = FrozenEncoder(HashedEncoder(width=16), width=4).eval()
    encoder.save_assets(tmp_path)
    again = load_encoder(tmp_path, encoder.settings())
    again.load_state_dict(encoder.state_dict())
    expected = encoder(encoder.collate(encoder.prepare(TEXTS)))
    found = again.eval()(again.collate(again.prepare(TEXTS)))
    torch.testing.assert_close(found, expected)
    assert again.kind == "text"
