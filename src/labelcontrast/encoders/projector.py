"""The projector: between the embedding and a contrastive loss, and dropped after training."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelcontrast.encoders.base import drawing_from


class Projector(nn.Module):
    r"""Two linear layers with a ReLU between them; the hidden one is as wide as the embedding.

    .. math:: p = W_2 \operatorname{ReLU}(W_1 x + b_1) + b_2

    The weights start Xavier uniform, the biases as torch starts those of a linear layer, as in the published code (the
    paper's formula has no bias).

    Args:
        input_dim: width of the embeddings.
        output_dim: width of the projections.
        generator: where the initial weights are drawn from.

    Example:
        >>> import torch
        >>> projector = Projector(384, generator=torch.Generator().manual_seed(0))
        >>> projector(torch.zeros(2, 384)).shape
        torch.Size([2, 256])

    Reference: Audibert, Gauffre and Amini, Multi-Label Contrastive Learning: A Comprehensive Study, 2024.
    """

    def __init__(self, input_dim: int, *, output_dim: int = 256, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.output_dim = output_dim
        with drawing_from(generator):
            self.hidden = nn.Linear(input_dim, input_dim)
            self.output = nn.Linear(input_dim, output_dim)
            nn.init.xavier_uniform_(self.hidden.weight)
            nn.init.xavier_uniform_(self.output.weight)

    def forward(self, embeddings: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch projection"]:
        """Project a batch of embeddings."""
        projected: Tensor = self.output(self.hidden(embeddings).relu())
        return projected
