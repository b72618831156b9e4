"""A model is loaded whole, in float32, in training mode; or refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, CLIPConfig, T5Config, ViTConfig

from labelcontrast.encoders.pretrained.models import build_model, is_timm, load_model
from labelcontrast.encoders.pretrained.sources import locate
from labelcontrast.errors import EncoderError

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
BERT = BertConfig(vocab_size=14, **SIZES)


def without(folder: Path, prefix: str) -> None:
    """Take weights out of a saved model."""
    file = folder / "model.safetensors"
    kept = {name: value for name, value in load_file(file).items() if not name.startswith(prefix)}
    save_file(kept, file, metadata={"format": "pt"})


def test_weights_are_those_of_the_file_in_float32_and_training_mode(publish: Callable[..., Path]) -> None:
    folder = publish(BertConfig(vocab_size=14, dtype="float16", **SIZES))
    stored = {name: value.half() for name, value in load_file(folder / "model.safetensors").items()}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    model = load_model(locate(str(folder)), reads="text")
    assert model.training
    for name, value in model.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, stored[name].float())


def test_random_weights_are_had_only_on_purpose(publish: Callable[..., Path]) -> None:
    source = locate(str(publish(BERT)))
    loaded = load_model(source, reads="text").embeddings.word_embeddings.weight
    assert not torch.equal(loaded, load_model(source, reads="text", pretrained=False).embeddings.word_embeddings.weight)


def test_a_file_that_lacks_weights_is_refused(publish: Callable[..., Path]) -> None:
    folder = publish(BERT)
    without(folder, "encoder.layer.0.attention.self.query.weight")
    with pytest.raises(
        EncoderError, match=r"its file lacks 1 weights, such as encoder\.layer\.0\.attention\.self\.query"
    ):
        load_model(locate(str(folder)), reads="text")


def test_a_pooler_that_was_never_trained_is_left_out(publish: Callable[..., Path]) -> None:
    folder = publish(ViTConfig(image_size=8, patch_size=4, **SIZES))
    assert load_model(locate(str(folder)), reads="image").pooler is not None
    without(folder, "pooler.")
    assert load_model(locate(str(folder)), reads="image").pooler is None
    assert build_model(folder, pooler=False).pooler is None


def test_a_folder_without_weights_or_with_broken_ones_is_refused(publish: Callable[..., Path]) -> None:
    folder = publish(BERT)
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(EncoderError, match="cannot be had: "):
        load_model(locate(str(folder)), reads="text")
    (folder / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match=r"cannot be had: .*no file named"):
        load_model(locate(str(folder)), reads="text")


def test_an_unknown_type_of_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no_such_type"}))
    with pytest.raises(EncoderError, match=r"cannot be had: .*no_such_type"):
        load_model(locate(str(tmp_path)), reads="text")


@pytest.mark.parametrize("config", [CLIPConfig(), T5Config()], ids=["clip", "t5"])
def test_two_models_in_one_are_refused(tmp_path: Path, config: object) -> None:
    config.save_pretrained(tmp_path)
    with pytest.raises(EncoderError, match=r"is two models in one; name one that only encodes\."):
        load_model(locate(str(tmp_path)), reads="text")


def test_timm_is_told_from_transformers_by_looking(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"it has no config\.json"):
        is_timm(locate(str(tmp_path)))
    (tmp_path / "config.json").write_text('{"architecture": "resnet18"}')
    assert is_timm(locate(str(tmp_path)))
    (tmp_path / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    assert not is_timm(locate(str(tmp_path)))
