"""Views: scorers of all labels that stand beside the probe, each on the inputs or on the embeddings of a model.

============  =================  ==================================================
name          reads              scores by
============  =================  ==================================================
neighbours    embeddings         the labels of the nearest training examples
words         texts              a linear SVM on words, word pairs and characters
trees         feature vectors,   extremely randomised trees
              or descriptions of pictures
============  =================  ==================================================

The probe (or the trained head) itself is the view ``probe``. ``fit_blend`` makes one probability of all.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int, Shaped
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save
from scipy.special import logit
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC
from sklearn.tree import ExtraTreeRegressor

from labelcontrast.errors import ConfigError, DataError
from labelcontrast.files import whole_file
from labelcontrast.metrics.counting import ALL, AnyMatrix, Places, as_blocks, column_blocks, known_pairs
from labelcontrast.metrics.neighbours import nearest_neighbours, unit_rows
from labelcontrast.progress import tracked

PROBE = "probe"
"""The view of the probe, or of the head that was trained with the encoder."""
ROWS_AT_ONCE = 1024
"""Sparse rows that are made dense together."""
SMALLEST_WEIGHT = 0.003
"""Weights of the SVM below this are not kept."""
TOLERANCE = 0.1
"""Of the solver, as LIBLINEAR has it: half the time of scikit-learn's 0.0001, and the same average precision."""
TOKEN = r"\w+|[^\w\s]"
"""A word, or a single other character such as an emoji."""
MOST_FOR_TREES = 2**27
"""Pairs of an example and a label, at most, that trees are grown on."""
Logits = Float[np.ndarray, "examples labels"]
Arrays = Mapping[str, NDArray[Any]]
Weights = NDArray[np.float64] | None
"""Of the training examples, above 0; None where each counts once."""


class View(ABC):
    """A scorer of all labels that is fitted on the training examples."""

    name: ClassVar[str]
    reads: ClassVar[Literal["embeddings", "inputs"]]
    kinds: ClassVar[tuple[str, ...]]
    """The kinds of input that it can score."""
    scores_by: ClassVar[str]
    """What it scores a label by, as pages say it."""

    @classmethod
    @abstractmethod
    def fit(cls, rows: Any, labels: AnyMatrix, *, seed: int = 0, weights: Weights = None) -> "View":  # noqa: ANN401
        """Fit on the inputs or embeddings of the training examples; a label is NaN where it is not known."""

    def logits(self, rows: Any) -> Logits:  # noqa: ANN401
        """Compute a score of every label, on a scale of its own; higher is more probable."""
        return self.score(self.prepare(rows))

    def prepare(self, rows: Any) -> Any:  # noqa: ANN401
        """Compute what a score of any label needs, a row for each example; by default the rows themselves."""
        return rows

    def score(self, prepared: Any, at: Places = ALL) -> Logits:  # noqa: ANN401
        """Compute the scores of some labels from what ``prepare`` returns; by default of all labels."""
        return self.score_labels(self.describe(prepared), at)

    @abstractmethod
    def describe(self, prepared: Any) -> sp.csr_array:  # noqa: ANN401
        """Compute what the scores of all labels have in common, a row for each example."""

    @abstractmethod
    def score_labels(self, described: sp.csr_array, at: Places = ALL) -> Logits:
        """Compute the scores of some labels from the description of some examples."""

    @abstractmethod
    def fit_label(self, prepared: Any, labels: Shaped[np.ndarray, " examples"], *, seed: int = 0) -> "View":  # noqa: ANN401
        """Fit a view of one further label alone, on training examples that are prepared; NaN where it is not known."""

    @abstractmethod
    def with_label(self, one: Any, older: Shaped[np.ndarray, "examples labels"]) -> "View":  # noqa: ANN401
        """Append a view of one further label.

        Args:
            one: What ``fit_label`` returns for the training examples of this view, and others after them.
            older: The labels of this view that the others have.
        """

    @abstractmethod
    def select(self, columns: Sequence[int]) -> "View":
        """Return the view of some labels, in this order."""

    @abstractmethod
    def arrays(self) -> Arrays:
        """Return everything that scoring needs."""

    @classmethod
    @abstractmethod
    def of_arrays(cls, arrays: Arrays) -> "View":
        """Rebuild the view from its arrays."""

    def save(self, path: str | Path) -> None:
        """Write the arrays as safetensors."""
        with whole_file(Path(path)) as file:
            file.write(save({name: np.ascontiguousarray(values) for name, values in self.arrays().items()}))

    @classmethod
    def load(cls, path: str | Path) -> "View":
        """Read a saved view.

        Raises:
            DataError: The file is missing or damaged.
        """
        try:
            return cls.of_arrays(load_file(path))
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise DataError(f"is not a saved view of {cls.name}: {str(error).splitlines()[0]}.", path=path) from error


