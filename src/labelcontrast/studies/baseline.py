"""The row that a trained encoder must beat: one linear SVM a label on what needs no training."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from labelcontrast.data.batches import dense_truth, encode_labels
from labelcontrast.data.splitting.splits import Splits
from labelcontrast.evaluation.metrics.measures import compute_metrics
from labelcontrast.evaluation.outputs import Outputs

NAMES = {"text": "TF-IDF + linear SVM", "vector": "linear SVM"}


def fit_baseline(splits: Splits, *, keep: Path | None = None) -> dict[str, Any] | None:
    """Fit the baseline on train and measure it on validation and test; pictures have none.

    Texts become TF-IDF of words and word pairs; vectors are standardised. The SVM's own threshold, 0, decides. It takes
    an unknown label of a training example for an absent one; the measures leave unknown labels out.

    Args:
        splits: what it is fitted and measured on.
        keep: where what it says of the test examples is kept.

    Returns:
        The name of the row, and metrics by split; nothing where the kind of input has no baseline.
    """
    kind = splits.train.kind
    if kind not in NAMES:
        return None
    features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True) if kind == "text" else StandardScaler()
    model = make_pipeline(features, OneVsRestClassifier(LinearSVC(random_state=0)))
    vocabulary = splits.vocabulary
    train = encode_labels(splits.train, vocabulary)[0].toarray()
    used = np.flatnonzero((train.sum(0) > 0) & (train.sum(0) < len(train)))
    model.fit(splits.train.inputs, train[:, used])
    metrics = {}
    for name, part in {"val": splits.val, "test": splits.test}.items():
        labels = dense_truth(*encode_labels(part, vocabulary))
        scores = np.tile(np.where(train.all(0), 1.0, -1.0), (len(part), 1))
        scores[:, used] = model.decision_function(part.inputs).reshape(len(part), -1)
        metrics[name] = compute_metrics(labels, scores, scores > 0)
        if keep and name == "test":
            Outputs(labels, expit(scores), scores > 0).save(keep)
    return {"name": NAMES[kind], "metrics": metrics}
