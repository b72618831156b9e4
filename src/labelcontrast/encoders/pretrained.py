"""Pretrained encoders: where one is found (a folder, an installed wheel, the hub), and its transformers model."""

import importlib.util
import json
import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from torch import nn

from labelcontrast.errors import EncoderError, nearest

EMBEDDED = ("hashed", "convnet", "mlp")
WAYS_ON = (
    "Ways on: a hub id (organisation/name), a local folder, pkg:PACKAGE/FOLDER inside an installed wheel, "
    'timm:NAME for pictures, or "auto" for the embedded default, which needs no download.'
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A pretrained encoder as its user named it, and where that is: a folder or a hub id."""

    name: str
    place: str

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder here rather than a hub id."""
        return Path(self.place).is_dir()

    def cannot_be_had(self, why: object) -> EncoderError:
        """Make the refusal that names the ways on."""
        reason = str(why).strip().split("\n")[0].rstrip(".")
        return EncoderError(
            f'the encoder "{self.name}" cannot be had: {reason}{nearest(self.name, EMBEDDED)}. {WAYS_ON}'
        )


def locate(name: str) -> Source:
    """Find the folder that a name means; what is no folder is taken for a hub id.

    Args:
        name: ``folder``, ``organisation/name``, or ``pkg:package/folder``, which is found without an import.

    Raises: EncoderError, when the package is not installed or lacks the folder.

    Example:
        >>> locate("roberta-base").place
        'roberta-base'
    """
    if not name.startswith("pkg:"):
        folder = Path(name).expanduser()
        return Source(name=name, place=str(folder) if folder.is_dir() else name)
    package, _, inner = name.removeprefix("pkg:").partition("/")
    found = importlib.util.find_spec(package) if package.isidentifier() else None
    for home in (found.submodule_search_locations or []) if found else []:
        if (Path(home) / inner).is_dir():
            return Source(name=name, place=str(Path(home) / inner))
    why = f"the package {package} has no folder {inner}" if found else f"the package {package} is not installed"
    raise Source(name=name, place=name).cannot_be_had(why)


def read_json(source: Source, file: str) -> dict[str, Any] | None:
    """Read a JSON file of a pretrained encoder; None where there is no such file.

    Raises: EncoderError, when the name can be no hub id, or the file is no JSON.
    """
    from transformers.utils.hub import cached_file

    try:
        with quietly(source):
            path = cached_file(source.place, file, _raise_exceptions_for_missing_entries=False)
    except (OSError, ValueError) as error:
        raise source.cannot_be_had("there is no such folder, nor does the hub give it") from error
    if path is None:
        return None
    try:
        return dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise source.cannot_be_had(f"its {file} is no JSON object ({error})") from error


@cache
def hub_answers() -> bool:
    """Whether the hub's name can be looked up; without this, its client tries again for half a minute a file."""
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return False
    if getproxies():
        return True
    with suppress(OSError):
        return bool(socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443))
    return False


@contextmanager
def quietly(source: Source | None = None) -> Iterator[None]:
    """Keep transformers and the hub's client silent for a while, and off the network unless the source is on a hub.

    A hub that does not answer is not asked either.
    """
    from huggingface_hub import constants
    from transformers.utils import logging as talk

    level, bar = talk.get_verbosity(), talk.is_progress_bar_enabled()
    client = logging.getLogger("huggingface_hub")
    client_level, offline = client.level, constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = source is None or source.is_folder or not hub_answers()
    talk.set_verbosity(logging.ERROR)
    talk.disable_progress_bar()  # type: ignore[no-untyped-call]
    client.setLevel(logging.ERROR)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        talk.set_verbosity(level)
        client.setLevel(client_level)
        if bar:
            talk.enable_progress_bar()  # type: ignore[no-untyped-call]


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
