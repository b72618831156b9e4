"""Pretrained picture encoders: any transformers vision model, and any timm model (extra)."""

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from labelcontrast.encoders.pictures import Look, PictureEncoder
from labelcontrast.encoders.pretrained import Source, build_model, load_model, quietly, read_json
from labelcontrast.errors import MissingExtraError, nearest
from labelcontrast.files import write_text


class TransformerVision(PictureEncoder):
    """A transformers model of pictures: its pooled output, or its class token where the pooler was never trained.

    Made by ``pretrained_vision`` and ``stored_vision``.
    """

    def __init__(self, model: nn.Module, look: Look, *, name: str) -> None:
        super().__init__(look)
        self.model, self.name = model, name
        self.pooler = getattr(model, "pooler", None) is not None
        # Positions that were learnt at another size have to be interpolated; only a model that has such has the switch.
        switch = "interpolate_pos_encoding"
        self.switches = {switch: True} if switch in inspect.signature(model.forward).parameters else {}
        self.output_dim = self._measured_width()

    def look_at(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Embed normalised pixels."""
        seen = self.model(pixel_values=pixels, **self.switches)
        pooled = getattr(seen, "pooler_output", None)
        embeddings: Tensor = seen.last_hidden_state[:, 0] if pooled is None else pooled.flatten(1)
        return embeddings

    def settings(self) -> dict[str, object]:
        """Say how to build this encoder again, beside the saved configuration."""
        return {"family": "transformer_vision", "name": self.name, "pooler": self.pooler, **self.look.settings()}

    def save_assets(self, folder: str | Path) -> None:
        """Write the model's configuration."""
        self.model.config.save_pretrained(folder)  # type: ignore[union-attr, operator]

    def _measured_width(self) -> int:
        """Embed one grey picture: every family has another name for the width of what it returns."""
        training = self.training
        with torch.no_grad():
            width = self.eval().look_at(torch.zeros(1, 3, self.look.height, self.look.width)).shape[1]
        self.train(training)
        return width


def pretrained_vision(source: Source, *, image_size: int | None = None, pretrained: bool = True) -> TransformerVision:
    """Load a model of pictures; mean, deviation, size and interpolation are those of its image processor.

    Args:
        source: where it is.
        image_size: height and width to which pictures are resized, in pixels, instead of the processor's.
        pretrained: False starts from random weights, on purpose.

    Raises: EncoderError, when it cannot be had, reads no pictures, or does not say how it wants to see them.
    """
    model = load_model(source, reads="image", pretrained=pretrained)
    processor = read_json(source, "preprocessor_config.json")
    if processor is None:
        processor = (read_json(source, "processor_config.json") or {}).get("image_processor")
    if processor is None:
        raise source.cannot_be_had("it has no preprocessor_config.json, so its mean and deviation are unknown")
    try:
        return TransformerVision(model, _processor_look(processor, image_size=image_size), name=source.name)
    except (RuntimeError, ValueError) as error:
        raise source.cannot_be_had(f"it does not take pictures of that size ({error})") from error


def stored_vision(folder: Path, settings: Mapping[str, Any]) -> TransformerVision:
    """Build what was saved with ``save_assets`` and ``settings``; its weights are still to be loaded."""
    own = dict(settings)
    name, pooler = own.pop("name"), own.pop("pooler")
    return TransformerVision(build_model(folder, pooler=pooler), Look.from_settings(own), name=name)


def _processor_look(processor: Mapping[str, Any], *, image_size: int | None) -> Look:
    """Read an image processor's configuration, in any of the forms that it has had."""
    size = processor["crop_size"] if processor.get("do_center_crop") else processor.get("size", 224)
    if not isinstance(size, Mapping):
        size = {"height": size, "width": size}
    if "height" not in size:
        size = dict.fromkeys(("height", "width"), size["shortest_edge"])
    normalises = processor.get("do_normalize", True)
    return Look(
        height=image_size or size["height"],
        width=image_size or size["width"],
        mean=tuple(processor["image_mean"]) if normalises else (0.0, 0.0, 0.0),
        std=tuple(processor["image_std"]) if normalises else (1.0, 1.0, 1.0),
        interpolation=Image.Resampling(processor.get("resample", Image.Resampling.BILINEAR)).name.lower(),
    )


PREFIX = "timm:"


class TimmVision(PictureEncoder):
    """A timm model without its classifier. Made by ``pretrained_timm`` and ``stored_timm``."""

    def __init__(self, model: nn.Module, look: Look, *, name: str) -> None:
        super().__init__(look)
        self.model, self.name = model, name
        self.output_dim = int(model.num_features)  # type: ignore[arg-type]

    def look_at(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Embed normalised pixels."""
        embeddings: Tensor = self.model(pixels)
        return embeddings

    def settings(self) -> dict[str, object]:
        """Say how to build this encoder again, beside the saved configuration."""
        return {"family": "timm", "name": self.name, **self.look.settings()}

    def save_assets(self, folder: str | Path) -> None:
        """Write the configuration in timm's own form."""
        own: Mapping[str, Any] = self.model.pretrained_cfg  # type: ignore[assignment]
        config = {"architecture": own["architecture"], "num_classes": 0, "pretrained_cfg": {**own, "num_classes": 0}}
        write_text(Path(folder) / "config.json", json.dumps(config, indent=1))


def pretrained_timm(source: Source, *, image_size: int | None = None, pretrained: bool = True) -> TimmVision:
    """Load a timm model; mean, deviation, size and interpolation are those it was trained with.

    Args:
        source: a folder, a hub id, or ``timm:`` and what ``timm.create_model`` takes.
        image_size: height and width to which pictures are resized, in pixels, instead of the model's own.
        pretrained: False starts from random weights, on purpose.

    Raises:
        MissingExtraError: when timm is not installed.
        EncoderError: when it cannot be had, or takes no pictures of that size.
    """
    timm = _timm()
    try:
        with quietly(source):
            model = timm.create_model(_timm_name(source), pretrained=pretrained, num_classes=0)
        own = timm.data.resolve_data_config({}, model=model)
    # What is wrong with a stranger's name, folder or weights comes as any error.
    except Exception as error:
        name, known = source.place.removeprefix(PREFIX), timm.list_models()
        near = "" if name in known else nearest(name, known)
        raise source.cannot_be_had(f"timm says: {error}{near}") from error
    _, height, width = own["input_size"]
    if image_size not in {None, height} and model.pretrained_cfg.get("fixed_input_size"):
        raise source.cannot_be_had(f"it takes pictures of {height} pixels only, not of {image_size}")
    look = Look(
        height=image_size or height,
        width=image_size or width,
        mean=tuple(own["mean"]),
        std=tuple(own["std"]),
        interpolation=own["interpolation"],
    )
    return TimmVision(model, look, name=source.name)


def stored_timm(folder: Path, settings: Mapping[str, Any]) -> TimmVision:
    """Build what was saved with ``save_assets`` and ``settings``; its weights are still to be loaded."""
    own = dict(settings)
    name = own.pop("name")
    model = _timm().create_model(f"local-dir:{folder}", pretrained=False, num_classes=0)
    return TimmVision(model, Look.from_settings(own), name=name)


def _timm() -> ModuleType:
    """Import timm, or say how it is had."""
    try:
        import timm
        import timm.data
    except ImportError as error:
        purpose = "A timm encoder"
        raise MissingExtraError(purpose, "timm") from error
    return timm


def _timm_name(source: Source) -> str:
    """Say it as timm wants to hear it: a folder and a hub id have a prefix."""
    name = source.place.removeprefix(PREFIX)
    if Path(name).is_dir():
        return f"local-dir:{name}"
    return f"hf-hub:{name}" if "/" in name and ":" not in name else name
