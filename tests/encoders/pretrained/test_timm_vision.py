"""Models of timm are fed as their configuration says, and embed as timm does."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from labelcontrast.encoders.pretrained.sources import Source, locate
from labelcontrast.encoders.pretrained.timm_vision import TimmVision, pretrained_timm, stored_timm
from labelcontrast.errors import EncoderError

PICTURES = list(np.random.default_rng(0).integers(0, 256, (2, 100, 80, 3), dtype=np.uint8))


def embed(encoder: TimmVision) -> torch.Tensor:
    with torch.no_grad():
        return encoder.eval()(encoder.collate(encoder.prepare(PICTURES)))


@pytest.mark.parametrize("name", ["mobilenetv2_100", "tf_efficientnet_lite0"])
@pytest.mark.parametrize("form", ["{}", "timm:{}", "timm:local-dir:{}"])
def test_a_folder_embeds_as_timm_does(shared: Path, name: str, form: str) -> None:
    folder = shared / "encoders" / name
    encoder = pretrained_timm(locate(form.format(folder)), image_size=64)
    own = json.loads((folder / "config.json").read_text())["pretrained_cfg"]
    resized = [np.asarray(Image.fromarray(one).resize((64, 64), Image.Resampling.BICUBIC)) for one in PICTURES]
    pixels = (np.stack(resized) / 255 - own["mean"]) / own["std"]
    model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
    with torch.no_grad():
        expected = model(torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
    assert torch.allclose(embed(encoder), expected, atol=1e-4)
    assert encoder.output_dim == 1280
    assert encoder.train().model.training


def test_size_and_interpolation_are_the_models_own(shared: Path) -> None:
    look = pretrained_timm(locate(str(shared / "encoders" / "mobilenetv2_100"))).look
    assert (look.height, look.width, look.interpolation) == (224, 224, "bicubic")
    assert look.mean == (0.485, 0.456, 0.406)


def test_it_is_stored_without_its_source(shared: Path, tmp_path: Path) -> None:
    encoder = pretrained_timm(locate(str(shared / "encoders" / "tf_efficientnet_lite0")), image_size=64)
    encoder.save_assets(tmp_path / "run")
    kept = {name: value for name, value in encoder.settings().items() if name != "family"}
    again = stored_timm(tmp_path / "run", kept)
    again.load_state_dict(encoder.state_dict())
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["config.json"]
    assert torch.equal(embed(again), embed(encoder))


def test_random_weights_are_had_on_purpose_and_by_name() -> None:
    source = Source(name="timm:test_resnet", place="timm:test_resnet")
    encoder = pretrained_timm(source, image_size=32, pretrained=False)
    assert embed(encoder).shape == (2, encoder.output_dim)
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
