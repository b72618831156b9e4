"""Encoders without a download: hashed subwords or latent semantics of texts, a small ConvNet, an MLP for vectors."""

import re
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from labelcontrast.encoders.base import Encoder, Inputs, Items, Kind, TextEncoder, check_texts, drawing_from
from labelcontrast.encoders.vision import PictureEncoder, PictureTransform
from labelcontrast.errors import EncoderError

WORD = re.compile(r"\w+|[^\w\s]")
"""A word, or a single other character: "!" and an emoji carry as much meaning as a word."""
PIECES = (3, 4, 5)
FNV_BASIS = np.uint64(0xCBF29CE484222325)
FNV_PRIME = np.uint64(0x100000001B3)
FITTED_TEXTS = 2**14
"""Texts, at most, that the latent semantic encoder is fitted on."""
DEVIATION_FLOOR = 1e-4
"""Deviation of a latent dimension, as a share of the largest one, below which it is noise."""


def hashed_pieces(words: list[str], *, rows: int) -> list[Int[np.ndarray, " pieces"]]:
    r"""Hash each word and its pieces of 3 to 5 characters, bounded by ``<`` and ``>``, to rows of a table.

    ``<word>`` is hashed with CRC-32, and every shorter piece with FNV-1a over its code points:

    .. math:: h \leftarrow ((h \oplus c) \cdot \mathtt{0x100000001B3}) \bmod 2^{64} \text{ for each character } c

    Args:
        words: Distinct words.
        rows: Number of rows of the table.

    Returns: For each word its own row, then those of its pieces, shorter pieces first.

    Example:
        >>> [len(pieces) for pieces in hashed_pieces(["a", "cat"], rows=1024)]  # <a>; <cat> <ca cat at> <cat cat>
        [1, 6]
    """
    marked = [f"<{word}>" for word in words]
    lengths = np.array([len(word) for word in marked], dtype=np.int64)
    owner = np.repeat(np.arange(len(words)), lengths)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(owner))
    # All words are hashed at once as one array of characters: a loop over words would take minutes on a large file.
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


def hashed_texts(
    inputs: Sequence[Any] | NDArray[Any], *, rows: int, max_length: int | None = None
) -> list[Int[np.ndarray, " pieces"]]:
    """Return for each text the rows of its first ``max_length`` words and their pieces, as ``hashed_pieces`` does."""
    texts = [_words(text)[:max_length] for text in inputs]
    number = {word: index for index, word in enumerate(dict.fromkeys(word for text in texts for word in text))}
    of_word = hashed_pieces(list(number), rows=rows)
    nothing = np.zeros(0, dtype=np.int32)
    return [np.concatenate([nothing, *(of_word[number[word]] for word in text)]) for text in texts]


