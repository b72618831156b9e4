"""The embedded default for text: hashed words and pieces of words, averaged, and a small network; no download."""

import re
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from numpy.typing import NDArray
from torch import Tensor, nn

from labelcontrast.encoders.base import Inputs, Items, TextEncoder, drawing_from
from labelcontrast.encoders.vectors import ResidualNetwork

# A word, or one sign that is none: "!" and an emoji say as much as a word does.
WORD = re.compile(r"\w+|[^\w\s]")
PIECES = (3, 4, 5)
FNV_BASIS = np.uint64(0xCBF29CE484222325)
FNV_PRIME = np.uint64(0x100000001B3)


class HashedEncoder(TextEncoder):
    r"""The mean of the vectors of a text's words and of their pieces of 3 to 5 characters, through a residual network.

    .. math:: y = \operatorname{network}(\operatorname{norm}(x)), \quad x = \frac{1}{|F|} \sum_{f \in F} E_{h(f)}

    Texts are lower-cased. The hash h is the same in every process, so there is no vocabulary to keep.

    Args:
        width: width of the embedding.
        rows: rows of the table E, which words and pieces share by their hash.
        dim: width of the table.
        dropout: share of units that are dropped in training, between the layers.
        piece_dropout: share of a text's words and pieces that are left out, anew in every step of training.
        max_length: words that are read of a text; None reads all.
        generator: where the initial weights are drawn from.

    Example:
        >>> encoder = HashedEncoder(width=8).eval()
        >>> encoder(encoder.collate(encoder.prepare(["a short text", "another"]))).shape
        torch.Size([2, 8])

    Reference: Bojanowski et al., Enriching Word Vectors with Subword Information, 2017.
    """

    def __init__(
        self,
        *,
        width: int = 256,
        rows: int = 2**15,
        dim: int = 96,
        dropout: float = 0.4,
        piece_dropout: float = 0.5,
        max_length: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.output_dim, self.max_length = width, max_length
        self.rows, self.dim, self.dropout, self.piece_dropout = rows, dim, dropout, piece_dropout
        with drawing_from(generator):
            self.table = nn.EmbeddingBag(rows, dim, mode="sum")
            nn.init.normal_(self.table.weight, std=0.01)
            self.enter = nn.Sequential(nn.LayerNorm(dim), nn.Dropout(dropout))
            self.network = ResidualNetwork(dim, width=width, dropout=dropout)

    def prepare(self, inputs: Sequence[Any] | NDArray[Any]) -> Items:
        """Look up the rows of the table that each text adds up."""
        texts = [_words(text)[: self.max_length] for text in inputs]
        number = {word: index for index, word in enumerate(dict.fromkeys(word for text in texts for word in text))}
        rows = hashed_pieces(list(number), rows=self.rows)
        nothing = np.zeros(0, dtype=np.int32)
        return [np.concatenate([nothing, *(rows[number[word]] for word in text)]) for text in texts]

    def collate(self, items: Items) -> dict[str, Tensor]:
        """Put the rows of all texts in one line, and say where each text begins."""
        starts = np.cumsum([0, *(len(item) for item in items)])[:-1]
        return {"rows": torch.from_numpy(np.concatenate(items)), "starts": torch.from_numpy(starts.astype(np.int32))}

    def forward(self, inputs: Inputs) -> Float[Tensor, "batch dim"]:
        """Embed a batch of texts; one without a word is embedded from zero."""
        rows, starts = inputs["rows"], inputs["starts"]
        end = starts.new_tensor([len(rows)])
        counts = torch.diff(starts, append=end)
        shares = (1 / counts).repeat_interleave(counts, output_size=len(rows))
        shares = nn.functional.dropout(shares, self.piece_dropout, training=self.training)
        embeddings: Tensor = self.network(self.enter(self.table(rows, starts, per_sample_weights=shares)))
        return embeddings

    def token_lengths(self, texts: Sequence[str]) -> Int[ndarray, " texts"]:
        """Count the words of each text."""
        return np.array([len(_words(text)) for text in texts], dtype=np.int64)

    def settings(self) -> dict[str, object]:
        """Say how to build this encoder again."""
        cut = {} if self.max_length is None else {"max_length": self.max_length}
        table = {"width": self.output_dim, "rows": self.rows, "dim": self.dim}
        return {"family": "hashed", **table, "dropout": self.dropout, "piece_dropout": self.piece_dropout, **cut}


def hashed_pieces(words: list[str], *, rows: int) -> list[Int[ndarray, " pieces"]]:
    r"""Hash each word and its pieces of 3 to 5 characters, bounded by ``<`` and ``>``, to rows of a table.

    It equals, for ``<word>`` whole and each piece that is shorter than it (FNV-1a over code points for pieces):

    .. math:: h \leftarrow ((h \oplus c) \cdot \mathtt{0x100000001B3}) \bmod 2^{64} \text{ for each character } c

    Args:
        words: unlike one another, for speed.
        rows: how many rows the table has.

    Returns: for each word, its own row first, then those of its pieces, the shorter first.

    Example:
        >>> [len(pieces) for pieces in hashed_pieces(["a", "cat"], rows=1024)]  # <a>; <cat> <ca cat at> <cat cat>
        [1, 6]
    """
    marked = [f"<{word}>" for word in words]
    lengths = np.array([len(word) for word in marked], dtype=np.int64)
    owner = np.repeat(np.arange(len(words)), lengths)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(owner))
    # One line of all characters, hashed for all words at once: a loop over words would take minutes on a large file.
    characters = np.frombuffer("".join(marked).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    owners = [np.arange(len(words))]
    hashes = [np.array([zlib.crc32(word.encode()) for word in marked], dtype=np.uint64)]
    state = np.full(len(characters), FNV_BASIS)
    for size in range(1, max(PIECES) + 1):
        state = (state[: max(len(characters) - size + 1, 0)] ^ characters[size - 1 :]) * FNV_PRIME
        if size in PIECES:
            whole = lengths[owner[: len(state)]] == size
            piece = (left[: len(state)] >= size) & ~whole
            owners.append(owner[: len(state)][piece])
            hashes.append(state[piece] ^ (state[piece] >> np.uint64(32)))
    of_word = np.concatenate(owners)
    order = np.argsort(of_word, kind="stable")
    found = (np.concatenate(hashes)[order] % np.uint64(rows)).astype(np.int32)
    return np.split(found, np.cumsum(np.bincount(of_word, minlength=len(words))))[: len(words)]


def _words(text: str) -> list[str]:
    """Split a text, lower-cased, into words and single signs."""
    return WORD.findall(text.lower())