@dataclass(frozen=True, eq=False)
class NeighboursView(View):
    r"""Score each label by the labels of the nearest training examples, near ones counting more.

    .. math:: p_{il} = \frac{\alpha \pi_l + \sum_{j \in N_k(i)} w_{ij} y_{jl}}{\alpha + \sum_{j \in N_k(i)} w_{ij}},
              \qquad w_{ij} = \exp\frac{\cos(z_i, z_j) - \max_m \cos(z_i, z_m)}{\tau}

    with :math:`\pi` the frequency of a label in training, k = 50, :math:`\tau` = 0.1 and :math:`\alpha` = 1.

    Reference: Su, Wang and Dai, Contrastive Learning-Enhanced Nearest Neighbor Mechanism for Multi-Label Text
    Classification, ACL 2022; the smoothing by the frequency is ours.
    """

    name = "neighbours"
    reads = "embeddings"
    kinds = ("text", "image", "vector")
    scores_by = "the labels of the nearest training examples by the embedding"
    NEIGHBOURS, TEMPERATURE, PRIOR = 50, 0.1, 1.0

    embeddings: Float[np.ndarray, "train dim"]
    """Of unit length."""
    labels: sp.csr_array
    frequency: Float[np.ndarray, " labels"]
    votes: Float[np.ndarray, " train"] | None = None
    """Factor of the weight of each training example, if they differ."""

    @classmethod
    def fit(
        cls, rows: Float[np.ndarray, "train dim"], labels: AnyMatrix, *, seed: int = 0, weights: Weights = None
    ) -> "NeighboursView":
        """Keep the embeddings; an unknown label counts as absent, and nothing is drawn."""
        del seed
        given = as_blocks(labels, "labels")
        own = np.ones(len(given)) if weights is None else weights
        kept, frequency = [], np.empty(given.shape[1])
        for at in column_blocks(given.shape):
            known, positives = own @ known_pairs(given[:, at]), np.nan_to_num(given[:, at])
            frequency[at] = own @ positives / np.where(known > 0, known, 1)
            kept.append(sp.csr_array(positives.astype(np.float32)))
        units, sets = unit_rows(rows, zero=True).numpy(), sp.csr_array(sp.hstack(kept, format="csr"))
        return cls(units, sets, frequency, None if weights is None else weights.astype(np.float32))

    def describe(self, prepared: Float[np.ndarray, "examples dim"]) -> sp.csr_array:
        """Compute the weights of the nearest training examples, the nearest first."""
        units = unit_rows(prepared, zero=True).numpy()
        found = nearest_neighbours(units, self.embeddings, neighbours=min(self.NEIGHBOURS, len(self.embeddings)))
        near = [self.embeddings[places] @ unit for places, unit in zip(found, units, strict=True)]
        similarity = np.array(near, dtype=np.float32).reshape(found.shape)
        weight = np.exp((similarity - similarity[:, :1]) / self.TEMPERATURE)
        weight = weight if self.votes is None else weight * self.votes[found]
        starts = np.arange(0, found.size + 1, found.shape[1])
        return sp.csr_array((weight.ravel(), found.ravel(), starts), shape=(len(units), len(self.embeddings)))

    def score_labels(self, described: sp.csr_array, at: Places = ALL) -> Logits:
        """Compute the log-odds of the smoothed share of neighbours."""
        votes = (described @ self.labels[:, at]).toarray()
        total = described.data.reshape(len(votes), min(self.NEIGHBOURS, len(self.embeddings))).sum(axis=1)
        share = (votes + self.PRIOR * self.frequency[at]) / (total[:, None] + self.PRIOR)
        return np.asarray(logit(np.clip(share, 1e-6, 1 - 1e-6)))

    def fit_label(self, prepared: Any, labels: Shaped[np.ndarray, " examples"], *, seed: int = 0) -> "NeighboursView":  # noqa: ANN401
        """Keep the embeddings with one label."""
        return self.fit(prepared, labels[:, None], seed=seed)

    def with_label(self, one: Any, older: Shaped[np.ndarray, "examples labels"]) -> "NeighboursView":  # noqa: ANN401
        """Append the label, and the embeddings of the others."""
        labels = sp.vstack([self.labels, sp.csr_array(np.nan_to_num(older).astype(np.float32))])
        return NeighboursView(
            np.concatenate([self.embeddings, one.embeddings[len(self.embeddings) :]]),
            sp.csr_array(sp.hstack([labels, one.labels])),
            np.concatenate([self.frequency, one.frequency]),
            None if self.votes is None else np.append(self.votes, np.ones(len(older), np.float32)),
        )

    def select(self, columns: Sequence[int]) -> "NeighboursView":
        """Return the view of some labels; all examples stay."""
        return replace(self, labels=sp.csr_array(self.labels[:, columns]), frequency=self.frequency[columns])

    def arrays(self) -> Arrays:
        """Return embeddings and labels of the training examples."""
        votes = {} if self.votes is None else {"votes": self.votes}
        return {"embeddings": self.embeddings, "frequency": self.frequency, **votes, **_csr_arrays(self.labels)}

    @classmethod
    def of_arrays(cls, arrays: Arrays) -> "NeighboursView":
        """Rebuild the view from its arrays."""
        return cls(arrays["embeddings"], _csr_of(arrays), arrays["frequency"], arrays.get("votes"))


