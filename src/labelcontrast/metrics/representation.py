"""Metrics of embeddings without a probe: alignment, uniformity, effective rank, and where a step of training leads."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike

from labelcontrast.metrics.counting import AnyMatrix, Matrix, as_features, known_pairs, part_of, row_blocks
from labelcontrast.metrics.neighbours import Features, checked_rows, unit_rows

EXACT_UP_TO = 20_000
"""Number of examples up to which all pairs are used, in some seconds."""
SAMPLED_PAIRS = 400_000
ONE_LINE = 1 - 1e-12
"""Cosine from which on two embeddings are on one line, up to rounding."""
_BLOCK = 2048


@dataclass(frozen=True)
class Estimate:
    """A value and its standard error, which is 0 where all pairs were used."""

    value: float
    error: float = 0.0


def alignment(
    features: ArrayLike,
    labels: AnyMatrix,
    *,
    without_labels: bool = False,
) -> float:
    r"""Compute the mean squared distance between unit embeddings of examples with the same label set.

    .. math:: \operatorname{mean}_{i < j,\; y_i = y_j} \lVert z_i - z_j \rVert^2
              = \frac{\sum_g m_g^2 - \lVert \sum_{i \in g} z_i \rVert^2}{\sum_g m_g (m_g - 1) / 2}

    where :math:`m_g` examples have the label set g: the sum over pairs is exact at any size without visiting pairs.

    Args:
        features: Shape [examples, dim]; no row is zero.
        labels: 0 or 1, shape [examples, labels]. An example with an unknown label (NaN) is left out.
        without_labels: Whether examples without any label form a group too.

    Returns: Between 0 and 4, lower is better; NaN when no two examples share a label set.

    Raises:
        LabelShapeError: Features and labels have different lengths.
        EmbeddingError: A row is NaN, infinite or zero.

    Example:
        >>> points = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        >>> round(alignment(points, np.array([[1, 0], [1, 0], [0, 1]])), 6)
        2.0

    Reference: Audibert et al., Multi-Label Contrastive Learning: A Comprehensive Study, 2024, Eq. 22; after Wang and
        Isola, Understanding Contrastive Representation Learning through Alignment and Uniformity, 2020.
    """
    given, sets = checked_rows(features, labels)
    group = np.full(len(given), -1)
    groups: dict[bytes, int] = {}
    for at in row_blocks(sets.shape):
        block = sets[at]
        for place in np.flatnonzero(known_pairs(block).all(axis=1) & (without_labels | block.any(axis=1))):
            own = np.packbits(block[place] > 0).tobytes()
            group[at.start + place] = groups.setdefault(own, len(groups))
    kept = group >= 0
    rows, sizes = unit_rows(given[kept].astype(np.float64)).numpy(), np.bincount(group[kept])
    sums = np.zeros((len(sizes), rows.shape[1]))
    np.add.at(sums, group[kept], rows)
    pairs = (sizes * (sizes - 1)).sum() / 2
    return float((sizes.astype(np.float64) ** 2 - (sums**2).sum(axis=1)).sum() / pairs) if pairs else float("nan")


def uniformity(
    features: ArrayLike,
    *,
    generator: np.random.Generator,
    exact_up_to: int = EXACT_UP_TO,
    pairs: int = SAMPLED_PAIRS,
) -> Estimate:
    r"""Compute the log of the mean Gaussian potential between unit embeddings.

    .. math:: \log \operatorname{mean}_{i < j} e^{-2 \lVert z_i - z_j \rVert^2}

    Args:
        features: Shape [examples, dim]; no row is zero.
        generator: Draws pairs where they are sampled.
        exact_up_to: Number of examples up to which all pairs are used.
        pairs: Number of independent pairs drawn above that.

    Returns:
        Between -8 and 0; lower means that the embeddings cover the sphere more evenly. The standard error is by the
        delta method where pairs were sampled. NaN for one example.

    Raises:
        EmbeddingError: A row is NaN, infinite or zero.

    Example:
        >>> uniformity(np.array([[1.0, 0.0], [-1.0, 0.0]]), generator=np.random.default_rng(0))
        Estimate(value=-8.0, error=0.0)

    Reference: Wang and Isola, Understanding Contrastive Representation Learning through Alignment and Uniformity, 2020;
        Eq. 23 of the study named above.
    """
    rows = unit_rows(as_features(features, "features"))
    if len(rows) < 2:
        return Estimate(float("nan"))
    if len(rows) <= exact_up_to:
        return Estimate(float(np.log(_mean_potential(rows))))
    first = generator.integers(len(rows), size=pairs)
    second = (first + generator.integers(1, len(rows), size=pairs)) % len(rows)
    potentials = np.concatenate(
        [
            _potential((rows[one] * rows[two]).sum(1)).numpy()
            for one, two in zip(np.array_split(first, 64), np.array_split(second, 64), strict=True)
        ]
    )
    mean = potentials.mean()
    return Estimate(float(np.log(mean)), float(potentials.std(ddof=1) / mean / np.sqrt(pairs)))


def effective_rank(features: ArrayLike) -> float:
    r"""Compute the effective number of directions of embeddings: the exponential of the entropy of singular values.

    .. math:: \exp \Bigl( - \sum_k p_k \log p_k \Bigr), \qquad p_k = \sigma_k / \sum_l \sigma_l

    with the singular values of the centred features.

    Args:
        features: Shape [examples, dim].

    Returns:
        Between 1, all examples on a line, and the width, all directions used equally; 0 where all examples are equal.
        It drops when embeddings collapse.

    Example:
        >>> round(effective_rank(np.vstack([np.eye(3), -np.eye(3)])), 6)
        3.0

    Reference: Roy and Vetterli, The Effective Rank, 2007.
    """
    centred = as_features(features, "features").astype(np.float64)
    centred = centred - centred.mean(axis=0)
    spectrum = np.sqrt(np.linalg.eigvalsh(centred.T @ centred).clip(min=0))
    # Smaller values are rounding errors.
    spectrum = spectrum[spectrum > 1e-7 * spectrum.max()]
    share = spectrum / spectrum.sum()
    return float(np.exp(-(share * np.log(share)).sum())) if len(share) else 0.0


def closing_angles(
    embeddings: Float[torch.Tensor, "batch dim"], steps: Float[torch.Tensor, "batch dim"]
) -> Float[torch.Tensor, "batch batch"]:
    r"""Compute the angles between the step of each embedding and the ways on the sphere that close its pairs.

    .. math:: \theta_{ij} = \arccos \frac{\langle d_i, w_{ij} \rangle}{\lVert d_i \rVert \lVert w_{ij} \rVert}, \qquad
       w_{ij} = z_j - \langle z_i, z_j \rangle z_i, \qquad d_i \perp z_i

    Args:
        embeddings: Not zero; their length does not matter.
        steps: Of the same embeddings, such as those of :meth:`~labelcontrast.losses.loss.ContrastiveLoss.steps`; the
            part along an embedding, which changes its length alone, is left out.

    Returns:
        Degrees, in double precision: at 0 the step of example i leads straight to example j, above 90 away from it. NaN
        without a step, and for two embeddings on one line.

    Example:
        >>> z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]])
        >>> closing_angles(z, torch.tensor([[0.0, -1.0], [0.0, 0.0], [1.0, 1.0]])).round().tolist()
        [[nan, 180.0, 180.0], [nan, nan, nan], [0.0, 0.0, nan]]

    Reference: Audibert et al., Multi-Label Contrastive Learning: A Comprehensive Study, 2024, Figure 1, measured.
    """
    z = torch.nn.functional.normalize(embeddings.double())
    d = steps.double() - (steps.double() * z).sum(1, keepdim=True) * z
    cosine = z @ z.T
    lengths = d.norm(dim=1, keepdim=True) * (1 - cosine.square()).clamp(min=0).sqrt()
    angles = ((d @ z.T) / lengths).clamp(-1, 1).acos().rad2deg()
    undefined = (cosine.abs() >= ONE_LINE) | (lengths == 0)
    return torch.where(undefined, torch.nan, angles)


def describe_representation(
    features: Features,
    labels: Matrix,
    *,
    generator: np.random.Generator,
) -> dict[str, float]:
    """Compute alignment, uniformity with its error, and effective rank; zero rows are left out of the first two.

    Example:
        >>> points = np.vstack([np.eye(2), -np.eye(2), np.zeros((1, 2))])
        >>> describe_representation(points, np.ones((5, 1)), generator=np.random.default_rng(0))["effective_rank"]
        2.0
    """
    directed = features.any(axis=1)
    spread = uniformity(features[directed], generator=generator)
    return {
        "alignment": alignment(features[directed], part_of(labels, np.flatnonzero(directed))),
        "uniformity": spread.value,
        "uniformity_error": spread.error,
        "effective_rank": effective_rank(features),
    }


def _mean_potential(rows: Float[torch.Tensor, "examples dim"]) -> float:
    """Mean over all pairs, each pair once: a block of rows against all rows from it on."""
    total, examples = 0.0, len(rows)
    for start in range(0, examples, _BLOCK):
        block = rows[start : start + _BLOCK]
        potential = _potential(block @ rows[start:].T)
        total += float(potential.triu(diagonal=1).sum(dtype=torch.float64))
    return total / (examples * (examples - 1) / 2)


def _potential(cosine: torch.Tensor) -> torch.Tensor:
    # The squared distance of unit vectors is 2 - 2 cos.
    return torch.exp(4 * (cosine - 1))
