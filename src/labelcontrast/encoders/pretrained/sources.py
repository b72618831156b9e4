"""Where a pretrained encoder is found: a local folder, a folder inside an installed wheel, or the model hub."""

import importlib.util
import json
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

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
