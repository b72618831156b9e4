"""Models of pictures see what their own image processor would show them, and embed as transformers does.

Models of timm are fed as their configuration says, and embed as timm does.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from transformers import AutoModel, Dinov2Config, ResNetConfig, SwinConfig, ViTConfig
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from labelcontrast.encoders.pretrained import Source, locate, quietly
from labelcontrast.encoders.vision import (
    TimmVision,
    TransformerVision,
    pretrained_timm,
    pretrained_vision,
    stored_timm,
    stored_vision,
)
from labelcontrast.errors import EncoderError

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
VIT = ViTConfig(image_size=32, patch_size=8, **SIZES)
RESNET = ResNetConfig(embedding_size=8, hidden_sizes=[8, 24], depths=[1, 1], layer_type="basic")
DINO = Dinov2Config(image_size=28, patch_size=14, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
SWIN = SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4)
PICTURES = list(np.random.default_rng(0).integers(0, 256, (3, 45, 61, 3), dtype=np.uint8))
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def processor(size: object, **own: object) -> ViTImageProcessorPil:
    return ViTImageProcessorPil(size=size, image_mean=MEAN, image_std=STD, **own)


def embed(encoder: TransformerVision) -> torch.Tensor:
    with torch.no_grad():
        return encoder.eval()(encoder.collate(encoder.prepare(PICTURES)))


def published(publish: Callable[..., Path], config: object, own: ViTImageProcessorPil) -> Path:
    folder = publish(config)
    own.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("resample", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
def test_it_sees_what_its_own_processor_shows(publish: Callable[..., Path], resample: int) -> None:
    own = processor({"height": 32, "width": 32}, resample=resample)
    encoder = pretrained_vision(locate(str(published(publish, VIT, own))))
    seen = []
    encoder.look_at = lambda pixels: seen.append(pixels) or torch.zeros(len(pixels), 1)
    encoder(encoder.collate(encoder.prepare(PICTURES)))
    shown = own(PICTURES, return_tensors="pt")["pixel_values"]
    assert torch.allclose(seen[0], shown, atol=1e-5)


@pytest.mark.parametrize("config", [VIT, RESNET, SWIN, DINO], ids=["vit", "resnet", "swin", "dinov2"])
def test_it_embeds_with_the_models_own_pooled_output(publish: Callable[..., Path], config: object) -> None:
    size = 28 if config is DINO else 32
    own = processor({"height": size, "width": size})
    folder = published(publish, config, own)
    encoder = pretrained_vision(locate(str(folder)))
    with quietly(), torch.no_grad():
        model = AutoModel.from_pretrained(folder).eval()
        expected = model(**own(PICTURES, return_tensors="pt")).pooler_output.flatten(1)
    assert encoder.output_dim == expected.shape[1]
    assert torch.allclose(embed(encoder), expected, atol=1e-5)
    assert encoder.train().model.training


def test_without_a_trained_pooler_the_class_token_is_taken(publish: Callable[..., Path]) -> None:
    with quietly():
        model = AutoModel.from_config(VIT, add_pooling_layer=False)
    own = processor({"height": 32, "width": 32})
    folder = publish(VIT, model=model)
    own.save_pretrained(folder)
    encoder = pretrained_vision(locate(str(folder)))
    with torch.no_grad():
        expected = model.eval()(**own(PICTURES, return_tensors="pt")).last_hidden_state[:, 0]
    assert encoder.settings()["pooler"] is False
    assert torch.allclose(embed(encoder), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("said", "size"),
    [
        ({"size": {"height": 40, "width": 48}}, (40, 48)),
        ({"size": {"shortest_edge": 56}}, (56, 56)),
        ({"size": 40}, (40, 40)),
        ({"size": {"shortest_edge": 56}, "do_center_crop": True, "crop_size": {"height": 48, "width": 48}}, (48, 48)),
    ],
)
def test_sizes_are_read_in_every_form_they_have_had(publish: Callable[..., Path], said: dict, size: tuple) -> None:
    folder = publish(RESNET)
    said = {"image_mean": MEAN, "image_std": STD, "resample": 3, **said}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    look = pretrained_vision(locate(str(folder))).look
    assert (look.height, look.width) == size
    assert (list(look.mean), list(look.std), look.interpolation) == (MEAN, STD, "bicubic")


def test_a_processor_that_does_not_normalise_is_believed(publish: Callable[..., Path]) -> None:
    folder = publish(RESNET)
    inner = {"image_processor": {"size": 32, "do_normalize": False}}
    (folder / "processor_config.json").write_text(json.dumps(inner))
    look = pretrained_vision(locate(str(folder))).look
    assert (look.mean, look.std) == ((0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize("config", [VIT, RESNET, SWIN], ids=["vit", "resnet", "swin"])
def test_another_size_can_be_asked_for(publish: Callable[..., Path], config: object) -> None:
    folder = published(publish, config, processor({"height": 32, "width": 32}))
    encoder = pretrained_vision(locate(str(folder)), image_size=48)
    assert encoder.prepare(PICTURES).shape == (3, 48, 48, 3)
    assert embed(encoder).shape == (3, encoder.output_dim)


def test_without_a_processor_nothing_is_guessed(publish: Callable[..., Path]) -> None:
    with pytest.raises(
        EncoderError, match=r"it has no preprocessor_config\.json, so its mean and deviation are unknown"
    ):
        pretrained_vision(locate(str(publish(RESNET))))


@pytest.mark.parametrize("config", [VIT, RESNET], ids=["vit", "resnet"])
def test_it_is_stored_without_its_source(publish: Callable[..., Path], tmp_path: Path, config: object) -> None:
    folder = published(publish, config, processor({"height": 32, "width": 32}))
    encoder = pretrained_vision(locate(str(folder)))
    encoder.train()(encoder.collate(encoder.prepare(PICTURES)))  # so that running statistics are not what they were
    (tmp_path / "run").mkdir()
    encoder.save_assets(tmp_path / "run")
    kept = {name: value for name, value in encoder.settings().items() if name != "family"}
    again = stored_vision(tmp_path / "run", kept)
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(embed(again), embed(encoder))


PICTURES_OF_TIMM_VISION = list(np.random.default_rng(0).integers(0, 256, (2, 100, 80, 3), dtype=np.uint8))


def embed_of_timm_vision(encoder: TimmVision) -> torch.Tensor:
    with torch.no_grad():
        return encoder.eval()(encoder.collate(encoder.prepare(PICTURES_OF_TIMM_VISION)))


@pytest.mark.parametrize("name", ["mobilenetv2_100", "tf_efficientnet_lite0"])
@pytest.mark.parametrize("form", ["{}", "timm:{}", "timm:local-dir:{}"])
def test_a_folder_embeds_as_timm_does(shared: Path, name: str, form: str) -> None:
    folder = shared / "encoders" / name
    encoder = pretrained_timm(locate(form.format(folder)), image_size=64)
    own = json.loads((folder / "config.json").read_text())["pretrained_cfg"]
    resized = [
        np.asarray(Image.fromarray(one).resize((64, 64), Image.Resampling.BICUBIC)) for one in PICTURES_OF_TIMM_VISION
    ]
    pixels = (np.stack(resized) / 255 - own["mean"]) / own["std"]
    model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
    with torch.no_grad():
        expected = model(torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
    assert torch.allclose(embed_of_timm_vision(encoder), expected, atol=1e-4)
    assert encoder.output_dim == 1280
    assert encoder.train().model.training


def test_size_and_interpolation_are_the_models_own(shared: Path) -> None:
    look = pretrained_timm(locate(str(shared / "encoders" / "mobilenetv2_100"))).look
    assert (look.height, look.width, look.interpolation) == (224, 224, "bicubic")
    assert look.mean == (0.485, 0.456, 0.406)


def test_it_is_stored_without_its_source_of_timm_vision(shared: Path, tmp_path: Path) -> None:
    encoder = pretrained_timm(locate(str(shared / "encoders" / "tf_efficientnet_lite0")), image_size=64)
    encoder.save_assets(tmp_path / "run")
    kept = {name: value for name, value in encoder.settings().items() if name != "family"}
    again = stored_timm(tmp_path / "run", kept)
    again.load_state_dict(encoder.state_dict())
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["config.json"]
    assert torch.equal(embed_of_timm_vision(again), embed_of_timm_vision(encoder))


def test_random_weights_are_had_on_purpose_and_by_name() -> None:
    source = Source(name="timm:test_resnet", place="timm:test_resnet")
    encoder = pretrained_timm(source, image_size=32, pretrained=False)
    assert embed_of_timm_vision(encoder).shape == (2, encoder.output_dim)
    with pytest.raises(EncoderError, match=r'the encoder "timm:test_resnet" cannot be had: timm says: .*Ways on'):
        pretrained_timm(source)


def test_a_size_that_the_model_does_not_take_is_refused() -> None:
    source = Source(name="timm:test_vit", place="timm:test_vit")
    with pytest.raises(EncoderError, match="it takes pictures of 160 pixels only, not of 64"):
        pretrained_timm(source, image_size=64, pretrained=False)


def test_an_unknown_name_is_met_with_the_nearest() -> None:
    source = Source(name="timm:mobilnetv2_100", place="timm:mobilnetv2_100")
    with pytest.raises(EncoderError, match=r'did you mean "mobilenetv2_100"\?'):
        pretrained_timm(source)


def test_a_hub_id_is_asked_of_the_hub() -> None:
    with pytest.raises(EncoderError, match=r"timm says: .*[Hh]ub"):
        pretrained_timm(Source(name="org/name", place="org/name"))
