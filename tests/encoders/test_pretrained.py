"""Pretrained encoders: found without network or import, and loaded completely and silently, or refused."""

import contextlib
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import BertConfig, CLIPConfig, T5Config, ViTConfig
from transformers.utils import logging as transformers_logging

from labelcontrast.encoders import pretrained as sources
from labelcontrast.encoders.pretrained import (
    build_transformer,
    find_installed,
    hub_answers,
    is_timm,
    load_transformer,
    locate,
    quietly,
)
from labelcontrast.errors import EncoderError


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that cannot be imported, and holds a folder."""
    (tmp_path / "a_wheel" / "model" / "deep").mkdir(parents=True)
    (tmp_path / "a_wheel" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "a_wheel"


def test_a_folder_in_a_wheel_is_found_without_importing_it(wheel: Path) -> None:
    assert locate("pkg:a_wheel/model/deep").place == str(wheel / "model" / "deep")
    assert locate("pkg:a_wheel").place == str(wheel) + "/" or Path(locate("pkg:a_wheel").place) == wheel
    assert "a_wheel" not in sys.modules


def test_a_package_with_an_invalid_name_is_not_installed() -> None:
    with pytest.raises(EncoderError, match=r"the package not-a\.name is not installed"):
        locate("pkg:not-a.name/model")


def test_a_folder_wins_over_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "organisation" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert locate("organisation/name").is_folder
    assert not locate("organisation/other").is_folder


def test_a_missing_file_is_none_and_one_that_is_not_json_is_refused(tmp_path: Path) -> None:
    source = locate(str(tmp_path))
    assert source.read_json("config.json") is None
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(EncoderError, match=r"its config\.json is not a JSON object"):
        source.read_json("config.json")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(EncoderError, match=r"its config\.json is not a JSON object"):
        source.read_json("config.json")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert source.read_json("config.json") == {"model_type": "bert"}


def test_the_error_is_one_line_with_the_first_line_of_the_reason() -> None:
    text = str(locate("some/name").error("the first line.\nthe second"))
    assert text.startswith('the encoder "some/name" cannot be loaded: the first line. Use a hub id ')
    assert "second" not in text


@pytest.mark.parametrize(
    ("resolves", "proxy", "answers"), [(True, {}, True), (False, {}, False), (False, {"https": "p"}, True)]
)
def test_the_hub_answers_if_its_name_resolves_or_there_is_a_proxy(
    monkeypatch: pytest.MonkeyPatch, resolves: bool, proxy: dict[str, str], answers: bool
) -> None:
    def look_up(*_: object) -> list[object]:
        if not resolves:
            raise OSError
        return [1]

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(sources, "getproxies", lambda: proxy)
    monkeypatch.setattr(sources.socket, "getaddrinfo", look_up)
    hub_answers.cache_clear()
    assert hub_answers() is answers
    hub_answers.cache_clear()


def test_a_folder_is_loaded_without_resolving_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(sources, "hub_answers", lambda: pytest.fail("asked for the hub"))
    for source in (None, locate(str(tmp_path))):
        with quietly(source):
            assert constants.HF_HUB_OFFLINE
    monkeypatch.setattr(sources, "hub_answers", lambda: True)
    with quietly(locate("organisation/name")):
        assert not constants.HF_HUB_OFFLINE


def test_log_levels_and_switches_are_restored() -> None:
    def state() -> tuple[object, ...]:
        levels = transformers_logging.get_verbosity(), logging.getLogger("huggingface_hub").level
        return *levels, transformers_logging.is_progress_bar_enabled(), constants.HF_HUB_OFFLINE

    before = state()
    with quietly():
        assert state()[:3] == (logging.ERROR, logging.ERROR, False)
    assert state() == before
    with contextlib.suppress(KeyError), quietly():
        raise KeyError
    assert state() == before


SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
BERT = BertConfig(vocab_size=14, **SIZES)


def without(folder: Path, prefix: str) -> None:
    """Remove weights from a saved model."""
    file = folder / "model.safetensors"
    kept = {name: value for name, value in load_file(file).items() if not name.startswith(prefix)}
    save_file(kept, file, metadata={"format": "pt"})


def test_weights_are_those_of_the_file_in_float32_and_training_mode(publish: Callable[..., Path]) -> None:
    folder = publish(BertConfig(vocab_size=14, dtype="float16", **SIZES))
    stored = {name: value.half() for name, value in load_file(folder / "model.safetensors").items()}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    model = load_transformer(locate(str(folder)), reads="text")
    assert model.training
    for name, value in model.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, stored[name].float())


def test_random_weights_are_used_only_on_request(publish: Callable[..., Path]) -> None:
    source = locate(str(publish(BERT)))
    loaded, untrained = (load_transformer(source, reads="text", pretrained=one) for one in (True, False))
    weights = (model.embeddings.word_embeddings.weight for model in (loaded, untrained))
    assert not torch.equal(*weights)


def test_a_file_that_lacks_weights_is_refused(publish: Callable[..., Path]) -> None:
    folder = publish(BERT)
    without(folder, "encoder.layer.0.attention.self.query.weight")
    with pytest.raises(
        EncoderError, match=r"its file lacks 1 weights, such as encoder\.layer\.0\.attention\.self\.query"
    ):
        load_transformer(locate(str(folder)), reads="text")


def test_an_untrained_pooler_is_removed(publish: Callable[..., Path]) -> None:
    folder = publish(ViTConfig(image_size=8, patch_size=4, **SIZES))
    assert load_transformer(locate(str(folder)), reads="image").pooler is not None
    without(folder, "pooler.")
    assert load_transformer(locate(str(folder)), reads="image").pooler is None
    assert build_transformer(folder, pooler=False).pooler is None


def test_a_folder_without_weights_or_with_broken_ones_is_refused(publish: Callable[..., Path]) -> None:
    folder = publish(BERT)
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(EncoderError, match="cannot be loaded: "):
        load_transformer(locate(str(folder)), reads="text")
    (folder / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match=r"cannot be loaded: .*no file named"):
        load_transformer(locate(str(folder)), reads="text")


def test_an_unknown_type_of_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no_such_type"}))
    with pytest.raises(EncoderError, match=r"cannot be loaded: .*no_such_type"):
        load_transformer(locate(str(tmp_path)), reads="text")


@pytest.mark.parametrize("config", [CLIPConfig(), T5Config()], ids=["clip", "t5"])
def test_two_models_in_one_are_refused(tmp_path: Path, config: object) -> None:
    config.save_pretrained(tmp_path)
    with pytest.raises(EncoderError, match=r"is two models in one; name one that only encodes\."):
        load_transformer(locate(str(tmp_path)), reads="text")


def test_timm_is_distinguished_from_transformers_by_its_configuration(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"it has no config\.json"):
        is_timm(locate(str(tmp_path)))
    (tmp_path / "config.json").write_text('{"architecture": "resnet18"}')
    assert is_timm(locate(str(tmp_path)))
    (tmp_path / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    assert not is_timm(locate(str(tmp_path)))


def test_an_installed_package_is_found_before_a_cached_model(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = tmp_path / "hub"
    for name in ("cached/model", "timm/model"):
        snapshot = hub / f"models--{name.replace('/', '--')}" / "snapshots" / "1"
        snapshot.mkdir(parents=True)
        (snapshot.parents[1] / "refs").mkdir()
        (snapshot.parents[1] / "refs" / "main").write_text("1")
        (snapshot / "config.json").write_text("{}")
        (snapshot / "model.safetensors").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    folder = hub / "models--cached--model" / "snapshots" / "1"
    cases = {
        ("pkg:not_there/model", "pkg:a_wheel/model", "cached/model"): "pkg:a_wheel/model",
        ("pkg:a_wheel/other", "not/cached", "cached/model"): str(folder),
        ("not/cached",): None,
    }
    for preferred, expected in cases.items():
        monkeypatch.setattr(sources, "PREFERRED", {"text": preferred})
        assert find_installed("text") == expected
    monkeypatch.setattr(sources, "PREFERRED", {"image": ("timm/model", "cached/model")})
    assert find_installed("image") == str(folder).replace("cached", "timm")
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    assert find_installed("image") == str(folder)
    (folder / "model.safetensors").unlink()
    assert find_installed("image") is None
