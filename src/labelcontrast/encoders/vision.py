"""Encoders of pictures: decoding and resizing, normalisation on the device, transformers and timm models."""

import inspect
import json
import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from labelcontrast.encoders.base import Encoder, Inputs, Items, Kind
from labelcontrast.encoders.pictures import as_rgb, decode_picture
from labelcontrast.encoders.pretrained import Source, build_transformer, load_transformer, quietly
from labelcontrast.errors import ConfigError, DataError, MissingExtraError, nearest
from labelcontrast.files import write_text
from labelcontrast.progress import tracked

DESCRIBED_AT_ONCE = 256
"""Pictures that are decoded together to be described."""
TIMM = "timm:"
"""Prefix of the names that timm knows."""
Triple = tuple[float, float, float]


def decode_pictures(
    inputs: Sequence[Any] | NDArray[Any], *, transform: "PictureTransform"
) -> UInt8[np.ndarray, "pictures height width 3"]:
    """Decode and resize pictures to one array of bytes.

    Args:
        inputs: Paths, the bytes of files, or arrays of bytes: [height, width], or [height, width, 3 or 4].
        transform: Size and interpolation.

    Returns: Red, green and blue. Transparent pixels are white, and the orientation in a photograph's EXIF is applied.

    Raises: DataError, naming the picture that is missing, truncated or not a picture.

    Example:
        >>> import numpy as np
        >>> decode_pictures([np.zeros((8, 6), np.uint8)], transform=PictureTransform(height=4, width=4)).shape
        (1, 4, 4, 3)
    """
    decoded = np.empty((len(inputs), transform.height, transform.width, 3), dtype=np.uint8)

    def decode(index: int) -> None:
        decoded[index] = np.asarray(_resized(inputs[index], place=f"picture {index}", transform=transform))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in tracked(pool.map(decode, range(len(inputs))), "pictures", total=len(inputs)):
            pass
    return decoded


def describe_pictures(inputs: Sequence[Any] | NDArray[Any]) -> Float[np.ndarray, "pictures 1152"]:
    r"""Count the colours and the directions of edges in every cell of a picture of 64 x 64 pixels.

    A cell has 16 x 16 pixels. It has 64 colours, four steps of red, green and blue each, and 8 directions of the
    gradient :math:`g` of its grey values, in which each pixel counts :math:`\lVert g \rVert`.

    Args:
        inputs: As in ``decode_pictures``.

    Returns: For each cell its colours and its directions, the cells row by row.

    Example:
        >>> described = describe_pictures([np.zeros((8, 8, 3), np.uint8)])
        >>> described.shape, described.sum() == 64 * 64, described[0, 0]
        ((1, 1152), np.True_, np.float32(256.0))

    Reference: Dalal and Triggs, Histograms of Oriented Gradients for Human Detection, 2005.
    """
    transform, cells = PictureTransform(height=64, width=64), np.arange(64) // 16
    cell = cells[:, None] * 4 + cells
    described = np.empty((len(inputs), 16 * 72), np.float32)
    for start in range(0, len(inputs), DESCRIBED_AT_ONCE):
        chunk = decode_pictures(inputs[start : start + DESCRIBED_AT_ONCE], transform=transform)
        colours = chunk // 64 @ np.array([16, 4, 1], np.uint8)
        down, right = np.gradient(chunk.mean(axis=3), axis=(1, 2))
        directions = np.rint((np.arctan2(down, right) / np.pi + 1) * 4).astype(int) % 8
        strengths = np.hypot(down, right)
        picture = np.arange(len(chunk))[:, None, None]
        counts = np.bincount(((picture * 16 + cell) * 64 + colours).ravel(), minlength=len(chunk) * 16 * 64)
        edges = np.bincount(
            ((picture * 16 + cell) * 8 + directions).ravel(), strengths.ravel(), minlength=len(chunk) * 16 * 8
        )
        both = np.concatenate([counts.reshape(-1, 16, 64), edges.reshape(-1, 16, 8)], axis=2)
        described[start : start + len(chunk)] = both.reshape(len(chunk), -1)
    return described


@dataclass(frozen=True, kw_only=True)
class PictureTransform:
    """Size, interpolation and normalisation of pictures.

    The whole picture is resized, without keeping its proportions and without a crop: a label may be visible only at
    its edge.
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
    def from_settings(cls, settings: Mapping[str, Any]) -> "PictureTransform":
        """Rebuild the transform from ``settings``."""
        return cls(**{**settings, "mean": tuple(settings["mean"]), "std": tuple(settings["std"])})

    def settings(self) -> dict[str, object]:
        """Return the transform as plain values."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}


