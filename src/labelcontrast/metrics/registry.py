"""The measures that reports print, known without computing any."""

from dataclasses import dataclass
from typing import Literal

HEAD, TAIL = 100, 20
"""A head label has more training examples than the first, a tail label fewer than the second."""


@dataclass(frozen=True)
class Metric:
    """A measure: its name, which way is better, and one sentence."""

    name: str
    better: Literal["higher", "lower"]
    meaning: str


METRICS = {
    metric.name: metric
    for metric in (
        Metric("micro_f1", "higher", "F1 over all pairs of an example and a label; frequent labels dominate."),
        Metric("macro_f1", "higher", "Mean of the F1 of each label; a rare label counts as much as a frequent one."),
        Metric("sample_f1", "higher", "Mean over examples of the F1 between the predicted and the true label set."),
        Metric("hamming_loss", "lower", "Share of pairs of an example and a label that are predicted wrongly."),
        Metric(
            "map_macro", "higher", "Mean of the average precision of each label with a positive; needs no threshold."
        ),
        Metric(
            "map_micro", "higher", "Average precision over all pairs of an example and a label; needs no threshold."
        ),
        Metric("lrap", "higher", "Label ranking average precision: how high an example's own labels are ranked in it."),
    )
}
"""The short table: what reports print."""
HIERARCHICAL_METRICS = {
    metric.name: metric
    for metric in (
        Metric("hierarchical_precision", "higher", "Share of the predicted labels and all above them that are true."),
        Metric("hierarchical_recall", "higher", "Share of the true labels and all above them that are predicted."),
        Metric("hierarchical_f1", "higher", "Harmonic mean of hierarchical precision and recall."),
        Metric("lca_precision", "higher", "As hierarchical precision, but only up to where a true label is met."),
        Metric("lca_recall", "higher", "As hierarchical recall, but only up to where a predicted label is met."),
        Metric("lca_f1", "higher", "Harmonic mean of the two, of every example; then their mean."),
        Metric("tree_distance_of_errors", "lower", "Steps from a wrong lowest label to the nearest true one, in mean."),
        Metric("violations", "lower", "Share of the predicted labels below others that lack one right above them."),
    )
}
