"""Features kept on disk: computed once for an encoder and its inputs, and from then on only read."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import safetensors.numpy
import safetensors.torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open

from labelcontrast.data.batches import Prepared
from labelcontrast.encoders.base import Encoder
from labelcontrast.files import whole_file
from labelcontrast.training.features import compute_features

Name = TypeVar("Name", bound=str)


def stored_features(
    path: Path, encoder: Encoder, parts: Mapping[Name, Prepared]
) -> dict[Name, Float[np.ndarray, "_ dim"]]:
    """Read the features of every part where the file holds them for this encoder and these inputs, else compute them.

    Args:
        path: a safetensors file, an array a part; the header says what they are features of. A file of other features,
            or a damaged one, is replaced.
        encoder: it runs in evaluation mode, so that neither norm nor dropout depends on the batch.
        parts: the examples by the name of their part.

    Returns:
        One row an example, in the order of each part.

    Raises:
        RunError: when the file cannot be written.
    """
    key = features_key(encoder, parts)
    if _key_of(path) != key:
        features = {str(name): compute_features(encoder, part).numpy() for name, part in parts.items()}
        with whole_file(path) as file:
            file.write(safetensors.numpy.save(features, metadata={"key": key}))
    kept = safetensors.numpy.load_file(path)
    return {name: kept[name] for name in parts}


def features_key(encoder: Encoder, parts: Mapping[Name, Prepared]) -> str:
    """Say as JSON what features depend on: the encoder's settings, its weights, and the inputs made ready for it."""
    weights = {name: value.contiguous().cpu() for name, value in encoder.state_dict().items()}
    facts = {
        "encoder": encoder.settings(),
        "weights": hashlib.sha256(safetensors.torch.save(weights)).hexdigest(),
        "inputs": {str(name): _digest(part) for name, part in parts.items()},
    }
    return json.dumps(facts, sort_keys=True)


def _digest(prepared: Prepared) -> str:
    """Boil the items of a part down to one number."""
    digest = hashlib.sha256()
    for item in prepared.items:
        values = np.ascontiguousarray(item)
        digest.update(f"{values.dtype}{values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _key_of(path: Path) -> str | None:
    """Read what a file holds the features of; nothing where there is no such file."""
    try:
        with safe_open(path, framework="numpy") as file:
            return (file.metadata() or {}).get("key")
    except (OSError, SafetensorError):
        return None
