"""Building an encoder from its name, and rebuilding one from the settings and assets of a run, without a network."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from labelcontrast.encoders.base import Encoder, Kind, drawing_from
from labelcontrast.encoders.embedded import ConvNet, HashedEncoder, LatentSemanticEncoder, VectorEncoder
from labelcontrast.encoders.frozen import stored_frozen
from labelcontrast.encoders.pretrained import CHOICES, find_installed, is_timm, locate
from labelcontrast.encoders.text import pretrained_text, stored_text
from labelcontrast.encoders.vision import TIMM, pretrained_timm, pretrained_vision, stored_timm, stored_vision
from labelcontrast.errors import ConfigError, EncoderError, nearest

EMBEDDED: dict[str, tuple[Kind, Callable[..., Encoder]]] = {
    "hashed": ("text", HashedEncoder),
    "lsa": ("text", LatentSemanticEncoder),
    "convnet": ("image", ConvNet),
    "mlp": ("vector", VectorEncoder),
}
STORED: dict[str, Callable[[Path, Mapping[str, Any]], Encoder]] = {
    "transformer_text": stored_text,
    "transformer_vision": stored_vision,
    "timm": stored_timm,
}
OPTIONS = {
    "lsa": {"max_length", "width"},
    "hashed": {"max_length", "width"},
    "convnet": {"image_size", "width"},
    "mlp": {"input_dim", "width"},
    "text": {"pooling", "max_length"},
    "image": {"image_size"},
}
"""The options of each embedded encoder, and of pretrained encoders by kind."""


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
    """Build the encoder with a given name, for data of one kind.

    Args:
        name: ``"embedded"`` for the default of a kind that needs no download (``hashed`` for texts, ``convnet`` for
            pictures, ``mlp`` for vectors), the name of another embedded encoder, or a pretrained encoder: a hub id, a
            local folder, ``pkg:package/folder`` for a folder of an installed package, or ``timm:`` and a name that timm
            knows. ``"auto"`` is the result of ``find_installed``, or else ``"embedded"``.
        kind: The kind of the data.
        pooling: For transformers models of texts: ``"cls"`` or ``"mean"``. By default the pooling that a
            sentence-transformers folder declares (``"mean"`` for all-MiniLM-L6-v2); otherwise ``"cls"`` if the
            tokenizer has a class token (BERT, RoBERTa), else ``"mean"``.
        max_length: Truncates texts to this number of tokens (``lsa`` and ``hashed``: words); by default the model's
            limit, at most 256 (``lsa`` and ``hashed``: no limit).
        image_size: Height and width to which pictures are resized, in pixels; by default those of the model's image
            processor (``convnet``: 64).
        input_dim: Width of the vectors; required for ``mlp``.
        width: Width of an embedded encoder's embedding; by default 256.
        pretrained: False starts a pretrained architecture from random weights.
        generator: Source of random initial weights.

    Raises:
        EncoderError: When the encoder cannot be loaded, or does not read data of this kind.
        ConfigError: When the encoder has no such option, or its value is out of range.
        MissingExtraError: When the encoder needs timm, which is not installed.

    Example:
        >>> make_encoder("embedded", kind="vector", input_dim=103).output_dim
        256
    """
    if name == "auto":
        name = find_installed(kind) or "embedded"
    if name == "embedded":
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


def load_encoder(folder: str | Path, settings: Mapping[str, Any]) -> Encoder:
    """Rebuild an encoder from its ``settings`` and the files of ``save_assets``; its weights are loaded afterwards.

    Args:
        folder: The folder of the saved assets; the network is not used.
        settings: What ``encoder.settings()`` returned.

    Raises: EncoderError, when the settings name an unknown family of encoders.

    Example:
        >>> encoder = make_encoder("hashed", kind="text", width=64)
        >>> load_encoder(".", encoder.settings()).settings() == encoder.settings()
        True
    """
    own = dict(settings)
    family = str(own.pop("family", None))
    if family == "frozen":
        return stored_frozen(Path(folder), own, load_encoder(folder, own["base"]))
    if family in EMBEDDED:
        return EMBEDDED[family][1](**own)
    if family in STORED:
        return STORED[family](Path(folder), own)
    known = [*EMBEDDED, *STORED, "frozen"]
    message = f'an encoder\'s family must be one of {", ".join(known)}{nearest(family, known)}. Got "{family}".'
    raise EncoderError(message)


def _embedded(name: str, *, kind: Kind, options: dict[str, Any]) -> Encoder:
    reads, build = EMBEDDED[name]
    if reads != kind:
        message = f'the encoder "{name}" reads data of kind {reads}; the data is of kind {kind}. {CHOICES}'
        raise EncoderError(message)
    _check_options(options, allowed=OPTIONS[name], name=name)
    if name == "mlp" and "input_dim" not in options:
        message = 'the encoder "mlp" needs input_dim, the width of the vectors.'
        raise ConfigError(message)
    return build(**options)


def _pretrained(name: str, *, kind: Kind, options: dict[str, Any], pretrained: bool) -> Encoder:
    if kind == "vector":
        message = f'feature vectors are read by the encoder "mlp" only{nearest(name, ["mlp"])}. Got "{name}".'
        raise EncoderError(message)
    source = locate(name)
    timm = name.startswith(TIMM) or is_timm(source)
    if timm and kind == "text":
        message = f'the encoder "{name}" reads pictures; the data holds texts.'
        raise EncoderError(message)
    _check_options(options, allowed=OPTIONS[kind], name=name)
    if kind == "text":
        return pretrained_text(source, **options, pretrained=pretrained)
    load = pretrained_timm if timm else pretrained_vision
    return load(source, **options, pretrained=pretrained)


def _check_options(options: dict[str, Any], *, allowed: set[str], name: str) -> None:
    for option, value in options.items():
        if option not in allowed:
            message = f'the encoder "{name}" has no option {option}; it has {", ".join(sorted(allowed))}. Got {value}.'
            raise ConfigError(message)
