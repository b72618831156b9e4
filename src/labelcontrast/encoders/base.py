"""What an encoder is; and the projector between an embedding and a contrastive loss."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from numpy.typing import NDArray
from torch import Tensor, nn

Kind = Literal["text", "image", "vector"]
Inputs = Mapping[str, Tensor]
Item = NDArray[Any]
Items = Sequence[Item] | NDArray[Any]  # an array holds its rows


class Encoder(nn.Module, ABC):
    """From inputs of one kind to embeddings.

    ``prepare`` does on the host, once for a data set, what need not be repeated in every epoch; ``collate`` makes a
    batch of what it returned; ``forward`` embeds the batch. ``settings``, ``save_assets`` and the state dict are all
    that is needed to have it again.
    """

    kind: Kind
    output_dim: int
    keeps_prepared: bool = False
    """Whether what is prepared is dear to make and small: then it is kept, even of inputs that stay in their file."""

    @abstractmethod
    def prepare(self, inputs: Sequence[Any] | NDArray[Any]) -> Items:
        """Make inputs ready: token ids for texts, decoded pixels for pictures, float32 rows for vectors."""

    def prepare_kept(self, inputs: Sequence[Any] | NDArray[Any], cache: Path) -> Items:  # noqa: ARG002
        """Do the same for a whole part of the data, with a folder where what is dear to make may be kept."""
        return self.prepare(inputs)

    @abstractmethod
    def collate(self, items: Items) -> dict[str, Tensor]:
        """Put prepared items together as one batch."""

    @abstractmethod
    def forward(self, inputs: Inputs) -> Float[Tensor, "batch dim"]:
        """Embed one batch; an example's embedding does not depend on its company, once in evaluation mode."""

    @abstractmethod
    def settings(self) -> dict[str, object]:
        """Say in plain values how to build this encoder again; ``family`` names what builds it."""

    def length(self, item: Item) -> int:  # noqa: ARG002
        """Say how long an item is, so that batches can be grouped by length; 1 where it does not matter."""
        return 1

    def save_assets(self, folder: Path) -> None:
        """Write what the settings cannot say, such as a tokenizer; neither weights nor a pickle."""


class TextEncoder(Encoder):
    """An encoder of texts, which may cut a long one."""

    kind: Kind = "text"
    max_length: int | None

    @abstractmethod
    def token_lengths(self, texts: Sequence[str]) -> Int[ndarray, " texts"]:
        """Count the tokens of each text before any is cut: where a count is above ``max_length``, text is lost."""


@contextmanager
def drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """Let the initial weights made inside be drawn from ``generator``, and leave the world's stream as it was.

    Args:
        generator: on the CPU; it moves on by what was drawn. None draws from the world's stream, as torch does.

    Example:
        >>> import torch
        >>> with drawing_from(torch.Generator().manual_seed(0)):
        ...     one = torch.nn.Linear(2, 2)
        >>> with drawing_from(torch.Generator().manual_seed(0)):
        ...     two = torch.nn.Linear(2, 2)
        >>> torch.equal(one.weight, two.weight)
        True
    """
    if generator is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator.get_state())
        yield
        generator.set_state(torch.get_rng_state())


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
