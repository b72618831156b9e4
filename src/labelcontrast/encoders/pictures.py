"""Pictures: decoded and resized once, and normalised on the device, as the network that looks at them wants it."""

import os
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from labelcontrast.encoders.base import Encoder, Inputs, Items, Kind
from labelcontrast.errors import ConfigError, DataError

Triple = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a network wants to see a picture.

    The whole picture is resized, without keeping its proportions and without a crop: a label may stand at its edge.
    """

    height: int
    width: int
    mean: Triple = (0.5, 0.5, 0.5)
    std: Triple = (0.5, 0.5, 0.5)
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        """Refuse a picture without pixels."""
        if min(self.height, self.width) < 1:
            message = f"image_size must be a positive number of pixels. Got {min(self.height, self.width)}."
            raise ConfigError(message)

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> "Look":
        """Build what ``settings`` described."""
        return cls(**{**settings, "mean": tuple(settings["mean"]), "std": tuple(settings["std"])})

    def settings(self) -> dict[str, object]:
        """Say it in plain values."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}


class PictureEncoder(Encoder):
    """An encoder of pictures: a subclass adds the network that looks at normalised pixels."""

    kind: Kind = "image"
    mean: Tensor
    std: Tensor

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look
        self.register_buffer("mean", torch.tensor(look.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(look.std).view(3, 1, 1), persistent=False)

    def prepare(self, inputs: Sequence[Any] | NDArray[Any]) -> Items:
        """Decode and resize the pictures.

        Raises: DataError, naming the picture that is missing, truncated or none.
        """
        return decode_pictures(inputs, look=self.look)

    def collate(self, items: Items) -> dict[str, Tensor]:
        """Stack the pixels, still as bytes."""
        return {"pixels": torch.from_numpy(np.stack(list(items)))}

    def forward(self, inputs: Inputs) -> Float[Tensor, "batch dim"]:
        """Normalise a batch of pictures and embed it."""
        # Permuting bytes that lie as height, width, channel gives channels last, which convolutions like best.
        pixels = inputs["pixels"].permute(0, 3, 1, 2).float()
        return self.look_at((pixels / 255 - self.mean) / self.std)

    @abstractmethod
    def look_at(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Embed normalised pixels."""


def decode_pictures(inputs: Sequence[Any] | NDArray[Any], *, look: Look) -> UInt8[ndarray, "pictures height width 3"]:
    """Decode and resize pictures to one array of bytes.

    Args:
        inputs: paths, the bytes of files, or arrays of bytes: [height, width], or [height, width, 3 or 4].
        look: the size, and the interpolation between pixels.

    Returns: red, green and blue; transparency is seen on white, and a photograph is turned as its camera was held.

    Raises: DataError, naming the picture that is missing, truncated or none.

    Example:
        >>> import numpy as np
        >>> decode_pictures([np.zeros((8, 6), np.uint8)], look=Look(height=4, width=4)).shape
        (1, 4, 4, 3)
    """
    decoded = np.empty((len(inputs), look.height, look.width, 3), dtype=np.uint8)

    def decode(index: int) -> None:
        decoded[index] = np.asarray(_resized(inputs[index], place=f"picture {index}", look=look))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(decode, range(len(inputs))):
            pass
    return decoded


def _resized(picture: Any, *, place: str, look: Look) -> Image.Image:  # noqa: ANN401
    """Open one picture, whatever it is, and resize it."""
    resampling = Image.Resampling[look.interpolation.upper()]
    if isinstance(picture, ndarray):
        if picture.dtype != np.uint8 or picture.ndim not in {2, 3} or picture.shape[2:] not in {(), (3,), (4,)}:
            message = f"expected bytes of shape [height, width, 3]. Got {picture.dtype} of shape {picture.shape}."
            raise DataError(message, path=place)
        return _in_colour(Image.fromarray(picture)).resize((look.width, look.height), resampling)
    try:
        with Image.open(BytesIO(picture) if isinstance(picture, bytes) else picture) as image:
            return _in_colour(ImageOps.exif_transpose(image)).resize((look.width, look.height), resampling)
    except FileNotFoundError:
        message = "the picture is missing."
        raise DataError(message, path=picture) from None
    # Pillow's decoders say "broken" in many ways: OSError when truncated, SyntaxError for a bad PNG chunk, and more.
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        message = f"the picture cannot be read; it is truncated or no picture ({error})."
        raise DataError(message, path=place if isinstance(picture, bytes) else picture) from error


def _in_colour(image: Image.Image) -> Image.Image:
    """Make red, green and blue of grey, palette, 16-bit or transparent pixels."""
    if image.mode.startswith("I;16"):
        # Pillow would cut 16-bit grey at 255, which is almost black, instead of scaling it.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