class PictureEncoder(Encoder):
    """An encoder of pictures; a subclass embeds normalised pixels."""

    kind: Kind = "image"
    mean: Tensor
    std: Tensor

    def __init__(self, transform: PictureTransform) -> None:
        super().__init__()
        self.transform = transform
        self.register_buffer("mean", torch.tensor(transform.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(transform.std).view(3, 1, 1), persistent=False)

    def prepare(self, inputs: Sequence[Any] | NDArray[Any]) -> Items:
        """Decode and resize pictures; see ``decode_pictures``."""
        return decode_pictures(inputs, transform=self.transform)

    def collate(self, items: Items) -> dict[str, Tensor]:
        """Stack the pixels, as bytes."""
        return {"pixels": torch.from_numpy(np.stack(list(items)))}

    def forward(self, inputs: Inputs) -> Float[Tensor, "batch dim"]:
        """Normalise a batch of pictures and embed it."""
        # Permuting [height, width, channel] gives the memory format channels last, in which convolutions are fastest.
        pixels = inputs["pixels"].permute(0, 3, 1, 2).float()
        return self.embed_pixels((pixels / 255 - self.mean) / self.std)

    @abstractmethod
    def embed_pixels(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Embed normalised pixels."""


class TransformerVision(PictureEncoder):
    """A transformers model of pictures: its pooled output, or its class token if the pooler is untrained.

    Built by ``pretrained_vision`` and ``stored_vision``.
    """

    def __init__(self, model: nn.Module, transform: PictureTransform, *, name: str) -> None:
        super().__init__(transform)
        self.model, self.name = model, name
        self.pooler = getattr(model, "pooler", None) is not None
        # Positions learned at another size must be interpolated; only models with such positions have this option.
        option = "interpolate_pos_encoding"
        self.options = {option: True} if option in inspect.signature(model.forward).parameters else {}
        self.output_dim = self._measured_width()

    def embed_pixels(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Embed normalised pixels."""
        output = self.model(pixel_values=pixels, **self.options)
        pooled = getattr(output, "pooler_output", None)
        embeddings: Tensor = output.last_hidden_state[:, 0] if pooled is None else pooled.flatten(1)
        return embeddings

    def settings(self) -> dict[str, object]:
        """Return the settings that rebuild this encoder, beside the saved configuration."""
        return {"family": "transformer_vision", "name": self.name, "pooler": self.pooler, **self.transform.settings()}

    def save_assets(self, folder: str | Path) -> None:
        """Write the model's configuration."""
        self.model.config.save_pretrained(folder)  # type: ignore[union-attr, operator]

    def _measured_width(self) -> int:
        # Every family of models has another name for the width of its output, so one grey picture is embedded.
        training = self.training
        with torch.no_grad():
            pixels = torch.zeros(1, 3, self.transform.height, self.transform.width)
            width = self.eval().embed_pixels(pixels).shape[1]
        self.train(training)
        return width


class TimmVision(PictureEncoder):
    """A timm model without its classifier. Built by ``pretrained_timm`` and ``stored_timm``."""

    def __init__(self, model: nn.Module, transform: PictureTransform, *, name: str) -> None:
        super().__init__(transform)
        self.model, self.name = model, name
        self.output_dim = int(model.num_features)  # type: ignore[arg-type]

    def embed_pixels(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Embed normalised pixels."""
        embeddings: Tensor = self.model(pixels)
        return embeddings

    def settings(self) -> dict[str, object]:
        """Return the settings that rebuild this encoder, beside the saved configuration."""
        return {"family": "timm", "name": self.name, **self.transform.settings()}

    def save_assets(self, folder: str | Path) -> None:
        """Write the configuration in timm's format."""
        own: Mapping[str, Any] = self.model.pretrained_cfg  # type: ignore[assignment]
        config = {"architecture": own["architecture"], "num_classes": 0, "pretrained_cfg": {**own, "num_classes": 0}}
        write_text(Path(folder) / "config.json", json.dumps(config, indent=1))


def pretrained_vision(source: Source, *, image_size: int | None = None, pretrained: bool = True) -> TransformerVision:
    """Load a transformers model of pictures, with the transform of its image processor or of another size.

    Raises: EncoderError, when the model cannot be loaded, does not read pictures, or has no image processor.
    """
    model = load_transformer(source, reads="image", pretrained=pretrained)
    processor = source.read_json("preprocessor_config.json")
    if processor is None:
        processor = (source.read_json("processor_config.json") or {}).get("image_processor")
    if processor is None:
        raise source.error("it has no preprocessor_config.json, so its mean and deviation are unknown")
    try:
        return TransformerVision(model, _processor_transform(processor, image_size=image_size), name=source.name)
    except (RuntimeError, ValueError) as error:
        raise source.error(f"it does not take pictures of that size ({error})") from error


def pretrained_timm(source: Source, *, image_size: int | None = None, pretrained: bool = True) -> TimmVision:
    """Load a timm model, with the transform that it was trained with or of another size.

    Raises:
        MissingExtraError: When timm is not installed.
        EncoderError: When the model cannot be loaded, or does not take pictures of that size.
    """
    timm = _import_timm()
    try:
        with quietly(source):
            model = timm.create_model(_timm_name(source), pretrained=pretrained, num_classes=0)
        own = timm.data.resolve_data_config({}, model=model)
    # A foreign name, folder or weights file can fail with any error.
    except Exception as error:
        name, known = source.place.removeprefix(TIMM), timm.list_models()
        near = "" if name in known else nearest(name, known)
        raise source.error(f"timm says: {error}{near}") from error
    _, height, width = own["input_size"]
    if image_size not in {None, height} and model.pretrained_cfg.get("fixed_input_size"):
        raise source.error(f"it takes pictures of {height} pixels only, not of {image_size}")
    transform = PictureTransform(
        height=image_size or height,
        width=image_size or width,
        mean=tuple(own["mean"]),
        std=tuple(own["std"]),
        interpolation=own["interpolation"],
    )
    return TimmVision(model, transform, name=source.name)


def stored_vision(folder: Path, settings: Mapping[str, Any]) -> TransformerVision:
    """Rebuild the encoder from its settings and assets; its weights are loaded afterwards."""
    own = dict(settings)
    name, pooler = own.pop("name"), own.pop("pooler")
    return TransformerVision(build_transformer(folder, pooler=pooler), PictureTransform.from_settings(own), name=name)


def stored_timm(folder: Path, settings: Mapping[str, Any]) -> TimmVision:
    """Rebuild the encoder from its settings and assets; its weights are loaded afterwards."""
    own = dict(settings)
    name = own.pop("name")
    model = _import_timm().create_model(f"local-dir:{folder}", pretrained=False, num_classes=0)
    return TimmVision(model, PictureTransform.from_settings(own), name=name)


def _resized(picture: Any, *, place: str, transform: PictureTransform) -> Image.Image:  # noqa: ANN401
    size, resampling = (transform.width, transform.height), Image.Resampling[transform.interpolation.upper()]
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim not in {2, 3} or picture.shape[2:] not in {(), (3,), (4,)}:
            message = f"expected bytes of shape [height, width, 3]. Got {picture.dtype} of shape {picture.shape}."
            raise DataError(message, path=place)
        return as_rgb(Image.fromarray(picture)).resize(size, resampling)
    return decode_picture(picture, place=place).resize(size, resampling)


def _processor_transform(processor: Mapping[str, Any], *, image_size: int | None) -> PictureTransform:
    # The format of image processors has changed over the versions of transformers; all of them are read.
    size = processor["crop_size"] if processor.get("do_center_crop") else processor.get("size", 224)
    if not isinstance(size, Mapping):
        size = {"height": size, "width": size}
    if "height" not in size:
        size = dict.fromkeys(("height", "width"), size["shortest_edge"])
    normalises = processor.get("do_normalize", True)
    return PictureTransform(
        height=image_size or size["height"],
        width=image_size or size["width"],
        mean=tuple(processor["image_mean"]) if normalises else (0.0, 0.0, 0.0),
        std=tuple(processor["image_std"]) if normalises else (1.0, 1.0, 1.0),
        interpolation=Image.Resampling(processor.get("resample", Image.Resampling.BILINEAR)).name.lower(),
    )


def _import_timm() -> ModuleType:
    try:
        import timm
        import timm.data
    except ImportError as error:
        purpose = "A timm encoder"
        raise MissingExtraError(purpose, "timm") from error
    return timm


def _timm_name(source: Source) -> str:
    name = source.place.removeprefix(TIMM)
    if Path(name).is_dir():
        return f"local-dir:{name}"
    return f"hf-hub:{name}" if "/" in name and ":" not in name else name
