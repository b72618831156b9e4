"""The contract of an encoder, and the projector between embeddings and a contrastive loss."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from labelcontrast.errors import EncoderError
from labelcontrast.progress import steps

Kind = Literal["text", "image", "vector"]
Inputs = Mapping[str, Tensor]
Item = NDArray[Any]
Items = Sequence[Item] | NDArray[Any]
"""Prepared examples: a list of arrays, or the rows of one array."""


class Encoder(nn.Module, ABC):
    """A module that maps inputs of one kind to embeddings.

    ``prepare`` runs on the host once per data set, ``collate`` builds a batch of prepared items, and ``forward`` embeds
    it: ``encoder(encoder.collate(encoder.prepare(texts)))``. ``settings``, the files of ``save_assets`` and the state
    dict are all that is needed to rebuild the encoder.

    Example:
        >>> from labelcontrast import make_encoder
        >>> encoder = make_encoder("hashed", kind="text").eval()
        >>> batch = encoder.collate(encoder.prepare(["a short text", "another"]))
        >>> encoder(batch).shape
        torch.Size([2, 256])
    """

    kind: Kind
    output_dim: int
    caches_prepared: bool = False
    """True if prepared items are expensive to compute and small; all are then held in memory and cached."""

    def __call__(self, inputs: Inputs) -> Tensor:
        """Embed a batch, after a check that ``collate`` made it.

        Raises:
            EncoderError: The inputs are not prepared and collated.
        """
        if not isinstance(inputs, Mapping):
            call = "encoder(encoder.collate(encoder.prepare(inputs)))"
            raise EncoderError(f"an encoder embeds a batch of prepared inputs: {call}. Got {type(inputs).__name__}.")
        embeddings: Tensor = super().__call__(inputs)
        return embeddings

    def fit(self, inputs: Sequence[Any] | NDArray[Any] | sp.csr_array) -> None:
        """Compute what the encoder takes from the training inputs before training; by default nothing."""

    @abstractmethod
    def prepare(self, inputs: Sequence[Any] | NDArray[Any] | sp.csr_array) -> Items:
        """Return token ids for texts, decoded pixels for pictures, float32 rows for vectors."""

    def prepare_cached(self, inputs: Sequence[Any] | NDArray[Any] | sp.csr_array, cache: str | Path) -> Items:  # noqa: ARG002
        """Do the same, and read or write expensive results in a cache folder."""
        return self.prepare(inputs)

    @abstractmethod
    def collate(self, items: Items) -> dict[str, Tensor]:
        """Build a batch of prepared items."""

    @abstractmethod
    def forward(self, inputs: Inputs) -> Float[Tensor, "batch dim"]:
        """Embed a batch. In evaluation mode an embedding does not depend on the rest of its batch."""

    @abstractmethod
    def settings(self) -> dict[str, object]:
        """Return plain values that rebuild this encoder; ``family`` names the kind of encoder."""

    def length(self, item: Item) -> int:  # noqa: ARG002
        """Return the length by which batches group items; 1 where it does not matter."""
        return 1

    def save_assets(self, folder: str | Path) -> None:
        """Write what the settings do not hold, such as a tokenizer; neither weights nor a pickle."""

    def content(self) -> Iterator[Any]:
        """Yield everything that determines the embeddings: settings, saved assets and weights; a cache hashes it."""
        yield json.dumps(self.settings(), sort_keys=True)
        yield from saved_content(self.save_assets)
        for name, value in self.state_dict().items():
            yield name
            yield value.cpu().numpy()


class TextEncoder(Encoder):
    """An encoder of texts, which may truncate them."""

    kind: Kind = "text"
    max_length: int | None

    @abstractmethod
    def token_lengths(self, texts: Sequence[str]) -> Int[np.ndarray, " texts"]:
        """Count the tokens of each text before truncation; a text of more than ``max_length`` is truncated."""


def check_texts(inputs: Sequence[Any] | NDArray[Any]) -> None:
    """Check that the inputs are a list of texts, by the first of them.

    Raises:
        EncoderError: They are one text, or something else.
    """
    if isinstance(inputs, str) or (len(inputs) and not isinstance(inputs[0], str)):
        found = "str" if isinstance(inputs, str) else f"a list of {type(inputs[0]).__name__}"
        raise EncoderError(f"a text encoder reads a list of texts. Got {found}.")


def saved_content(save: Callable[[Path], object]) -> Iterator[Any]:
    """Yield the name of each file that ``save`` writes into a folder, and its path while it exists."""
    with TemporaryDirectory() as folder:
        save(Path(folder))
        for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            yield path.relative_to(folder).as_posix()
            yield path


def longest_first(lengths: Int[np.ndarray, " items"], *, batch_size: int) -> Iterator[Int[np.ndarray, " batch"]]:
    """Yield the positions of items in batches of similar length, the longest first: memory peaks at once."""
    order = np.argsort(-lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def embed_batches(
    embed: Callable[[Inputs], Tensor],
    batches: Iterable[tuple[Int[np.ndarray, " batch"], Inputs]],
    *,
    total: int,
    device: torch.device,
) -> Float[Tensor, "total dim"]:
    """Embed batches without a gradient, and return the rows at their positions, in float32 on the CPU.

    Args:
        embed: The function from a batch to its rows.
        batches: The positions of each batch and its inputs.
        total: Number of rows.
        device: Where ``embed`` computes.
    """
    result = torch.empty(total, 0)
    with steps("embeddings", total) as advance:
        for positions, inputs in batches:
            with torch.inference_mode():
                rows = embed({name: value.to(device) for name, value in inputs.items()}).float().cpu()
            if not result.numel():
                with torch.inference_mode(mode=False):  # a caller may train on the result
                    result = torch.empty(total, rows.shape[1])
            result[torch.from_numpy(positions)] = rows
            advance(len(positions))
    return result


@contextmanager
def drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """Draw the initial weights of modules built in this block from ``generator`` instead of torch's global state.

    Args:
        generator: On the CPU; it advances by what is drawn. None uses the global state.

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
    r"""Two linear layers with a ReLU between them; the hidden layer is as wide as the embedding.

    .. math:: p = W_2 \operatorname{ReLU}(W_1 x + b_1) + b_2

    Weights start Xavier uniform and biases as torch's linear layers do, as in the published code (the paper's formula
    has no bias).

    Args:
        input_dim: Width of the embeddings.
        output_dim: Width of the projections.
        generator: Source of the initial weights.

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
