"""A frozen encoder, whose features are computed once and cached, and a small network that is trained on them."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from labelcontrast.encoders.base import Encoder, Inputs, Items, embed_batches, longest_first
from labelcontrast.encoders.cache import cached_arrays, content_key
from labelcontrast.encoders.embedded import VectorEncoder
from labelcontrast.files import whole_file
from labelcontrast.progress import tracked

BATCH = 64
CHUNK = 1024
"""Inputs whose features are computed and kept together: a run that is killed computes at most so many again."""
WEIGHTS = "frozen.safetensors"
Rows = Float[np.ndarray, "inputs features"]


class FrozenEncoder(Encoder):
    r"""Features of a frozen encoder, computed once, and a trained adapter on them.

    .. math:: y = A_\theta(E(x)), \qquad E \text{ in evaluation mode and without gradient}

    The frozen encoder is not part of the state dict, so checkpoints stay small; it is saved with the assets.

    Args:
        base: E. It is switched to evaluation mode, and its weights no longer require a gradient.
        width: Width of the embedding; None for no adapter, so that the embedding is the feature vector.
        generator: Source of the adapter's initial weights.

    Example:
        >>> import numpy as np
        >>> encoder = FrozenEncoder(VectorEncoder(input_dim=3, width=8), width=4).eval()
        >>> rows = encoder.prepare(np.eye(3))
        >>> rows.shape, encoder(encoder.collate(rows)).shape, sum("base" in name for name in encoder.state_dict())
        ((3, 8), torch.Size([3, 4]), 0)
    """

    caches_prepared = True

    def __init__(self, base: Encoder, *, width: int | None = 256, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self._base = (base.eval().requires_grad_(requires_grad=False),)  # in a tuple, so that it is not a submodule
        self.kind, self.output_dim = base.kind, width or base.output_dim
        self.adapter = (
            VectorEncoder(input_dim=base.output_dim, width=width, generator=generator)
            if width
            else NoAdapter(base.output_dim)
        )

    @property
    def base(self) -> Encoder:
        """The frozen encoder."""
        return self._base[0]

    def prepare(self, inputs: Sequence[Any] | NDArray[Any]) -> Rows:
        """Compute the features on the adapter's device, some thousand inputs at a time."""
        device = next(self.adapter.parameters()).device
        base = self.base
        if any(parameter.device != device for parameter in islice(base.parameters(), 1)):
            base.to(device)  # which takes longer than a short text where it changes nothing
        features = np.empty((len(inputs), base.output_dim), np.float32)
        for start in range(0, len(inputs), CHUNK):
            items = base.prepare(inputs[start : start + CHUNK])
            lengths = np.array([base.length(item) for item in items])
            batches = (
                (places, base.collate([items[place] for place in places]))
                for places in longest_first(lengths, batch_size=BATCH)
            )
            rows = embed_batches(base, batches, total=len(items), device=device)
            features[start : start + CHUNK] = rows.numpy()
        return features

    def prepare_cached(self, inputs: Sequence[Any] | NDArray[Any], cache: str | Path) -> Rows:
        """Compute the features, or read them from the cache."""
        # A picture may be named by its path as text: what counts is the content of the file.
        files = self.kind == "image"
        key = content_key(self.base.content(), (Path(one) if files and isinstance(one, str) else one for one in inputs))
        path = Path(cache) / "features" / f"{key}.safetensors"
        return cached_arrays(path, {"features": key}, lambda: self._compute(inputs, path, key))["features"]

    def _compute(self, inputs: Sequence[Any] | NDArray[Any], path: Path, key: str) -> dict[str, Rows]:
        """Compute the features by chunks, each of which is kept in a file until all are there."""
        chunks = path.with_suffix(".chunks")
        features = np.empty((len(inputs), self.base.output_dim), np.float32)
        for start in tracked(range(0, len(inputs), CHUNK), f"features, {CHUNK:,} at a time"):
            chunk = inputs[start : start + CHUNK]
            keys, compute = {"features": f"{key}-{start}"}, partial(self._features, chunk)
            kept = cached_arrays(chunks / f"{start}.safetensors", keys, compute)
            features[start : start + CHUNK] = kept["features"]
        shutil.rmtree(chunks, ignore_errors=True)
        return {"features": features}

    def _features(self, inputs: Sequence[Any] | NDArray[Any]) -> dict[str, Rows]:
        return {"features": self.prepare(inputs)}

    def collate(self, items: Items) -> dict[str, Tensor]:
        """Stack the features."""
        return self.adapter.collate(items)

    def forward(self, inputs: Inputs) -> Float[Tensor, "batch dim"]:
        """Embed a batch of features."""
        embeddings: Tensor = self.adapter(inputs)
        return embeddings

    def settings(self) -> dict[str, object]:
        """Return the settings that rebuild this encoder, beside the saved assets of the frozen one."""
        width = None if isinstance(self.adapter, NoAdapter) else self.output_dim
        return {"family": "frozen", "width": width, "base": self.base.settings()}

    def save_assets(self, folder: str | Path) -> None:
        """Write the assets and the weights of the frozen encoder."""
        self.base.save_assets(folder)
        weights = {name: value.contiguous().cpu() for name, value in self.base.state_dict().items()}
        with whole_file(Path(folder) / WEIGHTS) as file:
            file.write(safetensors.torch.save(weights))

    def content(self) -> Iterator[Any]:
        """Yield the content of the frozen encoder and of the adapter."""
        yield from self.base.content()
        yield from self.adapter.content()


class NoAdapter(VectorEncoder):
    """Feature vectors as they are. Its only parameter has no element; it is on the device of the module."""

    def __init__(self, dim: int) -> None:
        Encoder.__init__(self)
        self.input_dim = self.output_dim = dim
        self.nothing = nn.Parameter(torch.zeros(0))

    def forward(self, inputs: Inputs) -> Float[Tensor, "batch dim"]:
        """Return the vectors."""
        return inputs["vectors"]

    def settings(self) -> dict[str, object]:
        """Return the settings that rebuild it."""
        return {"dim": self.output_dim}


def stored_frozen(folder: Path, settings: Mapping[str, Any], base: Encoder) -> FrozenEncoder:
    """Rebuild the encoder from its settings and assets, around the frozen encoder that its settings describe."""
    base.load_state_dict(safetensors.torch.load_file(folder / WEIGHTS))
    return FrozenEncoder(base, width=settings["width"])
