"""The row that a trained encoder must beat: one linear SVM a label on what needs no training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Shaped
from scipy.sparse import csr_matrix
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from labelcontrast.data.batches import dense_truth, encode_labels
from labelcontrast.data.splits import Splits
from labelcontrast.metrics.counting import known_pairs
from labelcontrast.metrics.measures import Outputs, compute_metrics
from labelcontrast.probes.thresholds import fixed_threshold
from labelcontrast.run.evaluation import StreamedHierarchicalMetrics
from labelcontrast.run.model import HierarchyDecoder

Rows: TypeAlias = csr_matrix | np.ndarray
"""What the SVM sees, a row an example."""
NAMES = {"text": "TF-IDF + linear SVM", "vector": "linear SVM"}


def fit_baseline(
    splits: Splits, decoder: HierarchyDecoder | None = None, *, keep: Path | None = None
) -> dict[str, Any] | None:
    """Fit the baseline on train and measure it on validation and test; pictures have none.

    Texts become TF-IDF of words and word pairs; vectors are standardised. The SVM's own threshold, 0, decides,
    which is 0.5 of the logistic function of its margin. A label is fitted on the examples of which it is known; one
    that all or none of these have is always or never predicted.

    Args:
        splits: what it is fitted and measured on.
        decoder: makes its scores and label sets agree with a hierarchy, where there is one.
        keep: where what it says of the test examples is kept.

    Returns:
        The name of the row, and metrics by split, those over the hierarchy too; nothing where the kind of input has no
        baseline.
    """
    kind = splits.train.kind
    if kind not in NAMES:
        return None
    inputs = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True) if kind == "text" else StandardScaler()
    rows, vocabulary = inputs.fit_transform(splits.train.inputs), splits.vocabulary
    decide = [_fit_label(rows, truth) for truth in dense_truth(*encode_labels(splits.train, vocabulary)).T]
    metrics, over_hierarchy, thresholds = {}, {}, fixed_threshold(len(vocabulary))
    for name, part in {"val": splits.val, "test": splits.test}.items():
        labels, unseen = dense_truth(*encode_labels(part, vocabulary)), inputs.transform(part.inputs)
        said = expit(np.stack([decide_one(unseen) for decide_one in decide], axis=1))
        scores = decoder.make_consistent(said) if decoder else said
        predictions = decoder.decide(scores, thresholds) if decoder else thresholds.predict(scores)
        metrics[name] = compute_metrics(labels, scores, predictions)
        if decoder:
            counted = StreamedHierarchicalMetrics(decoder.tree)
            counted.update(labels, predictions)
            over_hierarchy[name] = counted.measures()
        if keep and name == "test":
            Outputs(labels, scores, predictions).save(keep)
    return {"name": NAMES[kind], "metrics": metrics} | ({"hierarchy": over_hierarchy} if decoder else {})


def _fit_label(rows: Rows, truth: Shaped[np.ndarray, " examples"]) -> Callable[[Rows], np.ndarray]:
    """Fit the SVM of a label on the examples of which it is known, and give what scores others."""
    known = known_pairs(truth)
    present = truth[known] == 1
    if present.any() and not present.all():
        own = rows if known.all() else rows[known]
        found: Callable[[Rows], np.ndarray] = LinearSVC(random_state=0).fit(own, present).decision_function
        return found
    always = 1.0 if present.any() else -1.0
    return lambda others: np.full(others.shape[0], always)
