"""Any model of timm, which is an extra, fed as its own configuration says."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from labelcontrast.encoders.pictures import Look, PictureEncoder
from labelcontrast.encoders.pretrained.sources import Source, quietly
from labelcontrast.errors import MissingExtraError, nearest
from labelcontrast.files import write_text

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

    def save_assets(self, folder: Path) -> None:
        """Write the configuration in timm's own form."""
        own: Mapping[str, Any] = self.model.pretrained_cfg  # type: ignore[assignment]
        config = {"architecture": own["architecture"], "num_classes": 0, "pretrained_cfg": {**own, "num_classes": 0}}
        write_text(folder / "config.json", json.dumps(config, indent=1))


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
