"""A transformers model: built from its configuration, with its weights or without, and never with half of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from labelcontrast.encoders.pretrained.sources import Source, hub_answers, quietly, read_json
from labelcontrast.errors import EncoderError

READS = {"text": "texts", "image": "pictures"}


def load_model(source: Source, *, reads: str, pretrained: bool = True) -> nn.Module:
    """Build a transformers model, in float32 and in training mode.

    Args:
        source: where it is.
        reads: ``"text"`` or ``"image"``: what it is going to be given.
        pretrained: False starts from random weights, on purpose.

    Raises: EncoderError, when it cannot be had, reads something else, or its file lacks weights.
    """
    from transformers import AutoConfig, AutoModel

    try:
        with quietly(source):
            config = AutoConfig.from_pretrained(source.place)
            _refuse_other_inputs(source, config, reads=reads)
            if not pretrained:
                return _untrained(config)
            model, found = AutoModel.from_pretrained(source.place, dtype=torch.float32, output_loading_info=True)
    except EncoderError:
        raise
    # What is wrong with a stranger's folder comes as any error: of the file system, of a weights file, of a shape.
    except Exception as error:
        raise source.cannot_be_had(error) from error
    lacking = sorted(key for key in found["missing_keys"] if not key.startswith("pooler."))
    if lacking:
        raise source.cannot_be_had(f"its file lacks {len(lacking)} weights, such as {lacking[0]}")
    if found["missing_keys"]:
        model.register_module("pooler", None)  # it would be random; what it looks at is there without it
    trained: nn.Module = model.train()
    return trained


def build_model(folder: Path, *, pooler: bool) -> nn.Module:
    """Build the model that ``config.json`` in a folder describes; its weights are still to be loaded."""
    from transformers import AutoConfig

    with quietly():
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        model = _untrained(config)
    if not pooler:
        model.register_module("pooler", None)
    return model


def is_timm(source: Source) -> bool:
    """Whether ``config.json`` is one of timm rather than of transformers.

    Raises: EncoderError, when there is no ``config.json``.
    """
    config = read_json(source, "config.json")
    if config is None:
        asked = "has no such model" if hub_answers() else "does not answer"
        raise source.cannot_be_had("it has no config.json" if source.is_folder else f"no such folder; the hub {asked}")
    return "architecture" in config and "model_type" not in config


def _refuse_other_inputs(source: Source, config: Any, *, reads: str) -> None:  # noqa: ANN401
    """Refuse a model of pictures for texts, of texts for pictures, and of two things at once."""
    settings: Mapping[str, Any] = config.to_dict()
    if config.is_encoder_decoder or {"text_config", "vision_config"} <= settings.keys():
        message = f'the encoder "{source.name}" ({config.model_type}) is two models in one; name one that only encodes.'
        raise EncoderError(message)
    looks = bool({"num_channels", "image_size"} & settings.keys())
    if looks != (reads == "image"):
        message = (
            f'the encoder "{source.name}" reads {READS["image" if looks else "text"]}; the data holds {READS[reads]}.'
        )
        raise EncoderError(message)


def _untrained(config: Any) -> nn.Module:  # noqa: ANN401
    """Build a model with random weights."""
    from transformers import AutoModel

    model: nn.Module = AutoModel.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    return model.train()
