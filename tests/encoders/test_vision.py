"""Vision encoders: pictures in every format, and embeddings equal to those of transformers and timm."""

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from transformers import AutoModel, Dinov2Config, ResNetConfig, SwinConfig, ViTConfig
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from labelcontrast.encoders import vision
from labelcontrast.encoders.embedded import ConvNet
from labelcontrast.encoders.pretrained import Source, locate, quietly
from labelcontrast.encoders.vision import (
    PictureEncoder,
    PictureTransform,
    decode_pictures,
    describe_pictures,
    pretrained_timm,
    pretrained_vision,
    stored_timm,
    stored_vision,
)
from labelcontrast.errors import ConfigError, DataError, EncoderError

TRANSFORM = PictureTransform(height=6, width=8)
GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
VIT = ViTConfig(image_size=32, patch_size=8, **SIZES)
RESNET = ResNetConfig(embedding_size=8, hidden_sizes=[8, 24], depths=[1, 1], layer_type="basic")
DINO = Dinov2Config(image_size=28, patch_size=14, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
SWIN = SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4)
PICTURES = list(np.random.default_rng(0).integers(0, 256, (3, 45, 61, 3), dtype=np.uint8))
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def save(folder: Path, image: Image.Image, name: str = "picture.png", **how: object) -> Path:
    image.save(folder / name, **how)
    return folder / name


def test_an_array_and_its_file_give_the_same_picture(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    path = save(tmp_path, Image.fromarray(colour))
    from_file, from_text, from_array, from_bytes = decode_pictures(
        [path, str(path), colour, path.read_bytes()], transform=TRANSFORM
    )
    expected = np.asarray(Image.fromarray(colour).resize((8, 6), Image.Resampling.BILINEAR))
    assert (from_file == expected).all()
    assert (from_text == expected).all()
    assert (from_bytes == expected).all()
    assert (from_array == expected).all()


def test_a_description_counts_colours_and_directions_of_edges_by_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision, "DESCRIBED_AT_ONCE", 2)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    pictures[0, :, :32], pictures[0, :, 32:] = 0, 255  # a vertical edge, brighter on the right
    found = describe_pictures(list(pictures)).reshape(3, 4, 4, 72)
    expected = np.zeros_like(found)
    for index, picture in enumerate(pictures):
        grey = picture.astype(float).mean(axis=2)
        down, right = np.gradient(grey)
        for row in range(64):
            for column in range(64):
                red, green, blue = picture[row, column] // 64
                x, y = right[row, column], down[row, column]
                direction = round((np.arctan2(y, x) / np.pi + 1) * 4) % 8
                expected[index, row // 16, column // 16, 16 * red + 4 * green + blue] += 1
                expected[index, row // 16, column // 16, 64 + direction] += np.hypot(x, y)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found[0, :, :, 64:].nonzero()[2].tolist() == [4] * 8  # the edge is in two columns of cells, and to the right
    assert describe_pictures([]).shape == (0, 1152)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"])
def test_every_mode_is_converted_to_rgb(tmp_path: Path, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(GREY.astype(np.uint16) << 8)
    else:
        image = Image.fromarray(GREY if mode != "1" else (GREY > 99).astype(np.uint8) * 255).convert(mode)
    name = "picture.tiff" if mode == "CMYK" else "picture.png"
    (decoded,) = decode_pictures([save(tmp_path, image, name)], transform=TRANSFORM)
    expected = (GREY > 99) * 255 if mode == "1" else GREY
    # CMYK and palettes round by a step or two.
    assert np.abs(decoded.astype(int) - np.asarray(expected)[..., None]).max() <= (0 if mode != "P" else 4)


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("a.pgm", GREY.astype(np.uint16) * 257),
        ("a.tiff", GREY.astype(np.int32) * 257),
        ("a.tiff", GREY.astype(np.int32) * 2**23),
        ("a.tiff", (GREY / 255).astype(np.float32)),
        ("a.tiff", GREY.astype(np.float32)),
        ("a.tiff", GREY.astype(np.float32) * 257),
    ],
)
def test_grey_of_more_bits_is_scaled(tmp_path: Path, name: str, pixels: np.ndarray) -> None:
    """Issue 19, 09: Pillow alone clips all of it to white, or floats to black."""
    (decoded,) = decode_pictures([save(tmp_path, Image.fromarray(pixels), name)], transform=TRANSFORM)
    assert (decoded == GREY[..., None]).all()


@pytest.mark.parametrize("value", [-1.0, np.nan, 1e9])
def test_grey_outside_of_all_ranges_is_refused(tmp_path: Path, value: float) -> None:
    pixels = GREY.astype(np.float32)
    pixels[0, 0] = value
    with pytest.raises(DataError, match="its values go from"):
        decode_pictures([save(tmp_path, Image.fromarray(pixels), "a.tiff")], transform=TRANSFORM)


def test_transparent_pixels_become_white(tmp_path: Path) -> None:
    palette = Image.fromarray(np.zeros((6, 8), np.uint8)).convert("P")
    path = save(tmp_path, palette, transparency=bytes([0] * 256))
    clear = np.zeros((6, 8, 4), np.uint8)
    assert (decode_pictures([path, clear], transform=TRANSFORM) == 255).all()


def test_the_orientation_of_a_photograph_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    path = save(tmp_path, Image.fromarray(GREY), exif=exif)
    assert (decode_pictures([path], transform=TRANSFORM)[0, ..., 0] == GREY[::-1, ::-1]).all()


def test_the_network_receives_normalised_pixels() -> None:
    encoder = ConvNet(width=32, image_size=8)
    seen = []
    encoder.embed_pixels = lambda pixels: seen.append(pixels) or torch.zeros(len(pixels), 32)
    encoder(encoder.collate(encoder.prepare([np.full((8, 8), 255, np.uint8), np.zeros((8, 8), np.uint8)])))
    assert seen[0].amin(dim=(1, 2, 3)).tolist() == [1, -1]
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.png: the picture is missing\."):
        decode_pictures([tmp_path / "none.png"], transform=TRANSFORM)


@pytest.mark.parametrize("kind", ["jpg", "png", "gif", "tiff", "webp", "bmp"])
def test_a_truncated_picture_is_named(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path, Image.fromarray(noise), f"half.{kind}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"half\.{kind}: the picture cannot be read; it is truncated or not a picture"):
        decode_pictures([path], transform=TRANSFORM)


def test_a_file_that_is_not_a_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "words.jpg").write_text("these are words")
    with pytest.raises(DataError, match=r"words\.jpg: the picture cannot be read"):
        decode_pictures([tmp_path / "words.jpg"], transform=TRANSFORM)
    with pytest.raises(DataError, match="the picture cannot be read"):
        decode_pictures([tmp_path], transform=TRANSFORM)


def test_a_picture_too_large_for_the_memory_is_refused(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "bomb.png").write_bytes(bomb + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))
    with pytest.raises(DataError, match=r"bomb\.png: the picture cannot be read"):
        decode_pictures([tmp_path / "bomb.png"], transform=TRANSFORM)


