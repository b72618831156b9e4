"""Pictures of every kind become the same bytes; a broken one is named."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from labelcontrast.encoders.convnet import ConvNet
from labelcontrast.encoders.pictures import Look, decode_pictures
from labelcontrast.errors import ConfigError, DataError

LOOK = Look(height=6, width=8)
GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


def saved(folder: Path, image: Image.Image, name: str = "picture.png", **how: object) -> Path:
    image.save(folder / name, **how)
    return folder / name


def test_an_array_and_its_file_are_the_same_picture(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    path = saved(tmp_path, Image.fromarray(colour))
    from_file, from_text, from_array, from_bytes = decode_pictures(
        [path, str(path), colour, path.read_bytes()], look=LOOK
    )
    expected = np.asarray(Image.fromarray(colour).resize((8, 6), Image.Resampling.BILINEAR))
    assert (from_file == expected).all()
    assert (from_text == expected).all()
    assert (from_bytes == expected).all()
    assert (from_array == expected).all()


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"])
def test_every_mode_becomes_red_green_and_blue(tmp_path: Path, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(GREY.astype(np.uint16) << 8)
    else:
        image = Image.fromarray(GREY if mode != "1" else (GREY > 99).astype(np.uint8) * 255).convert(mode)
    name = "picture.tiff" if mode == "CMYK" else "picture.png"
    (decoded,) = decode_pictures([saved(tmp_path, image, name)], look=LOOK)
    expected = (GREY > 99) * 255 if mode == "1" else GREY
    # CMYK and palettes round by a step or two.
    assert np.abs(decoded.astype(int) - np.asarray(expected)[..., None]).max() <= (0 if mode != "P" else 4)


def test_transparent_pixels_are_seen_on_white(tmp_path: Path) -> None:
    palette = Image.fromarray(np.zeros((6, 8), np.uint8)).convert("P")
    path = saved(tmp_path, palette, transparency=bytes([0] * 256))
    clear = np.zeros((6, 8, 4), np.uint8)
    assert (decode_pictures([path, clear], look=LOOK) == 255).all()


def test_a_photograph_is_turned_as_its_camera_was_held(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    path = saved(tmp_path, Image.fromarray(GREY), exif=exif)
    assert (decode_pictures([path], look=LOOK)[0, ..., 0] == GREY[::-1, ::-1]).all()


def test_the_network_sees_normalised_pixels() -> None:
    encoder = ConvNet(width=32, image_size=8)
    seen = []
    encoder.look_at = lambda pixels: seen.append(pixels) or torch.zeros(len(pixels), 32)
    encoder(encoder.collate(encoder.prepare([np.full((8, 8), 255, np.uint8), np.zeros((8, 8), np.uint8)])))
    assert seen[0].amin(dim=(1, 2, 3)).tolist() == [1, -1]
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.png: the picture is missing\."):
        decode_pictures([tmp_path / "none.png"], look=LOOK)


@pytest.mark.parametrize("kind", ["jpg", "png", "gif", "tiff", "webp", "bmp"])
def test_a_truncated_picture_is_named(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = saved(tmp_path, Image.fromarray(noise), f"half.{kind}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"half\.{kind}: the picture cannot be read; it is truncated or no picture"):
        decode_pictures([path], look=LOOK)


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "words.jpg").write_text("these are words")
    with pytest.raises(DataError, match=r"words\.jpg: the picture cannot be read"):
        decode_pictures([tmp_path / "words.jpg"], look=LOOK)
    with pytest.raises(DataError, match="the picture cannot be read"):
        decode_pictures([tmp_path], look=LOOK)


def test_a_picture_too_large_for_the_memory_is_refused(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "bomb.png").write_bytes(bomb + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))
    with pytest.raises(DataError, match=r"bomb\.png: the picture cannot be read"):
        decode_pictures([tmp_path / "bomb.png"], look=LOOK)


def test_an_array_of_another_shape_or_type_is_refused() -> None:
    good = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(DataError, match=r"picture 1: expected bytes of shape \[height, width, 3\]\. Got float64"):
        decode_pictures([good, np.zeros((4, 4, 3))], look=LOOK)
    with pytest.raises(DataError, match=r"picture 0: .* Got uint8 of shape \(4, 4, 2\)"):
        decode_pictures([np.zeros((4, 4, 2), np.uint8)], look=LOOK)


def test_a_size_without_pixels_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"image_size must be a positive number of pixels\. Got 0\."):
        Look(height=0, width=0)


def test_a_look_survives_its_settings() -> None:
    look = Look(height=3, width=4, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0), interpolation="bicubic")
    assert Look.from_settings(look.settings()) == look
