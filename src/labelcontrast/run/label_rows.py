"""The rows of one label in every view of a trained model, fitted on the features that its run keeps; all others stay.

The probe, the neighbours, the words and the trees each get a row for the label, the blend its weights, and the label a
threshold. What the row is worth is measured on examples that it was not fitted on: those of validation, and the given
ones in folds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from labelcontrast.data.batches import encode_labels
from labelcontrast.data.doctor.duplicates import fingerprints
from labelcontrast.data.examples import Examples
from labelcontrast.errors import DataError
from labelcontrast.metrics.ranking import weighted_average_precision
from labelcontrast.probes.blend import calibrating_bias
from labelcontrast.probes.linear import append_label, fit_linear_probe, select_labels
from labelcontrast.probes.views import PROBE
from labelcontrast.run.evaluation import (
    Features,
)
from labelcontrast.run.inputs import RunData, RunInputs
from labelcontrast.run.model import (
    TrainedModel,
    blend_views,
    final_scores,
    view_logits,
    view_rows,
)

STRENGTH = 0.003
"""Penalty of the row of a label in the probe; too few examples would choose one."""
NEGATIVES = 10_000
"""Training examples without a label, at most, that its rows are fitted on."""
FOLDS = 5
FEWEST = 2
"""Examples of a new label: one to fit on, and one to measure on."""
Labels = Shaped[np.ndarray, "examples labels"]
Logits = dict[str, dict[str, Labels]]
"""By split and view."""


def fit_label(
    before: TrainedModel,
    model: TrainedModel,
    inputs: RunInputs,
    features: Features,
    name: str,
    *,
    trained_on: RunData,
    added: bool,
    frequency: float | None,
    seed: int,
) -> tuple[TrainedModel, Logits, dict[str, Any]]:
    """Fit a label; return the model, its logits on validation and test, and what was measured.

    Args:
        before: The model of the run.
        model: The same model with the vocabulary and the decoder of the version.
        inputs: The data of the version.
        features: Their embeddings.
        name: The label.
        trained_on: The data of the run.
        added: It is a new one; of one that is merged, all examples tell whether they have it.
        frequency: Of a new label.
        seed: Of the folds and of the examples without the label that it is fitted on.

    Raises:
        DataError: Too few examples have the label, or all have it.
    """
    train, truth = inputs.splits.train, inputs.truth("train")[:].astype(np.float64)
    old, column = before.labels, model.vocabulary.column[name]
    labels, known = truth[:, column], len(trained_on.splits.train)
    appended = np.arange(len(labels)) >= known
    given = (appended | (labels == 1)) if added else np.zeros_like(appended)
    positives = int((labels == 1).sum())
    if added and positives < FEWEST:
        raise DataError(f'"{name}" needs {FEWEST} examples that have it, or more. Got {positives}.')
    if not 0 < positives < len(labels):
        raise DataError(f'{positives} of {len(labels)} training examples would have "{name}"; nothing can be learned.')
    share = positives / len(labels)
    if frequency is None:
        usual = float(encode_labels(trained_on.splits.train, before.vocabulary)[0].mean())
        frequency = max(share, usual) if added else share

    rows = _Rows.of(labels, given, seed=seed)
    fitted, held_out = {}, {}
    for view in dict.fromkeys((PROBE, *model.views)):
        fitted[view], held_out[view] = rows.fit(view, before, train, features["train"])
    new = train.select(np.flatnonzero(appended))
    named = truth[appended][:, [model.vocabulary.column.get(one, column) for one in old]]
    older = np.where(np.isnan(named), before.predict(new), named)
    probe, thresholds = fitted.pop(PROBE), before.thresholds
    grown = replace(
        model,
        classifier=append_label(before.classifier, probe.weight[0], float(probe.bias[0])),
        calibration=before.calibration and before.calibration.with_label(),
        thresholds=replace(thresholds, values=np.append(thresholds.values, 0.5)),
        other_views={view: before.other_views[view].with_label(one, older) for view, one in fitted.items()},
    )
    logits = compute_logits(grown, inputs.data, features)
    sample = _Sample.of(
        inputs, column, train.select(np.flatnonzero(given)), labels[given], frequency if added else None
    )
    own = {view: np.concatenate([logits["val"][view][:, -1], held_out[view]]) for view in model.views}
    if grown.blend is not None:
        grown = replace(grown, blend=grown.blend.with_label(own, frequency=frequency, weights=sample.weights))
    else:
        shift = calibrating_bias(own[PROBE], frequency=frequency, weights=sample.weights)
        grown = replace(
            grown, classifier=append_label(before.classifier, probe.weight[0], float(probe.bias[0]) + shift)
        )
        logits = compute_logits(grown, inputs.data, features)
        held_out[PROBE] += shift
    earlier = before.view_logits(sample.given)
    hidden = {view: np.column_stack([earlier[view][:], held_out[view]]) for view in model.views}
    order = [len(old) if one == name else before.vocabulary.column[one] for one in model.labels]
    grown = select_rows(grown, order)
    logits = {part: {view: one[:, order] for view, one in found.items()} for part, found in logits.items()}
    scores = np.concatenate(
        [
            final_scores(blend_views(grown.blend, one), grown.calibration, grown.decoder)[:, column]
            for one in (logits["val"], {view: one[:, order] for view, one in hidden.items()})
        ]
    ).astype(np.float64)
    threshold = sample.threshold(scores, grown, column)
    grown.thresholds.values[column] = threshold
    facts = {
        "positives": positives,
        "negatives": int((labels[given] == 0).sum()),
        "frequency": frequency,
        "threshold": threshold,
        "measured": sample.measure(scores, threshold),
    }
    return grown, logits, facts


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """The training examples that a label is fitted on, and the folds of those that it is measured on."""

    labels: Float[np.ndarray, " train"]
    folds: Int[np.ndarray, " train"]
    """-1 where an example is in every fit."""
    some: Int[np.ndarray, " rows"]
    """All with the label or a fold, and as many others as there may be."""
    seed: int

    @classmethod
    def of(cls, labels: Float[np.ndarray, " train"], given: Bool[np.ndarray, " train"], *, seed: int) -> "_Rows":
        """Draw folds, those with the label and those without it alike, and the others."""
        generator = np.random.default_rng(seed)
        folds = np.full(len(labels), -1)
        for value in (0, 1):
            rows = generator.permutation(np.flatnonzero(given & (labels == value)))
            folds[rows] = np.arange(len(rows)) % FOLDS
        others = generator.permutation(np.flatnonzero(~given & (labels == 0)))[:NEGATIVES]
        some = np.sort(np.concatenate([others, np.flatnonzero(given | (labels == 1))]))
        return cls(labels=labels, folds=folds, some=some, seed=seed)

    def fit(
        self, name: str, model: TrainedModel, train: Examples, embeddings: Float[np.ndarray, "train dim"]
    ) -> tuple[Any, Float[np.ndarray, " given"]]:
        """Fit a row of a view; return it with the scores of the examples with a fold, by rows fitted without them."""
        view = None if name == PROBE else model.other_views[name]
        keeps_examples = view is not None and view.reads == "embeddings"
        rows = np.arange(len(self.labels)) if keeps_examples else self.some
        ready: Any = embeddings[rows]
        if view is not None:
            ready = view.prepare(view_rows(view, train.select(rows), embeddings[rows]))
        labels, folds = self.labels[rows], self.folds[rows]

        def fit(kept: Bool[np.ndarray, " rows"]) -> Any:  # noqa: ANN401
            if view is not None:
                return view.fit_label(ready[kept], labels[kept], seed=self.seed)
            fitted = ready[kept], labels[kept, None]
            return fit_linear_probe(*fitted, *fitted, strengths=(STRENGTH,))

        scores = np.full(len(rows), np.nan)
        for fold in range(folds.max() + 1):
            hidden = folds == fold
            one = fit(~hidden)
            scores[hidden] = (one.scores if view is None else one.score)(ready[hidden])[:, 0]
        return fit(np.ones(len(rows), dtype=bool)), scores[folds >= 0]


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """Examples that no row of a label is fitted on: those of validation, and the given ones in folds."""

    given: Examples
    labels: Float[np.ndarray, " sample"]
    weights: Float[np.ndarray, " sample"]
    """How often each counts, so that the label has its frequency; 0 where it is not known."""

    @classmethod
    def of(
        cls,
        inputs: RunInputs,
        column: int,
        given: Examples,
        labels: Float[np.ndarray, " given"],
        frequency: float | None,
    ) -> "_Sample":
        """Take validation as it is; or, with the frequency of a new label, as examples without it."""
        truth = inputs.truth("val")[:, column].astype(np.float64)
        weights = np.concatenate([np.where(np.isnan(truth), 0.0, 1.0), np.ones(len(labels))])
        true = np.concatenate([np.nan_to_num(truth), labels])
        if frequency is not None:
            repeated = set(fingerprints(given))
            weights[: len(truth)] = [key not in repeated for key in fingerprints(inputs.splits.val)]
            weights[true == 1] *= frequency / (1 - frequency) * weights[true == 0].sum() / (true == 1).sum()
        return cls(given=given, labels=true, weights=weights)

    def threshold(self, scores: Float[np.ndarray, " sample"], model: TrainedModel, column: int) -> float:
        """Choose the threshold of the label as the rule of the others asks: a common one, or half of the best F1."""
        rule, others = model.thresholds, np.delete(model.thresholds.values, column)
        if rule.most is not None or rule.expected_f1:
            return 0.0
        if rule.how in ("fixed", "global"):
            return float(others[0]) if len(others) else 0.5
        if rule.how == "level" and model.decoder is not None:
            depths = model.decoder.tree.depths
            beside = others[np.delete(depths, column) == depths[column]]
            if len(beside):
                return float(beside[0])
        positive = self.weights * self.labels
        if not positive.any():
            return float(np.median(others)) if len(others) else 0.5
        order = np.argsort(-scores, kind="stable")
        hits, claimed = positive[order].cumsum(), self.weights[order].cumsum()
        return float((hits / (claimed + positive.sum())).max())

    def measure(self, scores: Float[np.ndarray, " sample"], threshold: float) -> dict[str, float] | None:
        """Compute precision, recall, F1 and average precision; None where no example has the label."""
        positive, predicted = self.weights * self.labels, scores > threshold
        if not positive.any():
            return None
        hits, claimed = float(positive[predicted].sum()), float(self.weights[predicted].sum())
        return {
            "precision": hits / claimed if claimed else 0.0,
            "recall": hits / float(positive.sum()),
            "f1": 2 * hits / (claimed + float(positive.sum())),
            "average_precision": float(weighted_average_precision(self.labels, scores, self.weights[None])[0]),
        }


def compute_logits(model: TrainedModel, data: RunData, features: Features) -> Logits:
    """Compute the logits of every view on validation and test."""
    views = model.views, model.classifier, model.other_views
    found = {name: view_logits(*views, data.splits.by_name[name], features[name]) for name in ("val", "test")}
    return {name: {view: one[:] for view, one in own.items()} for name, own in found.items()}


def select_rows(model: TrainedModel, columns: Sequence[int]) -> TrainedModel:
    """Return the rows of some labels, in this order; vocabulary and decoder stay."""
    return replace(
        model,
        classifier=select_labels(model.classifier, columns),
        thresholds=replace(model.thresholds, values=model.thresholds.values[columns]),
        calibration=model.calibration and model.calibration.select(columns),
        other_views={name: view.select(columns) for name, view in model.other_views.items()},
        blend=model.blend and model.blend.select(columns),
    )
