"""Features of examples: the embeddings of an encoder in evaluation mode, computed in order and cached in a file."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelcontrast.data.batches import Prepared, ordered_batches
from labelcontrast.encoders.base import Encoder, embed_batches
from labelcontrast.encoders.cache import cached_arrays, content_key

Name = TypeVar("Name", bound=str)


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Switch dropout and batch statistics to evaluation, and gradients off; restore the mode afterwards."""
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
    """Compute the embeddings of all examples in evaluation mode.

    Args:
        module: The encoder, or a module around it; its first parameter determines the device.
        prepared: The examples.
        batch_size: Examples in a batch; the longest come first, so memory peaks at once.
        apply: A function to call instead of the module, such as one of its methods.

    Returns:
        One row per example, in the order of ``prepared``, in float32 on the CPU.
    """
    device = next(module.parameters()).device
    batches = ordered_batches(prepared, batch_size=batch_size)
    with evaluation_mode(module):
        return embed_batches(apply or module, batches, total=len(prepared), device=device)


def stored_features(
    path: str | Path, encoder: Encoder, splits: Mapping[Name, Prepared]
) -> dict[Name, Float[np.ndarray, "_ dim"]]:
    """Read the features of every split from a file, or compute and save them.

    Args:
        path: A safetensors file with an array per split. It is replaced when it is damaged, lacks a split, or holds
            features of another encoder or of other inputs.
        encoder: It runs in evaluation mode, so that neither normalisation nor dropout depends on the batch.
        splits: Prepared examples by the name of their split.

    Returns:
        One row per example, in the order of each split. They are mapped from the file and need no memory of their own.

    Raises:
        RunError: When the file cannot be written.
    """

    def compute() -> dict[str, Float[np.ndarray, "_ dim"]]:
        shape = (-1, encoder.output_dim)
        return {name: compute_features(encoder, split).numpy().reshape(shape) for name, split in splits.items()}

    state = content_key(encoder.content())
    keys = {str(name): content_key([state], split.items) for name, split in splits.items()}
    arrays = cached_arrays(path, keys, compute, must_save=True)
    return {name: arrays[name] for name in splits}