def test_an_array_of_another_shape_or_type_is_refused() -> None:
    good = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(DataError, match=r"picture 1: expected bytes of shape \[height, width, 3\]\. Got float64"):
        decode_pictures([good, np.zeros((4, 4, 3))], transform=TRANSFORM)
    with pytest.raises(DataError, match=r"picture 0: .* Got uint8 of shape \(4, 4, 2\)"):
        decode_pictures([np.zeros((4, 4, 2), np.uint8)], transform=TRANSFORM)


def test_a_size_without_pixels_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"image_size must be a positive number of pixels\. Got 0\."):
        PictureTransform(height=0, width=0)


def test_a_transform_is_rebuilt_from_its_settings() -> None:
    transform = PictureTransform(height=3, width=4, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0), interpolation="bicubic")
    assert PictureTransform.from_settings(transform.settings()) == transform


def processor(size: object, **own: object) -> ViTImageProcessorPil:
    return ViTImageProcessorPil(size=size, image_mean=MEAN, image_std=STD, **own)


def embed(encoder: PictureEncoder) -> torch.Tensor:
    with torch.no_grad():
        return encoder.eval()(encoder.collate(encoder.prepare(PICTURES)))


def publish_with(publish: Callable[..., Path], config: object, own: ViTImageProcessorPil) -> Path:
    folder = publish(config)
    own.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("resample", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
def test_transformers_models_receive_what_their_processor_returns(publish: Callable[..., Path], resample: int) -> None:
    own = processor({"height": 32, "width": 32}, resample=resample)
    encoder = pretrained_vision(locate(str(publish_with(publish, VIT, own))))
    seen = []
    encoder.embed_pixels = lambda pixels: seen.append(pixels) or torch.zeros(len(pixels), 1)
    encoder(encoder.collate(encoder.prepare(PICTURES)))
    expected = own(PICTURES, return_tensors="pt")["pixel_values"]
    assert torch.allclose(seen[0], expected, atol=1e-5)


@pytest.mark.parametrize("config", [VIT, RESNET, SWIN, DINO], ids=["vit", "resnet", "swin", "dinov2"])
def test_transformers_embeddings_are_the_pooled_output(publish: Callable[..., Path], config: object) -> None:
    size = 28 if config is DINO else 32
    own = processor({"height": size, "width": size})
    folder = publish_with(publish, config, own)
    encoder = pretrained_vision(locate(str(folder)))
    with quietly(), torch.no_grad():
        model = AutoModel.from_pretrained(folder).eval()
        expected = model(**own(PICTURES, return_tensors="pt")).pooler_output.flatten(1)
    assert encoder.output_dim == expected.shape[1]
    assert torch.allclose(embed(encoder), expected, atol=1e-5)
    assert encoder.train().model.training


def test_without_a_trained_pooler_the_class_token_is_used(publish: Callable[..., Path]) -> None:
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
    ("saved", "size"),
    [
        ({"size": {"height": 40, "width": 48}}, (40, 48)),
        ({"size": {"shortest_edge": 56}}, (56, 56)),
        ({"size": 40}, (40, 40)),
        ({"size": {"shortest_edge": 56}, "do_center_crop": True, "crop_size": {"height": 48, "width": 48}}, (48, 48)),
    ],
)
def test_sizes_are_read_in_every_format_of_processors(publish: Callable[..., Path], saved: dict, size: tuple) -> None:
    folder = publish(RESNET)
    saved = {"image_mean": MEAN, "image_std": STD, "resample": 3, **saved}
    (folder / "preprocessor_config.json").write_text(json.dumps(saved))
    transform = pretrained_vision(locate(str(folder))).transform
    assert (transform.height, transform.width) == size
    assert (list(transform.mean), list(transform.std), transform.interpolation) == (MEAN, STD, "bicubic")


