"""Pictures as files or as bytes: opened within a limit of size, and decoded to red, green and blue."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from labelcontrast.errors import DataError

Picture: TypeAlias = Path | bytes
# Pillow's decoders fail in many ways: OSError when truncated, SyntaxError for a bad PNG chunk, and more.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, OverflowError, TypeError, IndexError, KeyError, MemoryError)
INTEGERS = (65535, 2**31 - 1)
"""White in pictures of whole numbers of 32 bits: those of 16 bits that are stored so, or all bits."""
FLOATS = (1, 255, 65535)
_OPENING = threading.Lock()


@contextmanager
def open_picture(picture: str | Path | bytes) -> Iterator[Image.Image]:
    """Open a picture and read its header; it is decoded when its pixels are used.

    Raises:
        OSError: It is missing or not a picture.
        ValueError: It has more pixels than Pillow considers safe, 89 million: a small file may unpack to gigabytes.
    """
    with BytesIO(picture) if isinstance(picture, bytes) else Path(picture).open("rb") as file:
        with _OPENING, warnings.catch_warnings():  # filters are global: one thread at a time
            warnings.simplefilter("ignore")  # of damaged tags beside the pixels
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            try:
                image = Image.open(file)
                if image.format == "TIFF":
                    image.getexif()
            except (Image.DecompressionBombWarning, Image.DecompressionBombError):
                limit = f"{(Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f}"
                raise ValueError(f"it has more than {limit} million pixels; store a smaller copy") from None
        with image:
            yield image


def decode_picture(picture: str | Path | bytes, *, place: str) -> Image.Image:
    """Decode a picture, upright and in RGB, on white where it is transparent.

    Args:
        picture: Its path, or the bytes of its file.
        place: Named by an error if there is no path.

    Raises:
        DataError: The picture is missing, too large, or cannot be read.
    """
    try:
        with open_picture(picture) as image:
            return as_rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        message = "the picture is missing."
        raise DataError(message, path=place if isinstance(picture, bytes) else picture) from None
    except UNREADABLE as error:
        message = f"the picture cannot be read; it is truncated or not a picture ({error})."
        raise DataError(message, path=place if isinstance(picture, bytes) else picture) from error


def as_rgb(image: Image.Image) -> Image.Image:
    """Convert a picture of any mode to RGB, on white where it is transparent.

    Grey of more than 8 bits is scaled, where Pillow would clip it: 16 bits by their range; whole numbers of 32 bits and
    floats by the smallest usual range that holds all values.

    Raises:
        ValueError: A value is negative, not finite, or outside of all ranges.
    """
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in {"I", "F"}:
        image = Image.fromarray(_scaled(np.asarray(image, np.float64), INTEGERS if image.mode == "I" else FLOATS))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _scaled(values: NDArray[np.float64], ranges: tuple[int, ...]) -> NDArray[np.uint8]:
    least, most = values.min(), values.max()
    white = next((end for end in ranges if most <= end), None)
    if white is None or not least >= 0:
        raise ValueError(f"its values go from {least:g} to {most:g}; expected 0 to {', '.join(map(str, ranges))}")
    return (values * (256 / (white + 1)) if white > 1 else np.rint(values * 255)).astype(np.uint8)
