"""The embedded default for feature vectors: standardise, then a small residual network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from labelcontrast.encoders.base import Encoder, Inputs, Items, Kind, drawing_from
from labelcontrast.errors import EncoderError


class VectorEncoder(Encoder):
    """Feature vectors, standardised, through a residual network of one hidden layer.

    Args:
        input_dim: width of the vectors.
        width: width of the embedding.
        dropout: share of hidden units that are dropped in training.
        generator: where the initial weights are drawn from.

    Example:
        >>> import numpy as np
        >>> encoder = VectorEncoder(input_dim=3, width=8).eval()
        >>> encoder(encoder.collate(encoder.prepare(np.eye(3)))).shape
        torch.Size([3, 8])
    """

    kind: Kind = "vector"

    def __init__(
        self, *, input_dim: int, width: int = 256, dropout: float = 0.1, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.input_dim, self.output_dim, self.dropout = input_dim, width, dropout
        with drawing_from(generator):
            self.standardise = Standardise(input_dim)
            self.network = ResidualNetwork(input_dim, width=width, dropout=dropout)

    def prepare(self, inputs: Sequence[Any] | NDArray[Any]) -> Items:
        """Make one float32 matrix of the rows.

        Raises: EncoderError, when the rows are not as wide as those the encoder was made for.
        """
        rows = np.asarray(inputs, dtype=np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.input_dim:
            message = f"the encoder was made for vectors of width {self.input_dim}. Got an array of shape {rows.shape}."
            raise EncoderError(message)
        return rows

    def collate(self, items: Items) -> dict[str, Tensor]:
        """Stack the rows."""
        return {"vectors": torch.from_numpy(np.stack(list(items)))}

    def forward(self, inputs: Inputs) -> Float[Tensor, "batch dim"]:
        """Embed a batch of vectors."""
        embeddings: Tensor = self.network(self.standardise(inputs["vectors"]))
        return embeddings

    def settings(self) -> dict[str, object]:
        """Say how to build this encoder again."""
        return {"family": "mlp", "input_dim": self.input_dim, "width": self.output_dim, "dropout": self.dropout}


class Standardise(nn.Module):
    r"""Standardise by the mean and the deviation of all vectors seen in training so far, and cut at five deviations.

    .. math:: x \mapsto \operatorname{clip}\left(\frac{x - \mu}{\sigma}, -5, 5\right)

    After the first epoch these are the statistics of the training set. They are buffers, so they are stored with the
    weights. A column that never changes becomes about 0; before any vector was seen, nothing is standardised.

    Reference: Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979.
    """

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("variance", torch.ones(dim))

    def forward(self, vectors: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
        """Standardise a batch; in training, learn from it first."""
        if self.training:
            self._learn(vectors.detach())
        # Beside a large mean, float32 holds no smaller deviation: a constant column would become its rounding.
        floor = (1e-4 * self.mean.abs()).square() + 1e-24
        return ((vectors - self.mean) * self.variance.maximum(floor).rsqrt()).clamp(-5, 5)

    def _learn(self, vectors: Float[Tensor, "batch features"]) -> None:
        """Merge the batch's mean and variance into those of all before it."""
        total = self.count + len(vectors)
        share = len(vectors) / total
        difference = vectors.mean(dim=0) - self.mean
        spread = torch.lerp(self.variance, vectors.var(dim=0, unbiased=False), share)
        self.variance.copy_(spread + share * (1 - share) * difference**2)
        self.mean.add_(share * difference)
        self.count.copy_(total)


class ResidualNetwork(nn.Module):
    r"""A linear layer, one residual block, and a layer norm.

    .. math:: h = W x, \quad y = \operatorname{norm}(h + W_2 \operatorname{GELU}(W_1 \operatorname{norm}(h)))
    """

    def __init__(self, input_dim: int, *, width: int, dropout: float) -> None:
        super().__init__()
        self.enter = nn.Linear(input_dim, width)
        self.block = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch dim"]:
        """Send a batch of features through."""
        hidden = self.enter(features)
        embeddings: Tensor = self.norm(hidden + self.block(hidden))
        return embeddings