class LatentSemanticEncoder(TextEncoder):
    r"""Latent semantic vectors of words and of their pieces, which training refines, followed by a residual network.

    .. math:: y = \operatorname{network}(x - c), \quad
              x = \sum_f \frac{w_f}{\lVert w \rVert} E_{h(f)}, \quad w_f = (1 + \log n_f) \, g_{h(f)}

    with :math:`n_f` the number of times that a text has the word or piece f. ``fit`` computes the inverse document
    frequencies g, the table E and the centre c from the training texts, without their labels: E is V of the truncated
    singular value decomposition :math:`X \approx U S V^\top` of the weights of all texts, scaled so that each dimension
    of x has deviation 1 over the texts, and c is the mean of x. Training changes E and the network. Without ``fit``, g
    is 1, c is 0, and E is random.

    Texts are lower-cased. The hash h is the same in every process, so no vocabulary is stored.

    Args:
        width: Width of the embedding.
        rows: Rows of the table E, which words and pieces share by their hash.
        dim: Width of the table.
        dropout: Fraction of units dropped in training, between the layers.
        piece_dropout: Fraction of a text's words and pieces left out in each training step.
        max_length: Truncates texts to this number of words; None reads all.
        generator: Source of the initial weights.

    Example:
        >>> encoder = LatentSemanticEncoder(width=8).eval()
        >>> encoder.fit(["a short text", "a long text", "another"])
        >>> encoder(encoder.collate(encoder.prepare(["a short text", "another"]))).shape
        torch.Size([2, 8])

    References:
        Deerwester et al., Indexing by Latent Semantic Analysis, 1990.
        Bojanowski et al., Enriching Word Vectors with Subword Information, 2017.
    """

    inverse_frequency: Tensor
    centre: Tensor

    def __init__(
        self,
        *,
        width: int = 256,
        rows: int = 2**15,
        dim: int = 256,
        dropout: float = 0.4,
        piece_dropout: float = 0.5,
        max_length: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.output_dim, self.max_length = width, max_length
        self.rows, self.dim, self.dropout, self.piece_dropout = rows, dim, dropout, piece_dropout
        self.register_buffer("inverse_frequency", torch.ones(rows))
        self.register_buffer("centre", torch.zeros(dim))
        with drawing_from(generator):
            self.table = nn.EmbeddingBag(rows, dim, mode="sum")
            nn.init.normal_(self.table.weight, std=0.01)
            self.enter = nn.Dropout(dropout)
            self.network = ResidualNetwork(dim, width=width, dropout=dropout)

    @torch.no_grad()
    def fit(self, inputs: Sequence[Any] | NDArray[Any]) -> None:
        """Compute document frequencies and latent vectors of the texts, or of 16,384 of them at even distances.

        A dimension in which the texts do not vary, as where they are fewer than the dimensions, stays random.
        """
        from sklearn.utils.extmath import randomized_svd

        number = min(len(inputs), FITTED_TEXTS)
        chosen = np.linspace(0, len(inputs) - 1, number).astype(int).tolist()
        items = self.prepare([inputs[index] for index in chosen])
        lengths = [len(item) for item in items]
        rows, counts = np.concatenate(items).T
        frequency = np.bincount(rows, minlength=self.rows)
        inverse = np.where(frequency, np.log((1 + number) / (1 + frequency)) + 1, 0)  # 0 where nothing is known
        self.inverse_frequency.copy_(torch.from_numpy(inverse))
        weights = self._weights(*(torch.from_numpy(one) for one in (rows, counts, np.array(lengths))))
        texts = sp.csr_array(
            (weights.numpy(), rows, np.concatenate([[0], np.cumsum(lengths)])), shape=(number, self.rows)
        )
        size = min(self.dim, number)
        latent = randomized_svd(texts, size, n_iter=3, random_state=0)[2].T
        vectors = texts @ latent
        deviation = vectors.std(axis=0)
        varies = deviation > DEVIATION_FLOOR * deviation.max()
        self.table.weight[:, :size][:, varies] = torch.from_numpy(latent[:, varies] / deviation[varies]).float()
        self.centre[:size][varies] = torch.from_numpy(vectors.mean(axis=0)[varies] / deviation[varies]).float()

    def prepare(self, inputs: Sequence[Any] | NDArray[Any]) -> Items:
        """Return the distinct rows of the table for each text, and beside each how often it occurs.

        Raises: EncoderError, when the inputs are not a list of texts.
        """
        check_texts(inputs)
        found = hashed_texts(inputs, rows=self.rows, max_length=self.max_length)
        return [np.stack(np.unique(rows, return_counts=True), axis=1).astype(np.int32) for rows in found]

    def collate(self, items: Items) -> dict[str, Tensor]:
        """Concatenate rows and counts of all texts, and return the number of rows of each text."""
        rows, counts = torch.from_numpy(np.concatenate(items).T.copy())
        return {"rows": rows, "counts": counts, "lengths": torch.tensor([len(item) for item in items])}

    def forward(self, inputs: Inputs) -> Float[Tensor, "batch dim"]:
        """Embed a batch of texts; a text without a word has the latent vector zero."""
        rows, counts, lengths = inputs["rows"], inputs["counts"], inputs["lengths"]
        starts = lengths.cumsum(0) - lengths
        if self.training and self.piece_dropout:
            kept = torch.rand(len(rows), device=rows.device) >= self.piece_dropout
            before = nn.functional.pad(kept.cumsum(0), (1, 0))
            lengths, starts = before[starts + lengths] - before[starts], before[starts]
            rows, counts = rows[kept], counts[kept]
        weights = self._weights(rows, counts, lengths)
        latent = self.table(rows, starts.to(rows.dtype), per_sample_weights=weights)
        embeddings: Tensor = self.network(self.enter(latent - self.centre))
        return embeddings

    def token_lengths(self, texts: Sequence[str]) -> Int[np.ndarray, " texts"]:
        """Count the words of each text."""
        return np.array([len(_words(text)) for text in texts], dtype=np.int64)

    def settings(self) -> dict[str, object]:
        """Return the settings that rebuild this encoder."""
        cut = {} if self.max_length is None else {"max_length": self.max_length}
        table = {"width": self.output_dim, "rows": self.rows, "dim": self.dim}
        return {"family": "lsa", **table, "dropout": self.dropout, "piece_dropout": self.piece_dropout, **cut}

    def _weights(
        self, rows: Int[Tensor, " pieces"], counts: Int[Tensor, " pieces"], lengths: Int[Tensor, " texts"]
    ) -> Float[Tensor, " pieces"]:
        """Compute the weight of each row in its text; the weights of a text have the norm 1."""
        weights = (1 + counts.log()) * self.inverse_frequency[rows]
        owner = torch.arange(len(lengths), device=rows.device).repeat_interleave(lengths, output_size=len(rows))
        norms = torch.zeros(len(lengths), device=rows.device).index_add(0, owner, weights.square()).sqrt()
        return weights / norms.clamp(min=torch.finfo(weights.dtype).tiny)[owner]


class HashedEncoder(TextEncoder):
    r"""The mean of vectors of words and of their pieces of 3 to 5 characters, followed by a residual network.

    .. math:: y = \operatorname{network}(\operatorname{norm}(x)), \quad x = \frac{1}{|F|} \sum_{f \in F} E_{h(f)}

    Texts are lower-cased. The hash h is the same in every process, so no vocabulary is stored.

    Args:
        width: Width of the embedding.
        rows: Rows of the table E, which words and pieces share by their hash.
        dim: Width of the table.
        dropout: Fraction of units dropped in training, between the layers.
        piece_dropout: Fraction of a text's words and pieces left out in each training step.
        max_length: Truncates texts to this number of words; None reads all.
        generator: Source of the initial weights.

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
        """Return the rows of the table for each text.

        Raises: EncoderError, when the inputs are not a list of texts.
        """
        check_texts(inputs)
        return hashed_texts(inputs, rows=self.rows, max_length=self.max_length)

    def collate(self, items: Items) -> dict[str, Tensor]:
        """Concatenate the rows of all texts, and return where each text starts."""
        starts = np.cumsum([0, *(len(item) for item in items)])[:-1]
        return {"rows": torch.from_numpy(np.concatenate(items)), "starts": torch.from_numpy(starts.astype(np.int32))}

    def forward(self, inputs: Inputs) -> Float[Tensor, "batch dim"]:
        """Embed a batch of texts; a text without a word has the mean zero."""
        rows, starts = inputs["rows"], inputs["starts"]
        end = starts.new_tensor([len(rows)])
        counts = torch.diff(starts, append=end)
        shares = (1 / counts).repeat_interleave(counts, output_size=len(rows))
        shares = nn.functional.dropout(shares, self.piece_dropout, training=self.training)
        embeddings: Tensor = self.network(self.enter(self.table(rows, starts, per_sample_weights=shares)))
        return embeddings

    def token_lengths(self, texts: Sequence[str]) -> Int[np.ndarray, " texts"]:
        """Count the words of each text."""
        return np.array([len(_words(text)) for text in texts], dtype=np.int64)

    def settings(self) -> dict[str, object]:
        """Return the settings that rebuild this encoder."""
        cut = {} if self.max_length is None else {"max_length": self.max_length}
        table = {"width": self.output_dim, "rows": self.rows, "dim": self.dim}
        return {"family": "hashed", **table, "dropout": self.dropout, "piece_dropout": self.piece_dropout, **cut}


class ConvNet(PictureEncoder):
    """A residual network of four stages, each twice as wide and half as fine as the one before: 1.2 M parameters.

    Args:
        width: Width of the embedding, which is that of the last stage; a multiple of 8.
        image_size: Height and width to which pictures are resized, in pixels; 32 to 96 are suitable.
        generator: Source of the initial weights.

    Example:
        >>> import numpy as np
        >>> encoder = ConvNet(width=64, image_size=32).eval()
        >>> encoder(encoder.collate(encoder.prepare([np.zeros((8, 8), np.uint8)]))).shape
        torch.Size([1, 64])

    Reference: He et al., Deep Residual Learning for Image Recognition, 2016.
    """

    def __init__(self, *, width: int = 256, image_size: int = 64, generator: torch.Generator | None = None) -> None:
        super().__init__(PictureTransform(height=image_size, width=image_size))
        self.output_dim = width
        widths = (width // 8, width // 4, width // 2, width)
        with drawing_from(generator):
            self.stem = nn.Sequential(*_convolution(3, widths[0], stride=2), nn.ReLU())
            self.stages = nn.Sequential(
                ResidualBlock(widths[0], widths[0], stride=1),
                *(ResidualBlock(narrow, wide, stride=2) for narrow, wide in pairwise(widths)),
            )

    def embed_pixels(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Embed normalised pixels: the mean over the last stage plus its maximum."""
        channels: Tensor = self.stages(self.stem(pixels))
        return channels.mean(dim=(2, 3)) + channels.amax(dim=(2, 3))

    def settings(self) -> dict[str, object]:
        """Return the settings that rebuild this encoder."""
        return {"family": "convnet", "width": self.output_dim, "image_size": self.transform.height}


class VectorEncoder(Encoder):
    """Standardised feature vectors, followed by a residual network with one hidden layer.

    Args:
        input_dim: Width of the vectors.
        width: Width of the embedding.
        dropout: Fraction of hidden units dropped in training.
        generator: Source of the initial weights.

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

    def prepare(self, inputs: Sequence[Any] | NDArray[Any] | sp.csr_array) -> Items:
        """Return the rows, dense or sparse, as one dense float32 matrix.

        Raises: EncoderError, when the rows have another width than ``input_dim``.
        """
        rows = np.asarray(inputs.toarray() if isinstance(inputs, sp.csr_array) else inputs, dtype=np.float32)
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
        """Return the settings that rebuild this encoder."""
        return {"family": "mlp", "input_dim": self.input_dim, "width": self.output_dim, "dropout": self.dropout}


class Standardise(nn.Module):
    r"""Standardise by the running mean and deviation of all training vectors, and clip at five deviations.

    .. math:: x \mapsto \operatorname{clip}\left(\frac{x - \mu}{\sigma}, -5, 5\right)

    After the first epoch these are the statistics of the training set. They are buffers, stored with the weights. A
    constant column becomes about 0; before the first training batch nothing is standardised.

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
        """Standardise a batch; in training, update the statistics first."""
        if self.training:
            self._update(vectors.detach())
        # float32 cannot represent smaller deviations beside a large mean: a constant column would show its rounding.
        floor = (1e-4 * self.mean.abs()).square() + 1e-24
        return ((vectors - self.mean) * self.variance.maximum(floor).rsqrt()).clamp(-5, 5)

    def _update(self, vectors: Float[Tensor, "batch features"]) -> None:
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
        """Apply the network to a batch of features."""
        hidden = self.enter(features)
        embeddings: Tensor = self.norm(hidden + self.block(hidden))
        return embeddings


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut, which is averaged and widened if the block changes size."""

    def __init__(self, narrow: int, wide: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_convolution(narrow, wide, stride=stride), nn.ReLU(), *_convolution(wide, wide))
        self.shortcut = (
            nn.Identity()
            if stride == 1
            else nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True), nn.Conv2d(narrow, wide, 1, bias=False), nn.BatchNorm2d(wide)
            )
        )

    def forward(self, channels: Float[Tensor, "batch narrow height width"]) -> Float[Tensor, "batch wide rows columns"]:
        """Apply the block to a batch of feature channels."""
        out: Tensor = (self.shortcut(channels) + self.body(channels)).relu()
        return out


def _convolution(narrow: int, wide: int, *, stride: int = 1) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    # A 3 x 3 convolution, with weights scaled for a ReLU, and its normalisation.
    convolution = nn.Conv2d(narrow, wide, 3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return convolution, nn.BatchNorm2d(wide)


def _words(text: str) -> list[str]:
    return WORD.findall(text.lower())
