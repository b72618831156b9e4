"""Features of all examples from a frozen module: computed in order, and kept on disk."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import safetensors.torch
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from labelcontrast.data.batches import Prepared, ordered_batches
from labelcontrast.encoders.base import Encoder
from labelcontrast.files import whole_file


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Switch norms and dropout to evaluation and gradients off; afterwards, back to what was."""
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        module.train(was_training)


def compute_features(
    module: nn.Module,
    prepared: Prepared,
    *,
    batch_size: int = 128,
    apply: Callable[[Mapping[str, Tensor]], Tensor] | None = None,
) -> Float[Tensor, "examples dim"]:
    """Run a module over all examples once, in evaluation mode, and keep the results in float32 on the CPU.

    Args:
        module: the encoder, or a module around it; its first parameter says on which device it runs.
        prepared: the examples.
        batch_size: examples at a time; the longest come first, so memory is at its peak at once.
        apply: what to call in place of the module, for a part of it.

    Returns:
        One row an example, in the order of ``prepared``.
    """
    device = next(module.parameters()).device
    function = apply or module
    result = torch.empty(0, 0)
    with frozen(module):
        for indices, inputs in ordered_batches(prepared, batch_size=batch_size):
            rows = function({name: value.to(device) for name, value in inputs.items()}).float().cpu()
            if not result.numel():
                with torch.inference_mode(mode=False):  # a caller may train on it
                    result = torch.empty(len(prepared), rows.shape[1])
            result[torch.from_numpy(indices)] = rows
    return result


Name = TypeVar("Name", bound=str)
ALIGNED = 64
"""The arrays begin at a multiple of so many bytes, as those in memory do: else products differ in their last digits."""


def stored_features(
    path: Path, encoder: Encoder, parts: Mapping[Name, Prepared]
) -> dict[Name, Float[np.ndarray, "_ dim"]]:
    """Read the features of every part where the file holds them for this encoder and these inputs, else compute them.

    Args:
        path: a safetensors file, an array a part; the header says what they are features of. A file of other features,
            or a damaged one, is replaced; one that has more parts serves as well.
        encoder: it runs in evaluation mode, so that neither norm nor dropout depends on the batch.
        parts: the examples by the name of their part.

    Returns:
        One row an example, in the order of each part; mapped from the file, so that they need no memory of their own.

    Raises:
        RunError: when the file cannot be written.
    """
    key = features_key(encoder, parts)
    if not _holds(path, key):
        with whole_file(path) as file:
            file.write(_header(key, {name: (len(part), encoder.output_dim) for name, part in parts.items()}))
            for part in parts.values():
                file.write(compute_features(encoder, part).numpy().data)
    return _mapped(path, parts)


def features_key(encoder: Encoder, parts: Mapping[Name, Prepared]) -> str:
    """Say as JSON what features depend on: the encoder's settings, its weights, and the inputs made ready for it."""
    weights = {name: value.contiguous().cpu() for name, value in encoder.state_dict().items()}
    facts = {
        "encoder": encoder.settings(),
        "weights": hashlib.sha256(safetensors.torch.save(weights)).hexdigest(),
        "inputs": {str(name): _digest(part) for name, part in parts.items()},
    }
    return json.dumps(facts, sort_keys=True)


def _header(key: str, shapes: Mapping[Name, tuple[int, int]]) -> bytes:
    """Write what a safetensors file begins with; the library itself would want all arrays in memory, twice."""
    described: dict[str, object] = {"__metadata__": {"key": key}}
    end = 0
    for name, (rows, width) in shapes.items():
        start, end = end, end + rows * width * np.dtype(np.float32).itemsize
        described[name] = {"dtype": "F32", "shape": [rows, width], "data_offsets": [start, end]}
    header = json.dumps(described).encode()
    header += b" " * (-(8 + len(header)) % ALIGNED)
    return len(header).to_bytes(8, "little") + header


def _mapped(path: Path, parts: Mapping[Name, Prepared]) -> dict[Name, Float[np.ndarray, "_ dim"]]:
    """Map the arrays of a safetensors file into memory; what a caller writes into them stays his own."""
    content = np.memmap(path, np.uint8, mode="c")
    start = 8 + int.from_bytes(content[:8].tobytes(), "little")
    described = json.loads(content[8:start].tobytes())
    places = {name: [start + offset for offset in described[name]["data_offsets"]] for name in parts}
    return {
        name: np.asarray(content[one:other]).view(np.float32).reshape(described[name]["shape"])
        for name, (one, other) in places.items()
    }


def _digest(prepared: Prepared) -> str:
    """Boil the items of a part down to one number."""
    digest = hashlib.sha256()
    for item in prepared.items:
        values = np.ascontiguousarray(item)
        digest.update(f"{values.dtype}{values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _holds(path: Path, key: str) -> bool:
    """Say whether a file holds these features, whatever else it holds."""
    try:
        with safe_open(path, framework="numpy") as file:
            there, wanted = json.loads((file.metadata() or {}).get("key", "{}")), json.loads(key)
    except (OSError, SafetensorError):
        return False
    inputs = wanted.pop("inputs").items()
    return bool(inputs <= there.pop("inputs", {}).items() and there == wanted)