@dataclass(frozen=True, eq=False)
class WordsView(View):
    r"""Score each label by a linear SVM on the words, word pairs and characters of a text.

    .. math:: s_{il} = w_l^\top \phi(x_i) + b_l, \qquad
              \min_{w_l, b_l} \tfrac12 \lVert w_l \rVert^2 + C \sum_i \max(0, 1 - \pm s_{il})^2

    with :math:`\phi` the TF-IDF of words and word pairs beside that of 3 to 5 characters within words, each of unit
    length, with a logarithm of the counts; features of a single text are left out. C is 0.3. A label that all or no
    training texts have gets a constant. Memory: 8 bytes a weight that is kept, those below 0.003 are not.

    With more than 1,000 labels, the SVM of a label is fitted on its positives and 1,000 other texts, the same ones for
    all labels, which stand for the rest in the sum, and its weights of largest size are kept, 100 at least and ten
    million in all.

    Example:
        >>> view = WordsView.fit(["good film", "bad film", "good book", "bad book"], np.array([[1], [0], [1], [0]]))
        >>> (view.logits(["a good song", "a bad song"]) > 0).ravel().tolist()
        [True, False]

    Reference: Fan et al., LIBLINEAR: A Library for Large Linear Classification, 2008.
    """

    name = "words"
    reads = "inputs"
    kinds = ("text",)
    scores_by = "a linear SVM on words, word pairs and pieces of words"
    COST = 0.3
    FEW, OTHERS, WEIGHTS, FEWEST_WEIGHTS = 1_000, 1_000, 10_000_000, 100

    features: "TextFeatures"
    weight: sp.csr_array
    """Shape [labels, features]."""
    bias: Float[np.ndarray, " labels"]

    @classmethod
    def fit(cls, rows: Sequence[str], labels: AnyMatrix, *, seed: int = 0, weights: Weights = None) -> "WordsView":
        """Count the features of the training texts, and fit an SVM for each label."""
        features, design = TextFeatures.fit_transform(rows)
        given = as_blocks(labels, "labels")
        count = given.shape[1]
        most = max(cls.FEWEST_WEIGHTS, cls.WEIGHTS // count) if count > cls.FEW else design.shape[1]
        drawn = np.random.default_rng(seed).permutation(len(given))[: cls.OTHERS if count > cls.FEW else None]
        planes, biases = [], []
        columns = (column for at in column_blocks(given.shape) for column in given[:, at].T)
        for column in tracked(columns, "view of words", total=count):
            weight, bias = fit_svm(design, column, cost=cls.COST, seed=seed, weights=weights, others=drawn)
            planes.append(_largest(weight, most))
            biases.append(bias)
        return cls(features, sp.csr_array(sp.vstack(planes)), np.array(biases))

    def prepare(self, rows: Sequence[str]) -> sp.csr_array:
        """Compute the features of texts."""
        return self.features.transform(rows)

    def describe(self, prepared: sp.csr_array) -> sp.csr_array:
        """Return the features."""
        return prepared

    @cached_property
    def _by_feature(self) -> sp.csr_array:
        """The weights by feature, so that the product for a single text does not sort them anew."""
        return self.weight.T.tocsr()

    def score_labels(self, described: sp.csr_array, at: Places = ALL) -> Logits:
        """Compute the margins."""
        of_all = isinstance(at, slice) and at == ALL
        margins = described @ (self._by_feature if of_all else self.weight[at].T)
        return np.asarray(margins.toarray() + self.bias[at], dtype=np.float64)

    def fit_label(
        self, prepared: sp.csr_array, labels: Shaped[np.ndarray, " examples"], *, seed: int = 0
    ) -> "WordsView":
        """Fit an SVM on the features of this view; words that no training text has stay unknown."""
        weight, bias = fit_svm(prepared, labels, cost=self.COST, seed=seed)
        return WordsView(self.features, _largest(weight, len(weight)), np.array([bias]))

    def with_label(self, one: Any, older: Shaped[np.ndarray, "examples labels"]) -> "WordsView":  # noqa: ANN401
        """Append the weights of the label."""
        del older
        weight = sp.csr_array(sp.vstack([self.weight, one.weight]))
        return replace(self, weight=weight, bias=np.concatenate([self.bias, one.bias]))

    def select(self, columns: Sequence[int]) -> "WordsView":
        """Return the weights of some labels."""
        return replace(self, weight=sp.csr_array(self.weight[columns]), bias=self.bias[columns])

    def arrays(self) -> Arrays:
        """Return the features with their weights."""
        return {**self.features.arrays(), "bias": self.bias, **_csr_arrays(self.weight)}

    @classmethod
    def of_arrays(cls, arrays: Arrays) -> "WordsView":
        """Rebuild the view from its arrays."""
        return cls(TextFeatures.of_arrays(arrays), _csr_of(arrays), arrays["bias"])


class TextFeatures:
    r"""TF-IDF of words and word pairs, beside that of 3 to 5 characters within words; each part has unit length.

    .. math:: \phi_{if} \propto (1 + \log n_{if}) \left(1 + \log \frac{1 + N}{1 + N_f}\right)

    with n the count of feature f in text i, and N_f the number of the N training texts that have it.

    Args:
        terms: Words and word pairs; and pieces of words.
        idf: The second factor, for all terms in this order.
    """

    def __init__(self, terms: Sequence[Sequence[str]], idf: Float[np.ndarray, " features"]) -> None:
        self.terms = terms
        self.idf = idf
        words, pieces = (dict(zip(one, range(len(one)), strict=True)) for one in terms)
        self._words = _word_counter(vocabulary=words) if words else None
        self._pieces = _piece_counter(vocabulary=pieces) if pieces else None

    @classmethod
    def fit(cls, texts: Sequence[str]) -> "TextFeatures":
        """Find the features that two texts or more have."""
        return cls.fit_transform(texts)[0]

    @classmethod
    def fit_transform(cls, texts: Sequence[str]) -> tuple["TextFeatures", sp.csr_array]:
        """Find the features that two texts or more have, and compute those of the texts, which are counted once."""
        words, pieces = _word_counter(), _piece_counter()
        terms, idf, counted = [], [], []
        for counter, count in ((words, words.fit_transform), (pieces, lambda given: count_pieces(given, pieces))):
            try:
                counts = sp.csr_array(count(texts))
            except ValueError:  # there is not a single word
                terms.append(np.array([], dtype=str))
                continue
            texts_with = np.bincount(counts.indices, minlength=counts.shape[1])
            kept = np.flatnonzero(texts_with >= min(2, len(texts)))
            terms.append(counter.get_feature_names_out()[kept])
            idf.append(1 + np.log((1 + len(texts)) / (1 + texts_with[kept])))
            counted += [counts[:, kept]] if len(kept) else []
        features = cls([one.tolist() for one in terms], np.concatenate([np.zeros(0), *idf]))
        return features, features._weigh(counted, len(texts))

    def transform(self, texts: Sequence[str]) -> sp.csr_array:
        """Compute the features of texts, shape [texts, features]."""
        counted = [sp.csr_array(self._words.transform(texts))] if self._words else []
        counted += [count_pieces(texts, self._pieces)] if self._pieces else []
        return self._weigh(counted, len(texts))

    def _weigh(self, counted: Sequence[sp.csr_array], number: int) -> sp.csr_array:
        """Compute the features of some texts from the counts of each part that has terms."""
        blocks, start = [], 0
        for counts in counted:
            weighted = sp.csr_array(counts, dtype=np.float64)
            weighted.sort_indices()  # a sum over a text is then the same to the bit, however its words were counted
            weighted.data = (1 + np.log(weighted.data)) * self.idf[start + weighted.indices]
            start += weighted.shape[1]
            blocks.append(normalize(weighted) if number else weighted)
        return sp.csr_array(sp.hstack(blocks, format="csr") if blocks else sp.csr_array((number, 0)))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the terms as bytes, one a line, and their weights."""
        coded = ["\n".join(terms).encode() for terms in self.terms]
        names = ("words", "pieces")
        return {"idf": self.idf} | {
            name: np.frombuffer(text, dtype=np.uint8) for name, text in zip(names, coded, strict=True)
        }

    @classmethod
    def of_arrays(cls, arrays: Arrays) -> "TextFeatures":
        """Rebuild the features from their arrays."""
        coded = (arrays[name].tobytes().decode() for name in ("words", "pieces"))
        return cls([text.split("\n") if text else [] for text in coded], arrays["idf"])


@dataclass(frozen=True, eq=False)
class TreesView(View):
    r"""Score each label by extremely randomised trees on feature vectors.

    .. math:: p_{il} = \frac1T \sum_t \bar y_l(\text{leaf}_t(x_i))

    with the mean over T = 200 trees of the share of training examples in the leaf that have the label; T is smaller, 20
    at least, where examples times labels would take more than about a minute. An unknown label counts as absent.

    Example:
        >>> vectors = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
        >>> view = TreesView.fit(vectors, (vectors[:, :1] > 0).astype(int))
        >>> (view.logits(np.array([[2.0, 0, 0], [-2.0, 0, 0]])) > 0).ravel().tolist()
        [True, False]

    Reference: Geurts, Ernst and Wehenkel, Extremely Randomized Trees, 2006.
    """

    name = "trees"
    reads = "inputs"
    kinds = ("vector", "image")
    scores_by = "extremely randomised trees on the features, or on colours and edges of pictures"
    TREES, FEWEST, WORK = 200, 20, 3e9

    roots: Int[np.ndarray, " trees"]
    left: Int[np.ndarray, " nodes"]
    """The child for values up to the cut; -1 at a leaf."""
    right: Int[np.ndarray, " nodes"]
    """The child for larger values."""
    feature: Int[np.ndarray, " nodes"]
    cut: Float[np.ndarray, " nodes"]
    shares: sp.csr_array
    """The share of each label in a node, shape [nodes, labels]; only leaves have any."""

    @classmethod
    def fit(
        cls,
        rows: Float[np.ndarray, "examples dim"] | sp.csr_array,
        labels: AnyMatrix,
        *,
        seed: int = 0,
        weights: Weights = None,
    ) -> "TreesView":
        """Grow the trees on all labels at once.

        Raises:
            ConfigError: Examples times labels are more than 2^27: a tree of scikit-learn would take 2 GiB.
        """
        given = as_blocks(labels, "labels")
        if given.shape[0] * given.shape[1] > MOST_FOR_TREES:
            raise ConfigError(
                f"the view trees takes at most {MOST_FOR_TREES:,} pairs of an example and a label: leave it out of "
                f"evaluation.views. Got {given.shape[0]:,} examples and {given.shape[1]:,} labels."
            )
        positives = np.nan_to_num(given[:]).astype(np.float64)
        work = positives.size * np.sqrt(rows.shape[1])
        count = int(np.clip(cls.WORK // work, cls.FEWEST, cls.TREES))
        parts, roots = [], [0]
        for state in tracked(np.random.RandomState(seed).randint(2**31 - 1, size=count), "view of trees"):
            # One tree at a time: scikit-learn keeps a dense row of all labels for every node.
            grower = ExtraTreeRegressor(max_features="sqrt", random_state=int(state))
            grower.fit(rows, positives if positives.shape[1] > 1 else positives[:, 0], sample_weight=weights)
            tree = grower.tree_
            shares = sp.csr_array((tree.value[:, :, 0] * (tree.children_left < 0)[:, None]).astype(np.float32))
            sides = (_shifted(side, roots[-1]) for side in (tree.children_left, tree.children_right))
            parts.append((*sides, tree.feature.astype(np.int32), tree.threshold, shares))
            roots.append(roots[-1] + tree.node_count)
        *nodes, shares = zip(*parts, strict=True)
        left, right, feature, cut = map(np.concatenate, nodes)
        starts = np.array(roots[:-1], dtype=np.int32)
        return cls(starts, left, right, feature, cut, sp.csr_array(sp.vstack(shares)))

    def prepare(self, rows: Float[np.ndarray, "examples dim"] | sp.csr_array) -> Int[np.ndarray, "examples trees"]:
        """Find the leaf of every example in each tree."""
        if isinstance(rows, sp.csr_array):
            starts = range(0, max(rows.shape[0], 1), ROWS_AT_ONCE)
            return np.concatenate([self.prepare(rows[start : start + ROWS_AT_ONCE].toarray()) for start in starts])
        rows = np.asarray(rows, dtype=np.float32)  # as the trees were grown
        leaves = np.asfortranarray(np.tile(self.roots, (len(rows), 1)))
        for node in leaves.T:
            while (inner := np.flatnonzero(self.left[node] >= 0)).size:
                here = node[inner]
                below = rows[inner, self.feature[here]] <= self.cut[here]
                node[inner] = np.where(below, self.left[here], self.right[here])
        return leaves

    def describe(self, prepared: Int[np.ndarray, "examples trees"]) -> sp.csr_array:
        """Mark the leaves of each example."""
        starts = np.arange(0, prepared.size + 1, prepared.shape[1])
        return sp.csr_array((np.ones(prepared.size), prepared.ravel(), starts), shape=(len(prepared), len(self.left)))

    def score_labels(self, described: sp.csr_array, at: Places = ALL) -> Logits:
        """Compute the log-odds of the mean share, with half a tree more on either side."""
        total, count = (described @ self.shares[:, at]).toarray(), len(self.roots)
        return np.asarray(np.log(total + 0.5) - np.log(np.maximum(count - total, 0) + 0.5))

    def fit_label(
        self, prepared: Int[np.ndarray, "examples trees"], labels: Shaped[np.ndarray, " examples"], *, seed: int = 0
    ) -> "TreesView":
        """Take the share of the examples in each leaf that have the label; the trees stay as they are."""
        del seed
        known = known_pairs(labels)
        every, having = prepared[known].ravel(), prepared[known & (labels == 1)].ravel()
        count, positive = (np.bincount(one, minlength=len(self.left)) for one in (every, having))
        return replace(self, shares=sp.csr_array((positive / np.maximum(count, 1)).astype(np.float32)[:, None]))

    def with_label(self, one: Any, older: Shaped[np.ndarray, "examples labels"]) -> "TreesView":  # noqa: ANN401
        """Append the shares of the label."""
        del older
        return replace(self, shares=sp.csr_array(sp.hstack([self.shares, one.shares])))

    def select(self, columns: Sequence[int]) -> "TreesView":
        """Return the shares of some labels."""
        return replace(self, shares=sp.csr_array(self.shares[:, columns]))

    def arrays(self) -> Arrays:
        """Return the nodes of all trees."""
        nodes = {name: getattr(self, name) for name in ("roots", "left", "right", "feature", "cut")}
        return {**nodes, **_csr_arrays(self.shares)}

    @classmethod
    def of_arrays(cls, arrays: Arrays) -> "TreesView":
        """Rebuild the trees from their nodes."""
        roots, left, right, feature, cut = (arrays[name] for name in ("roots", "left", "right", "feature", "cut"))
        return cls(roots, left, right, feature, cut, _csr_of(arrays))


VIEWS_BY_NAME: dict[str, type[View]] = {view.name: view for view in (NeighboursView, WordsView, TreesView)}
"""Views beside the probe, by name."""


def fit_svm(
    features: Any,  # noqa: ANN401
    labels: Shaped[np.ndarray, " examples"],
    *,
    cost: float,
    seed: int = 0,
    weights: Weights = None,
    others: Int[np.ndarray, " others"] | None = None,
) -> tuple[Float[np.ndarray, " features"], float]:
    """Fit a linear SVM of one label on the examples with a known value; weights 0 and -1 or 1 if it is constant.

    Args:
        features: Of the examples, dense or sparse.
        labels: 0 or 1; NaN where it is not known.
        cost: Of an error.
        seed: Of the solver.
        weights: Of the examples, above 0; by default each counts once.
        others: Examples drawn at random. Those of them without the label weigh so much that their sum is in expectation
            that of all without it. By default all are taken.
    """
    known = known_pairs(labels)
    present = labels == 1
    if not present.any() or present[known].all():
        return np.zeros(features.shape[1]), 1.0 if present.any() else -1.0
    factor = None
    if others is not None and (known & ~present)[others].any():
        taken = np.zeros_like(known)
        taken[others] = True
        negatives, known = (known & ~present).sum(), known & (taken | present)
        factor = np.where(present, 1.0, negatives / (known & ~present).sum())
    if weights is not None:
        factor = weights if factor is None else weights * factor
    svm = LinearSVC(C=cost, tol=TOLERANCE, random_state=seed)
    svm.fit(
        features if known.all() else features[known],
        present[known],
        sample_weight=None if factor is None else factor[known],
    )
    return svm.coef_[0], float(svm.intercept_[0])


def count_pieces(texts: Sequence[str], counter: CountVectorizer) -> sp.csr_array:
    """Count pieces of words in texts: those of each distinct word once, times the words of the texts.

    Args:
        texts: At least one has a word if the counter has no vocabulary yet.
        counter: Of characters within words. Without a vocabulary it takes all pieces of the texts.
    """
    if counter.vocabulary is not None and not any(map(str.strip, texts)):
        return sp.csr_array((len(texts), len(counter.vocabulary)))
    words = CountVectorizer(token_pattern=r"\S+")
    counts = sp.csr_array(words.fit_transform(texts))
    count = counter.fit_transform if counter.vocabulary is None else counter.transform
    return sp.csr_array(counts @ count(words.get_feature_names_out()))


def _word_counter(vocabulary: Mapping[str, int] | None = None) -> CountVectorizer:
    return CountVectorizer(ngram_range=(1, 2), token_pattern=TOKEN, vocabulary=vocabulary)


def _piece_counter(vocabulary: Mapping[str, int] | None = None) -> CountVectorizer:
    return CountVectorizer(analyzer="char_wb", ngram_range=(3, 5), vocabulary=vocabulary)


def _largest(weight: Float[np.ndarray, " features"], most: int) -> sp.csr_array:
    """Return the weights of the largest size as a row."""
    kept = np.flatnonzero(np.abs(weight) >= SMALLEST_WEIGHT)
    if len(kept) > most:
        kept = np.sort(kept[np.argpartition(-np.abs(weight[kept]), most)[:most]])
    return sp.csr_array((weight[kept].astype(np.float32), kept, [0, len(kept)]), shape=(1, len(weight)))


def _shifted(children: Shaped[np.ndarray, " nodes"], root: int) -> Int[np.ndarray, " nodes"]:
    """Number the children of a tree among the nodes of all trees."""
    return np.where(children < 0, -1, children + root).astype(np.int32)


def _csr_arrays(matrix: sp.csr_array) -> dict[str, NDArray[Any]]:
    names = ("data", "indices", "indptr")
    return {**{name: getattr(matrix, name) for name in names}, "shape": np.array(matrix.shape)}


def _csr_of(arrays: Arrays) -> sp.csr_array:
    return sp.csr_array((arrays["data"], arrays["indices"], arrays["indptr"]), shape=tuple(arrays["shape"].tolist()))