def test_a_processor_without_normalisation_is_supported(publish: Callable[..., Path]) -> None:
    folder = publish(RESNET)
    inner = {"image_processor": {"size": 32, "do_normalize": False}}
    (folder / "processor_config.json").write_text(json.dumps(inner))
    transform = pretrained_vision(locate(str(folder))).transform
    assert (transform.mean, transform.std) == ((0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize("config", [VIT, RESNET, SWIN], ids=["vit", "resnet", "swin"])
def test_another_size_can_be_requested(publish: Callable[..., Path], config: object) -> None:
    folder = publish_with(publish, config, processor({"height": 32, "width": 32}))
    encoder = pretrained_vision(locate(str(folder)), image_size=48)
    assert encoder.prepare(PICTURES).shape == (3, 48, 48, 3)
    assert embed(encoder).shape == (3, encoder.output_dim)


def test_a_model_without_a_processor_is_refused(publish: Callable[..., Path]) -> None:
    with pytest.raises(
        EncoderError, match=r"it has no preprocessor_config\.json, so its mean and deviation are unknown"
    ):
        pretrained_vision(locate(str(publish(RESNET))))


@pytest.mark.parametrize("config", [VIT, RESNET], ids=["vit", "resnet"])
def test_a_saved_transformer_does_not_need_its_source(
    publish: Callable[..., Path], tmp_path: Path, config: object
) -> None:
    folder = publish_with(publish, config, processor({"height": 32, "width": 32}))
    encoder = pretrained_vision(locate(str(folder)))
    encoder.train()(encoder.collate(encoder.prepare(PICTURES)))  # so that running statistics are not what they were
    (tmp_path / "run").mkdir()
    encoder.save_assets(tmp_path / "run")
    kept = {name: value for name, value in encoder.settings().items() if name != "family"}
    again = stored_vision(tmp_path / "run", kept)
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(embed(again), embed(encoder))


@pytest.mark.parametrize("name", ["mobilenetv2_100", "tf_efficientnet_lite0"])
@pytest.mark.parametrize("form", ["{}", "timm:{}", "timm:local-dir:{}"])
def test_embeddings_of_a_folder_equal_those_of_timm(shared: Path, name: str, form: str) -> None:
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


def test_a_timm_model_keeps_its_size_and_interpolation(shared: Path) -> None:
    transform = pretrained_timm(locate(str(shared / "encoders" / "mobilenetv2_100"))).transform
    assert (transform.height, transform.width, transform.interpolation) == (224, 224, "bicubic")
    assert transform.mean == (0.485, 0.456, 0.406)


def test_a_saved_timm_model_does_not_need_its_source(shared: Path, tmp_path: Path) -> None:
    encoder = pretrained_timm(locate(str(shared / "encoders" / "tf_efficientnet_lite0")), image_size=64)
    encoder.save_assets(tmp_path / "run")
    kept = {name: value for name, value in encoder.settings().items() if name != "family"}
    again = stored_timm(tmp_path / "run", kept)
    again.load_state_dict(encoder.state_dict())
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["config.json"]
    assert torch.equal(embed(again), embed(encoder))


def test_random_weights_of_a_timm_model_need_no_download() -> None:
    source = Source(name="timm:test_resnet", place="timm:test_resnet")
    encoder = pretrained_timm(source, image_size=32, pretrained=False)
    assert embed(encoder).shape == (3, encoder.output_dim)
    with pytest.raises(
        EncoderError, match=r'the encoder "timm:test_resnet" cannot be loaded: timm says: .*Use a hub id'
    ):
        pretrained_timm(source)


def test_a_size_that_a_timm_model_does_not_take_is_refused() -> None:
    source = Source(name="timm:test_vit", place="timm:test_vit")
    with pytest.raises(EncoderError, match="it takes pictures of 160 pixels only, not of 64"):
        pretrained_timm(source, image_size=64, pretrained=False)


def test_the_nearest_timm_name_is_suggested() -> None:
    source = Source(name="timm:mobilnetv2_100", place="timm:mobilnetv2_100")
    with pytest.raises(EncoderError, match=r'did you mean "mobilenetv2_100"\?'):
        pretrained_timm(source)


def test_a_hub_id_is_looked_up_on_the_hub() -> None:
    with pytest.raises(EncoderError, match=r"timm says: .*[Hh]ub"):
        pretrained_timm(Source(name="org/name", place="org/name"))
