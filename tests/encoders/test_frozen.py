"""Frozen encoders: cached features, constant weights, and complete saving."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BertConfig

from labelcontrast.encoders import frozen
from labelcontrast.encoders.embedded import HashedEncoder
from labelcontrast.encoders.frozen import FrozenEncoder, stored_frozen
from labelcontrast.encoders.registry import load_encoder, make_encoder

TEXTS = ["a short text", "a text that is rather longer than the others of its kind", "", "another", "one more text"]


class Counted(HashedEncoder):
    """An encoder that counts its forward passes."""

    calls = 0

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        self.calls += 1
        return super().forward(inputs)


def base(seed: int = 0) -> Counted:
    return Counted(width=16, generator=torch.Generator().manual_seed(seed))


def test_the_features_are_those_of_the_frozen_encoder_in_evaluation_mode() -> None:
    alone = base().eval()
    with torch.no_grad():
        expected = torch.cat([alone(alone.collate(alone.prepare([text]))) for text in TEXTS])
    features = FrozenEncoder(base(), width=4).train().prepare(TEXTS)
    np.testing.assert_allclose(features, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_without_an_adapter_the_embeddings_are_the_features(tmp_path: Path) -> None:
    encoder = FrozenEncoder(base(), width=None)
    features = encoder.prepare(TEXTS)
    np.testing.assert_array_equal(encoder(encoder.collate(features)).numpy(), features)
    assert encoder.output_dim == 16
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 0
    encoder.save_assets(tmp_path)
    again = stored_frozen(tmp_path, encoder.settings(), base(seed=1))
    assert again.settings() == encoder.settings()
    again.load_state_dict(encoder.state_dict())
    np.testing.assert_array_equal(again.prepare(TEXTS), features)


def test_the_cache_key_has_everything_that_features_depend_on(tmp_path: Path) -> None:
    first, again = FrozenEncoder(base()), FrozenEncoder(base(), width=9)
    features = first.prepare_cached(TEXTS, tmp_path)
    np.testing.assert_array_equal(first.prepare(TEXTS), features)
    np.testing.assert_array_equal(again.prepare_cached(list(TEXTS), tmp_path), features)
    assert again.base.calls == 0
    assert [path.parent.name for path in tmp_path.glob("*/*")] == ["features"]
    assert not np.allclose(FrozenEncoder(base(seed=1)).prepare_cached(TEXTS, tmp_path), features)
    np.testing.assert_allclose(first.prepare_cached(TEXTS[:3], tmp_path), features[:3], rtol=1e-5, atol=1e-6)
    assert len(list(tmp_path.glob("*/*"))) == 3


def test_a_kill_loses_one_chunk_of_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "CHUNK", 2)
    expected = FrozenEncoder(base()).prepare(TEXTS)
    killed, again = FrozenEncoder(base()), FrozenEncoder(base())
    prepare = killed.base.prepare
    monkeypatch.setattr(killed.base, "prepare", lambda texts: prepare(texts) if texts[0] != TEXTS[4] else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        killed.prepare_cached(TEXTS, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("features/*.chunks/*")) == ["0.safetensors", "2.safetensors"]
    np.testing.assert_array_equal(again.prepare_cached(TEXTS, tmp_path), expected)
    assert again.base.calls == 1
    assert [path.suffix for path in tmp_path.glob("features/*")] == [".safetensors"]


def test_the_same_weights_with_another_tokenizer_or_configuration_have_other_features(
    publish: Callable[..., Path], tmp_path: Path
) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    folder, found = publish(BertConfig(vocab_size=14, **sizes)), []

    def compute() -> None:
        encoder = FrozenEncoder(make_encoder(str(folder), kind="text"))
        found.append(encoder.prepare_cached(["the cat", "a dog sat"], tmp_path / "cache"))
        np.testing.assert_array_equal(encoder.prepare(["the cat", "a dog sat"]), found[-1])

    def change(file: str, edit: Callable[[dict], object]) -> None:
        content = json.loads((folder / file).read_text())
        edit(content)
        (folder / file).write_text(json.dumps(content))

    compute()
    change("tokenizer.json", lambda content: content["model"]["vocab"].update(cat=7, dog=6))
    compute()
    change("config.json", lambda content: content.update(hidden_act="relu"))
    compute()
    assert not np.allclose(found[0], found[1])
    assert not np.allclose(found[1], found[2])


def test_the_cache_key_of_a_path_is_the_content_of_the_picture(tmp_path: Path) -> None:
    path, encoder = tmp_path / "a.png", FrozenEncoder(make_encoder("convnet", kind="image", image_size=32))
    found = []
    for grey in (0, 200):
        Image.new("L", (8, 8), grey).save(path)
        found.append(encoder.prepare_cached([str(path)], tmp_path / "cache"))
    assert not np.allclose(*found)
    np.testing.assert_array_equal(encoder.prepare_cached([path], tmp_path / "cache"), found[1])


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


def test_a_rebuilt_encoder_gives_the_same_embeddings(tmp_path: Path) -> None:
    encoder = FrozenEncoder(HashedEncoder(width=16), width=4).eval()
    encoder.save_assets(tmp_path)
    again = load_encoder(tmp_path, encoder.settings())
    again.load_state_dict(encoder.state_dict())
    expected = encoder(encoder.collate(encoder.prepare(TEXTS)))
    found = again.eval()(again.collate(again.prepare(TEXTS)))
    torch.testing.assert_close(found, expected)
    assert again.kind == "text"
