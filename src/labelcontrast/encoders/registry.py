"""One string names an encoder; the settings and assets of a run build it again, with no network."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from labelcontrast.encoders.base import Encoder, Kind, drawing_from
from labelcontrast.encoders.convnet import ConvNet
from labelcontrast.encoders.frozen import stored_frozen
from labelcontrast.encoders.hashed import HashedEncoder
from labelcontrast.encoders.pretrained import WAYS_ON, is_timm, locate
from labelcontrast.encoders.text import pretrained_text, stored_text
from labelcontrast.encoders.vectors import VectorEncoder
from labelcontrast.encoders.vision import PREFIX, pretrained_timm, pretrained_vision, stored_timm, stored_vision
from labelcontrast.errors import ConfigError, EncoderError, nearest

EMBEDDED: dict[str, tuple[Kind, Callable[..., Encoder]]] = {
    "hashed": ("text", HashedEncoder),
    "convnet": ("image", ConvNet),
    "mlp": ("vector", VectorEncoder),
}
STORED: dict[str, Callable[[Path, Mapping[str, Any]], Encoder]] = {
    "hashed": lambda _, settings: HashedEncoder(**settings),
    "convnet": lambda _, settings: ConvNet(**settings),
    "mlp": lambda _, settings: VectorEncoder(**settings),
    "transformer_text": stored_text,
    "transformer_vision": stored_vision,
    "timm": stored_timm,
}
OPTIONS = {
    "hashed": {"max_length", "width"},
    "convnet": {"image_size", "width"},
    "mlp": {"input_dim", "width"},
    "text": {"pooling", "max_length"},
    "image": {"image_size"},
}


def make_encoder(
    name: str,
    *,
    kind: Kind,
    pooling: str | None = None,
    max_length: int | None = None,
    image_size: int | None = None,
    input_dim: int | None = None,
    width: int | None = None,
    pretrained: bool = True,
    generator: torch.Generator | None = None,
) -> Encoder:
    """Make the encoder that a string names, for data of one kind.

    Args:
        name: ``"auto"`` for the embedded default (``hashed`` for texts, ``convnet`` for pictures, ``mlp`` for vectors);
            that default's own name; or a pretrained encoder: a hub id, a local folder, ``pkg:package/folder`` inside an
            installed wheel, or ``timm:`` and a name that timm knows.
        kind: what the data holds.
        pooling: for a transformers model of text: ``"cls"`` or ``"mean"``; by default what the model was made for.
        max_length: tokens (``hashed``: words) that are read of a text; by default the model's limit and at most 256
            (``hashed``: all).
        image_size: pixels of a picture's height and width; by default those it was trained with (``convnet``: 64).
        input_dim: width of the vectors; needed for those and only those.
        width: width of an embedded encoder's embedding; by default 256.
        pretrained: False starts a pretrained architecture from random weights.
        generator: where random initial weights are drawn from.

    Raises:
        EncoderError: when the encoder cannot be had, or does not read data of this kind.
        ConfigError: when an option does not belong to this encoder, or is out of its range.
        MissingExtraError: when it is one of timm, which is not installed.

    Example:
        >>> make_encoder("auto", kind="vector", input_dim=103).output_dim
        256
    """
    if name == "auto":
        name = next(own for own, (reads, _) in EMBEDDED.items() if reads == kind)
    given = {
        "pooling": pooling,
        "max_length": max_length,
        "image_size": image_size,
        "input_dim": input_dim,
        "width": width,
    }
    options = {option: value for option, value in given.items() if value is not None}
    with drawing_from(generator):
        if name in EMBEDDED:
            return _embedded(name, kind=kind, options=options)
        return _pretrained(name, kind=kind, options=options, pretrained=pretrained)


def load_encoder(folder: Path, settings: Mapping[str, Any]) -> Encoder:
    """Build the encoder that was saved with ``save_assets`` and ``settings``; its weights are still to be loaded.

    It asks no network.

    Raises: EncoderError, when the settings name no family of encoders.

    Example:
        >>> encoder = make_encoder("hashed", kind="text", width=64)
        >>> load_encoder(Path(), encoder.settings()).settings() == encoder.settings()
        True
    """
    own = dict(settings)
    family = str(own.pop("family", None))
    if family == "frozen":
        return stored_frozen(folder, own, load_encoder(folder, own["base"]))
    if family not in STORED:
        known = ", ".join([*STORED, "frozen"])
        message = f'an encoder\'s family must be one of {known}{nearest(family, STORED)}. Got "{family}".'
        raise EncoderError(message)
    return STORED[family](folder, own)


def _embedded(name: str, *, kind: Kind, options: dict[str, Any]) -> Encoder:
    """Make one of the encoders that need no download."""
    reads, build = EMBEDDED[name]
    if reads != kind:
        message = f'the encoder "{name}" reads data of kind {reads}; the data is of kind {kind}. {WAYS_ON}'
        raise EncoderError(message)
    _refuse_strange(options, allowed=OPTIONS[name], name=name)
    if name == "mlp" and "input_dim" not in options:
        message = 'the encoder "mlp" needs input_dim, the width of the vectors.'
        raise ConfigError(message)
    return build(**options)


def _pretrained(name: str, *, kind: Kind, options: dict[str, Any], pretrained: bool) -> Encoder:
    """Load an encoder that others have trained, whichever library it is of."""
    if kind == "vector":
        message = f'feature vectors are read by the encoder "mlp" only{nearest(name, ["mlp"])}. Got "{name}".'
        raise EncoderError(message)
    source = locate(name)
    timm = name.startswith(PREFIX) or is_timm(source)
    if timm and kind == "text":
        message = f'the encoder "{name}" reads pictures; the data holds texts.'
        raise EncoderError(message)
    _refuse_strange(options, allowed=OPTIONS[kind], name=name)
    if kind == "text":
        return pretrained_text(source, **options, pretrained=pretrained)
    load = pretrained_timm if timm else pretrained_vision
    return load(source, **options, pretrained=pretrained)


def _refuse_strange(options: dict[str, Any], *, allowed: set[str], name: str) -> None:
    """Refuse an option that this encoder would ignore."""
    for option, value in options.items():
        if option not in allowed:
            message = f'the encoder "{name}" has no option {option}; it has {", ".join(sorted(allowed))}. Got {value}.'
            raise ConfigError(message)
