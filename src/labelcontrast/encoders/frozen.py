"""A pretrained encoder that stays as it is, and a small network on its features that is trained in its place."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from labelcontrast.encoders.base import Encoder, Inputs, Items
from labelcontrast.encoders.cache import kept_arrays
from labelcontrast.encoders.vectors import VectorEncoder
from labelcontrast.files import whole_file

BATCH, CHUNK = 64, 4096
WEIGHTS = "frozen.safetensors"
Rows = Float[np.ndarray, "inputs features"]


class FrozenEncoder(Encoder):
    r"""Features of a frozen encoder, computed once, and a trained adapter on them.

    .. math:: y = A_\theta(E(x)), \qquad E \text{ in evaluation mode and without gradient}

    The frozen encoder is no part of the state dict, so that checkpoints stay small; it is saved with the assets.

    Args:
        base: E, in no other use.
        width: of the embedding.
        generator: where the adapter's initial weights are drawn from.

    Example:
        >>> import numpy as np
        >>> encoder = FrozenEncoder(VectorEncoder(input_dim=3, width=8), width=4).eval()
        >>> rows = encoder.prepare(np.eye(3))
        >>> rows.shape, encoder(encoder.collate(rows)).shape, sum("base" in name for name in encoder.state_dict())
        ((3, 8), torch.Size([3, 4]), 0)
    """

    keeps_prepared = True

    def __init__(self, base: Encoder, *, width: int = 256, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self._base = (base.eval().requires_grad_(requires_grad=False),)  # in a tuple: no module of this one
        self.kind, self.output_dim = base.kind, width
        self.adapter = VectorEncoder(input_dim=base.output_dim, width=width, generator=generator)

    @property
    def base(self) -> Encoder:
        """The encoder that stays as it is."""
        return self._base[0]

    def prepare(self, inputs: Sequence[Any] | NDArray[Any]) -> Rows:
        """Compute the features, some thousands at a time and among them the longest first, on the adapter's device."""
        device = next(self.adapter.parameters()).device
        base = self.base.to(device)
        features = np.empty((len(inputs), base.output_dim), np.float32)
        with torch.inference_mode():
            for start in range(0, len(inputs), CHUNK):
                items = base.prepare(inputs[start : start + CHUNK])
                for places in _batches(np.array([base.length(item) for item in items])):
                    batch = base.collate([items[place] for place in places])
                    rows = base({name: value.to(device) for name, value in batch.items()})
                    features[start + places] = rows.float().cpu().numpy()
        return features

    def prepare_kept(self, inputs: Sequence[Any] | NDArray[Any], cache: Path) -> Rows:
        """Compute the features, or read them where they were kept."""
        made_by = [json.dumps(self.base.settings(), sort_keys=True).encode(), self._weights()]
        return kept_arrays(cache / "features", made_by, inputs, lambda: {"features": self.prepare(inputs)})["features"]

    def collate(self, items: Items) -> dict[str, Tensor]:
        """Stack the features."""
        return self.adapter.collate(items)

    def forward(self, inputs: Inputs) -> Float[Tensor, "batch dim"]:
        """Embed a batch of features."""
        embeddings: Tensor = self.adapter(inputs)
        return embeddings

    def settings(self) -> dict[str, object]:
        """Say how to build this encoder again, beside the saved assets of the frozen one."""
        return {"family": "frozen", "width": self.output_dim, "base": self.base.settings()}

    def save_assets(self, folder: Path) -> None:
        """Write the assets of the frozen encoder, and its weights, which are in no state dict of ours."""
        self.base.save_assets(folder)
        with whole_file(folder / WEIGHTS) as file:
            file.write(self._weights())

    def load_assets(self, folder: Path) -> None:
        """Read the weights of the frozen encoder."""
        self.base.load_state_dict(safetensors.torch.load_file(folder / WEIGHTS))

    def _weights(self) -> bytes:
        """The weights of the frozen encoder, as they are stored."""
        weights = {name: value.contiguous().cpu() for name, value in self.base.state_dict().items()}
        return safetensors.torch.save(weights)


def stored_frozen(folder: Path, settings: Mapping[str, Any], base: Encoder) -> FrozenEncoder:
    """Build what was saved with ``save_assets`` and ``settings``, on the frozen encoder of its settings."""
    encoder = FrozenEncoder(base, width=settings["width"])
    encoder.load_assets(folder)
    return encoder


def _batches(lengths: NDArray[np.integer]) -> Iterator[NDArray[np.integer]]:
    """Divide items into batches of like length, the longest first."""
    order = np.argsort(-lengths, kind="stable")
    for start in range(0, len(order), BATCH):
        yield order[start : start + BATCH]
