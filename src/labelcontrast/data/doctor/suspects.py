"""Labels that are probably wrong: an out-of-fold probe contradicts them with confidence."""

from dataclasses import dataclass
from importlib import import_module
from typing import cast

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import KFold

from labelcontrast.data.examples import Examples
from labelcontrast.encoders.pictures import Picture, decode_picture
from labelcontrast.errors import DataError, MissingExtraError
from labelcontrast.probes.logistic import solve_logistic
from labelcontrast.progress import tracked

FOLDS = 5
FEWEST = 10
"""A label with fewer training examples is not evaluated."""
DIM = 128
"""Features of an example, at most."""
SURE, LEARNED = 0.9, 0.5
STRENGTH = 1e-2
"""Weight of the penalty of the probe beside the mean loss: at or near the best out-of-fold loss on small sets."""


@dataclass(frozen=True)
class Suspect:
    """A label of an example that is probably wrong."""

    row: int
    label: int
    present: bool
    """True if the data have the label."""
    probability: float
    """The probability that the probe predicts."""


def plain_features(examples: Examples, *, seed: int = 0) -> Float[np.ndarray, "examples dim"]:
    """Compute features without an encoder, 128 at most: TF-IDF of texts, small pictures, or the vectors themselves.

    Args:
        examples: Examples of any kind; the features of an unreadable picture are zeros.
        seed: Seed of the projection.
    """
    if isinstance(examples.inputs, np.ndarray):
        raw = examples.inputs.astype(np.float64)
    elif examples.kind == "text":
        words = TfidfVectorizer(sublinear_tf=True, min_df=2, token_pattern=r"(?u)\b\w+\b", dtype=np.float64)
        try:
            raw = words.fit_transform(list(map(str, examples.inputs)))
        except ValueError:  # no word occurs in two texts
            return np.zeros((len(examples), 1))
    else:
        raw = np.stack([_small(cast("Picture", picture)) for picture in examples.inputs])
    width = min(DIM, min(raw.shape) - 1)
    if raw.shape[1] > DIM and width > 0:
        raw = TruncatedSVD(width, random_state=seed).fit_transform(raw)
    dense = raw.toarray() if hasattr(raw, "toarray") else raw
    spread = dense.std(0)
    features: NDArray[np.float64] = (dense - dense.mean(0)) / np.where(spread > 0, spread, 1)
    return features


def out_of_fold(
    features: Float[np.ndarray, "examples dim"], labels: csr_array, *, seed: int = 0
) -> Float[np.ndarray, "examples labels"]:
    """Predict each fifth of the examples by a logistic probe that is fitted on the other four.

    Returns: Probabilities; NaN for a label with fewer than ten examples, or with none in the training part of a fold.
    """
    hot = labels.toarray().astype(np.float64)
    evaluated = np.flatnonzero((hot.sum(0) >= FEWEST) & (hot.sum(0) <= len(hot) - FEWEST))
    probabilities = np.full(hot.shape, np.nan)
    design = np.column_stack([features, np.ones(len(features))])
    for train, unseen in tracked(KFold(FOLDS, shuffle=True, random_state=seed).split(design), "labels", total=FOLDS):
        both = evaluated[(hot[train][:, evaluated].min(0) == 0) & (hot[train][:, evaluated].max(0) == 1)]
        start = np.zeros((design.shape[1], len(both)))
        weights = solve_logistic(design[train], hot[np.ix_(train, both)], start, strength=STRENGTH, tolerance=1e-2)
        probabilities[np.ix_(unseen, both)] = expit(design[unseen] @ weights)
    return probabilities


def suspects(probabilities: Float[np.ndarray, "examples labels"], labels: csr_array) -> list[Suspect]:
    r"""Find the labels that the probe contradicts as confidently as it usually agrees, the worst first.

    A present label is suspected if its probability is at most the mean over examples without it, an absent one if it is
    at least the mean over examples with it, and either only if

    .. math:: |p_{il} - y_{il}| \ge 0.9 ,

    by which they are ranked. Only labels that the probe has learned are evaluated: those whose mean probability over
    examples with the label is at least one half.

    Reference: Northcutt, Jiang and Chuang, Confident learning, 2021; one label against the rest.
    """
    hot = labels.toarray().astype(bool)
    known = ~np.isnan(probabilities)
    filled = np.where(known, probabilities, 0)
    with_it = (filled * hot).sum(0) / np.maximum((known & hot).sum(0), 1)
    without = (filled * ~hot).sum(0) / np.maximum((known & ~hot).sum(0), 1)
    distance = np.abs(filled - hot)
    contradicted = np.where(hot, filled <= without, filled >= with_it) & (distance >= SURE)
    rows, columns = np.nonzero(known & (with_it >= LEARNED) & contradicted)
    order = np.argsort(-distance[rows, columns], kind="stable")
    return [
        Suspect(row, column, bool(hot[row, column]), float(probabilities[row, column]))
        for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True)
    ]


def cleanlab_rows(probabilities: Float[np.ndarray, "examples labels"], labels: csr_array) -> list[int]:
    """Return the examples whose label set is probably wrong according to cleanlab, the worst first.

    Raises:
        MissingExtraError: cleanlab is not installed.
    """
    try:
        find_issues = import_module("cleanlab.multilabel_classification.filter").find_label_issues
    except ImportError:
        raise MissingExtraError("the bridge to cleanlab", "cleanlab") from None
    evaluated = np.flatnonzero(~np.isnan(probabilities).any(0))
    sets = [np.flatnonzero(row).tolist() for row in labels.toarray()[:, evaluated]]
    rows = find_issues(sets, probabilities[:, evaluated], return_indices_ranked_by="self_confidence", n_jobs=1)
    return [int(row) for row in rows]


def _small(picture: Picture) -> NDArray[np.float64]:
    """Shrink a picture to 16 x 16 points of three colours; return zeros for an unreadable one."""
    try:
        image = decode_picture(picture, place="")
    except DataError:
        return np.zeros(16 * 16 * 3)
    return np.asarray(image.resize((16, 16), Image.Resampling.BOX), dtype=np.float64).ravel() / 255
