"""Evaluation of a trained encoder or model: probe, thresholds, metrics, and measures of the embeddings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped

from labelcontrast.data.batches import dense_truth, encode_labels
from labelcontrast.data.examples import Examples
from labelcontrast.data.readers import read
from labelcontrast.errors import ConfigError, DataError
from labelcontrast.files import write_json
from labelcontrast.labels.hierarchy import LabelTree
from labelcontrast.metrics.counting import Matrix, TrainingLabels, in_blocks
from labelcontrast.metrics.hierarchical import HierarchicalMetrics, LevelMetrics
from labelcontrast.metrics.measures import LabelRow, Outputs, StreamedMetrics, compute_metrics, measure
from labelcontrast.metrics.neighbours import (
    cluster_nmi,
    level_retrieval,
    neighbour_scores,
    neighbourhood_purity,
    retrieval,
)
from labelcontrast.metrics.representation import describe_representation
from labelcontrast.probes.blend import Blend, fit_blend
from labelcontrast.probes.calibration import Calibration, fit_calibration, reliability
from labelcontrast.probes.decoding import level_thresholds
from labelcontrast.probes.linear import Classifier
from labelcontrast.probes.published import fit_probe
from labelcontrast.probes.thresholds import Thresholds, choose_thresholds
from labelcontrast.probes.views import PROBE, VIEWS_BY_NAME, View
from labelcontrast.reports.projection import FEWEST_POINTS, project
from labelcontrast.run.examples import example_titles
from labelcontrast.run.folder import OUTPUTS, PER_LABEL, PER_NODE, SCATTER, load_training_labels
from labelcontrast.run.hierarchy import UnseenLeaves
from labelcontrast.run.inputs import RunInputs
from labelcontrast.run.model import (
    HierarchyDecoder,
    ModelInputs,
    TrainedModel,
    as_examples,
    blend_views,
    decide,
    final_scores,
    load,
    save_model,
    split_chunks,
    view_logits,
    view_rows,
)
from labelcontrast.settings import EvaluationSettings, HierarchySettings
from labelcontrast.training.features import stored_features

Labels = Shaped[np.ndarray, "examples labels"]
Features = Mapping[str, Float[np.ndarray, "examples dim"]]
"""Embeddings by split."""
AUTO_VIEWS: dict[str, tuple[str, ...]] = {
    "text": ("neighbours", "words"),
    "vector": ("neighbours", "trees"),
    "image": ("neighbours", "trees"),
}
"""The views beside the probe that a kind of input has by default, chosen in ``benchmarks/views.py``."""
BLOCK = 2**20
"""Pairs of an example and a node that are counted together."""
BINS, FEWEST_BINS = 2**22, 2**11
"""Bins of the histograms that average precision is computed from: of all labels together (64 MiB), and of each."""


@dataclass(frozen=True, kw_only=True)
class RunEvaluation:
    """The model of a run with its metrics on validation and test."""

    model: TrainedModel
    outputs: Outputs
    """Labels, scores and predictions of the test examples."""
    metrics: dict[str, dict[str, float]]
    """Values of ``compute_metrics``, keyed by split."""
    per_label: list[LabelRow]
    reliability: dict[str, dict[str, Any]]
    """Diagrams of the test probabilities: ``as said`` for uncalibrated ones, and ``calibrated``."""
    views: dict[str, dict[str, Any]] | None = None
    """For each view that is blended its mean ``share`` in the weights, and its own metrics of ``test``."""
    hierarchy: dict[str, Any] | None = None
    """Hierarchical metrics keyed by split, and the ``source`` of the hierarchy."""
    per_node: list[dict[str, Any]] | None = None

    def save(self, folder: str | Path) -> None:
        """Write the model, the test outputs, and the tables by label and by node into a run folder."""
        folder = Path(folder)
        save_model(folder, self.model)
        self.outputs.save(folder / OUTPUTS)
        write_json(folder / PER_LABEL, [asdict(row) for row in self.per_label])
        if self.per_node is not None:
            write_json(folder / PER_NODE, self.per_node)


@dataclass(frozen=True, eq=False)
class ModelEvaluation(Mapping[str, Any]):
    """Metrics of a model on labelled examples; also a mapping of metric names, with ``hierarchy`` where there is one.

    Example:
        >>> found = ModelEvaluation({"micro_f1": 0.5}, {"lca_f1": 0.4})
        >>> found["micro_f1"], found["hierarchy"]["lca_f1"]
        (0.5, 0.4)
    """

    metrics: dict[str, float]
    """As ``compute_metrics`` returns them."""
    hierarchy: dict[str, Any] | None = None
    """As ``StreamedHierarchicalMetrics`` returns them, where the model has a hierarchy."""

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401
        """Return one metric, or those over the hierarchy."""
        if name == "hierarchy" and self.hierarchy is not None:
            return self.hierarchy
        return self.metrics[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*self.metrics, *(() if self.hierarchy is None else ("hierarchy",))])

    def __len__(self) -> int:
        return len(self.metrics) + (self.hierarchy is not None)


def compute_split_features(
    path: str | Path, inputs: RunInputs, *, with_train: bool, device: str = "cpu"
) -> dict[str, Float[np.ndarray, "examples dim"]]:
    """Compute the embeddings of every split, or read them from a file that has them.

    Args:
        path: The file.
        inputs: The encoder and the examples.
        with_train: Include the training split, which is needed only if something is fitted or searched there.
        device: Where the encoder runs.
    """
    wanted = {name: split for name, split in inputs.prepared.items() if with_train or name != "train"}
    inputs.encoder.to(device)
    features = stored_features(Path(path), inputs.encoder, wanted)
    inputs.encoder.cpu()
    return features


def fit_classifier(settings: EvaluationSettings, inputs: RunInputs, features: Features, *, seed: int) -> Classifier:
    """Fit the probe that the settings name on frozen features; its hyper-parameters are selected on validation."""
    given = {
        "rates": settings.probe_rates,
        "decays": settings.probe_decays,
        "optimiser": settings.probe_optimiser,
        "batch_size": settings.probe_batch_size,
        "precision": settings.probe_precision,
    }
    changes = {name: value for name, value in given.items() if value}
    splits = features["train"], inputs.truth("train"), features["val"], inputs.truth("val")
    weights = inputs.prepared["train"].weights, inputs.prepared["val"].weights
    generator = torch.Generator().manual_seed(seed)
    return fit_probe(settings.probe, *splits, generator=generator, changes=changes, weights=weights)


def evaluate_inputs(
    settings: EvaluationSettings,
    hierarchy: HierarchySettings,
    inputs: RunInputs,
    classifier: Classifier,
    features: Features,
    *,
    seed: int,
) -> RunEvaluation:
    """Fit the views on train; blend, calibration and thresholds on validation; and measure validation and test."""
    tree = inputs.data.tree
    parts = {"val": inputs.splits.val, "test": inputs.splits.test}
    truth = {name: inputs.truth(name) for name in parts}
    chosen = chosen_views(settings, inputs)
    views = fit_views(chosen, inputs, features, seed=seed)
    logits = {name: view_logits(chosen, classifier, views, part, features[name]) for name, part in parts.items()}
    given = _for_blend(inputs)
    blend = None if chosen == (PROBE,) else fit_blend(truth["val"], logits["val"], **given)
    probabilities = {name: blend_views(blend, one) for name, one in logits.items()}
    decoder = None if tree is None else HierarchyDecoder(tree, hierarchy)
    decided = fit_decisions(settings, truth, probabilities, decoder, given["weights"])
    fitted = decided.thresholds, decided.calibration, decoder, views, blend
    model = TrainedModel(inputs.encoder, classifier, inputs.splits.vocabulary, *fitted)
    return measure_model(settings, inputs, model, logits, decided)


def measure_model(
    settings: EvaluationSettings,
    inputs: RunInputs,
    model: TrainedModel,
    logits: Mapping[str, Mapping[str, Matrix]],
    decided: "Decisions",
) -> RunEvaluation:
    """Measure a model on validation and test.

    Args:
        settings: Calibration and the rule of the thresholds, by which each view is measured alone.
        inputs: The examples.
        model: The model.
        logits: Of its views, by split and view.
        decided: Its scores and label sets.
    """
    tree, names, blend, decoder = inputs.data.tree, inputs.splits.vocabulary.names, model.blend, model.decoder
    truth, train = {name: inputs.truth(name) for name in logits}, TrainingLabels.of(inputs.labels("train"))
    measured = {name: measure(truth[name], *decided.of(name), train=train) for name in truth}
    diagrams = {"as said": blend_views(blend, logits["test"])} | (
        {"calibrated": decided.scores["test"]} if decided.calibration else {}
    )
    counted = {name: StreamedHierarchicalMetrics(tree) for name in truth} if tree is not None else {}
    for name, one in counted.items():
        one.update(truth[name], decided.predictions[name])
    over_hierarchy = {"source": inputs.data.source, **{name: one.measures() for name, one in counted.items()}}
    return RunEvaluation(
        model=model,
        outputs=Outputs(truth["test"], *decided.of("test")),
        metrics={name: one.metrics for name, one in measured.items()},
        per_label=measured["test"].rows(names, train_counts=train.counts, thresholds=decided.thresholds.values),
        reliability={name: reliability_diagram(truth["test"], one) for name, one in diagrams.items()},
        views=measure_views(settings, blend, logits, truth, decoder=decoder, **_for_blend(inputs)) if blend else None,
        hierarchy=over_hierarchy if counted else None,
        per_node=counted["test"].per_node() if counted else None,
    )


def _for_blend(inputs: RunInputs) -> dict[str, Any]:
    """Return the frequency of the labels in training, and the weights of the validation examples."""
    train, own = TrainingLabels.of(inputs.labels("train")), inputs.prepared["train"].weights
    positives = train.counts if own is None else own @ inputs.labels("train")
    frequency = (positives + 0.5) / ((train.examples if own is None else own.sum()) + 1)
    return {"frequency": frequency, "weights": inputs.prepared["val"].weights}


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """Label sets of each split, with the scores they follow from, and what was fitted on validation to make them."""

    calibration: Calibration | None
    thresholds: Thresholds
    scores: dict[str, Matrix]
    predictions: dict[str, Matrix]

    def of(self, split: str) -> tuple[Matrix, Matrix]:
        """Return the scores and the predictions of a split."""
        return self.scores[split], self.predictions[split]


def fit_decisions(
    settings: EvaluationSettings,
    truth: Mapping[Any, Matrix],
    probabilities: Mapping[Any, Matrix],
    decoder: HierarchyDecoder | None,
    weights: Float[np.ndarray, " val"] | None = None,
) -> Decisions:
    """Fit calibration and thresholds on the split ``val``, and apply them to all splits.

    Args:
        settings: Calibration and the rule of the thresholds.
        truth: Labels by split.
        probabilities: Of the same examples.
        decoder: Makes scores and predictions consistent with a hierarchy.
        weights: Of the examples of ``val``; by default each counts once.
    """
    method, val = settings.calibration, (truth["val"], probabilities["val"])
    calibration = None if method == "none" else fit_calibration(*val, method=method, weights=weights)
    scores = {split: final_scores(one, calibration, decoder) for split, one in probabilities.items()}
    thresholds = fit_thresholds(settings, truth["val"], scores["val"], decoder.tree if decoder else None, weights)
    return decisions(calibration, thresholds, scores, decoder)


def decisions(
    calibration: Calibration | None,
    thresholds: Thresholds,
    scores: dict[str, Matrix],
    decoder: HierarchyDecoder | None,
) -> Decisions:
    """Decide the label sets of every split from final scores."""
    predictions = {split: _predictions(one, thresholds, decoder) for split, one in scores.items()}
    return Decisions(calibration=calibration, thresholds=thresholds, scores=scores, predictions=predictions)


def _predictions(scores: Matrix, thresholds: Thresholds, decoder: HierarchyDecoder | None) -> Matrix:
    """Turn scores into label sets, all labels of some examples at a time."""
    return in_blocks(scores.shape, lambda rows, columns: decide(scores[rows], thresholds, decoder)[:, columns])


def chosen_views(settings: EvaluationSettings, inputs: RunInputs) -> tuple[str, ...]:
    """Return the views that the settings name; under ``auto``, those that pay for the kind of the inputs.

    Raises:
        ConfigError: A view does not read inputs of this kind.
    """
    kind = inputs.encoder.kind
    if isinstance(settings.views, str):
        beside = AUTO_VIEWS[kind] if settings.probe == "newton" else ()
        return (PROBE, *beside)
    for name in settings.views:
        if name != PROBE and kind not in VIEWS_BY_NAME[name].kinds:
            reads = " and ".join(VIEWS_BY_NAME[name].kinds)
            raise ConfigError(f'the view "{name}" of evaluation.views reads {reads} inputs. Got {kind} inputs.')
    return settings.views


def fit_views(names: Sequence[str], inputs: RunInputs, features: Features, *, seed: int) -> dict[str, View]:
    """Fit the views beside the probe on the training examples."""
    fitted = {}
    for name in names:
        if name != PROBE:
            view = VIEWS_BY_NAME[name]
            rows = view_rows(view, inputs.splits.train, features.get("train"))
            fitted[name] = view.fit(rows, inputs.truth("train"), seed=seed, weights=inputs.prepared["train"].weights)
    return fitted


def measure_views(
    settings: EvaluationSettings,
    blend: Blend,
    logits: Mapping[str, Mapping[str, Matrix]],
    truth: Mapping[str, Matrix],
    *,
    decoder: HierarchyDecoder | None,
    frequency: Float[np.ndarray, " labels"],
    weights: Float[np.ndarray, " val"] | None = None,
) -> dict[str, dict[str, Any]]:
    """Measure each view alone on test, with everything fitted on validation as for the blend.

    Args:
        settings: Calibration and the rule of the thresholds.
        blend: Of the views.
        logits: By split and view.
        truth: Labels by split.
        decoder: Makes scores and predictions consistent with a hierarchy.
        frequency: Share of the training examples with the label.
        weights: Of the examples of ``val``; by default each counts once.

    Returns:
        For each view its mean ``share`` in the weights of the blend, and its metrics of ``test``.
    """
    measured = {}
    for name, share in blend.shares.items():
        alone = fit_blend(truth["val"], {name: logits["val"][name]}, frequency=frequency, weights=weights)
        scores = {split: blend_views(alone, logits[split]) for split in truth}
        decided = fit_decisions(settings, truth, scores, decoder, weights)
        measured[name] = {"share": share, "test": compute_metrics(truth["test"], *decided.of("test"))}
    return measured


def evaluate(
    model: TrainedModel | str | Path, examples: ModelInputs | str | Path, *, train: TrainingLabels | None = None
) -> ModelEvaluation:
    """Measure a model on labelled examples, a chunk at a time, so that memory does not grow with their number.

    Args:
        model: A trained model, or its run folder.
        examples: ``Examples`` with labels, unknown values of which are left out; or a file, all of which is read.
        train: Label frequencies in training, by default those of the run folder if one is given; without them head,
            medium, tail and ``psp@k`` are left out.

    Returns:
        The metrics of ``compute_metrics``; the two mean average precisions come from histograms that are exact to four
        digits for up to a thousand labels. Where the model has a hierarchy, the metrics over it as well.

    Raises:
        LabelError: A label is unknown to the run.
        DataError: The examples have no labels.
    """
    if isinstance(model, str | Path):
        train = load_training_labels(model) if train is None else train
        model = load(model)
    examples = as_examples(read(examples) if isinstance(examples, str | Path) else examples, model.encoder)
    check_labelled(model, examples)
    chunks = split_chunks(examples, len(model.labels))
    return measure_outputs(model, (compute_outputs(model, chunk) for chunk in chunks), train=train)


def check_labelled(model: TrainedModel, examples: Examples) -> None:
    """Refuse examples without labels, or with one that the run does not know, before the work.

    Raises:
        DataError: They have no labels.
        LabelError: A label is unknown.
    """
    if examples.label_sets is None:
        message = "has no labels to evaluate against."
        raise DataError(message, path=examples.origin)
    model.vocabulary.encode(examples.label_sets, where=examples.where_labels)


def compute_outputs(model: TrainedModel, examples: Examples) -> Outputs:
    """Return the labels, scores and predictions of examples."""
    scores = model.predict_proba(examples)
    return Outputs(dense_truth(*encode_labels(examples, model.vocabulary)), scores, model.decide(scores))


def measure_outputs(
    model: TrainedModel, outputs: Iterable[Outputs], *, train: TrainingLabels | None = None
) -> ModelEvaluation:
    """Compute the metrics of outputs of a model, of which one is in memory at a time; see ``evaluate``."""
    number, decoder = len(model.labels), model.decoder
    streamed = StreamedMetrics(number, train=train, bins=max(BINS // number, FEWEST_BINS))
    over_hierarchy = None if decoder is None else StreamedHierarchicalMetrics(decoder.tree)
    for one in outputs:
        truth = one.labels if decoder is None else decoder.close_labels(one.labels[:])
        streamed.update(truth, one.scores, one.predictions)
        if over_hierarchy is not None:
            over_hierarchy.update(one.labels, one.predictions)
    return ModelEvaluation(streamed.measures(), None if over_hierarchy is None else over_hierarchy.measures())


def fit_thresholds(
    settings: EvaluationSettings,
    labels: Matrix,
    scores: Matrix,
    tree: LabelTree | None,
    weights: Float[np.ndarray, " val"] | None = None,
) -> Thresholds:
    """Choose the thresholds on validation, by the rule of the settings."""
    if settings.threshold == "per_level":
        assert tree is not None, "thresholds by level without a hierarchy are refused when the data are read"
        return replace(level_thresholds(labels, scores, tree.depths), empty=settings.empty)
    how: dict[str, Any] = {"top_k": settings.top_k, "empty": settings.empty, "weights": weights}
    return choose_thresholds(settings.threshold, labels, scores, **how)


def reliability_diagram(labels: Matrix, scores: Matrix) -> dict[str, Any]:
    """Compare probabilities with observed frequencies by bin, over all pairs; with the calibration errors."""
    found = reliability(labels, scores)
    errors = {"error": found.error, "error_by_label": found.by_label.tolist()}
    return {"count": found.count.tolist(), "said": found.predicted.tolist(), "true": found.true.tolist(), **errors}


def describe_embeddings(
    settings: EvaluationSettings, inputs: RunInputs, features: Features, *, seed: int
) -> dict[str, Any]:
    """Measure the test embeddings without a probe; by nearest neighbours too, if the settings ask for them."""
    truth, test = inputs.truth("test"), features["test"]
    found: dict[str, Any] = describe_representation(test, truth, generator=np.random.default_rng(seed))
    count = min(settings.neighbours, len(inputs.prepared["train"]), len(inputs.prepared["test"]) - 1)
    if count:
        scores = {
            name: neighbour_scores(features["train"], inputs.truth("train")[:], features[name], neighbours=count)
            for name in ("val", "test")
        }
        thresholds = fit_thresholds(settings, inputs.truth("val"), scores["val"], inputs.data.tree)
        purity = neighbourhood_purity(test, truth[:], neighbours=count)
        found["neighbours"] = compute_metrics(truth, scores["test"], thresholds.predict(scores["test"]))
        found["purity"] = dict(zip(inputs.splits.vocabulary.names, purity.tolist(), strict=True))
    return found


def save_scatter(
    folder: str | Path, settings: EvaluationSettings, inputs: RunInputs, embeddings: np.ndarray, *, seed: int
) -> None:
    """Project the test embeddings to the plane and write them with their labels; nothing for very few examples.

    Each has a title, its id and the beginning of its text, unless the settings keep examples out of the folder.
    """
    if len(embeddings) < FEWEST_POINTS:
        return
    drawn = project(embeddings, generator=np.random.default_rng(seed), method=settings.map)
    label_sets = inputs.splits.test.label_sets or []
    scatter = {
        "method": drawn.method,
        "points": drawn.coordinates.round(4).tolist(),
        "labels": [list(label_sets[index]) for index in drawn.chosen],
        "levels": [] if inputs.data.tree is None else _nodes_by_level(inputs, inputs.data.tree, drawn.chosen),
    }
    if settings.examples:
        scatter["titles"] = example_titles(inputs.splits.test, drawn.chosen)
    write_json(Path(folder) / SCATTER, scatter)


def evaluate_unseen(inputs: RunInputs, features: Features, *, seed: int) -> dict[str, Any]:
    """Measure the embeddings of seen and of unseen leaves, if some are held out."""
    data = inputs.data
    if data.tree is None or data.unseen is None:
        return {}
    return measure_unseen(data.tree, inputs.truth("test"), data.unseen, features, seed=seed)


def measure_unseen(
    tree: LabelTree, labels: Matrix, unseen: UnseenLeaves, features: Features, *, seed: int
) -> dict[str, Any]:
    """Measure embeddings by retrieval and by clustering, on seen and on unseen leaves.

    Args:
        tree: Over the labels that were trained on.
        labels: Of the test examples, 0 or 1; NaN if unknown.
        unseen: The test examples of leaves that were held out.
        features: Of ``test`` and ``unseen``.
        seed: Of the clustering.

    Returns:
        The leaves ``held_out``; for ``seen`` and ``unseen`` the measures of each level, from the roots on; and as
        ``unseen_leaves`` those of the held-out leaves alone.
    """
    leaves = unseen.labels[:, [unseen.tree.nodes.vocabulary.column[name] for name in unseen.leaves]]
    own = features["unseen"]
    return {
        "held_out": list(unseen.leaves),
        "seen": level_retrieval(features["test"], tree.close_soft(labels[:]), tree.nodes.depths, seed=seed),
        "unseen": level_retrieval(own, unseen.labels, unseen.tree.nodes.depths, seed=seed),
        "unseen_leaves": {**retrieval(own, leaves), "nmi": cluster_nmi(own, leaves, seed=seed)},
    }


class StreamedHierarchicalMetrics:
    """Metrics over all nodes of a hierarchy, from batches of label sets and predictions, in bounded memory.

    The true label sets are closed; an ancestor of an unknown label is unknown too, unless another label implies it. A
    node that is not a label counts as predicted if a label below it is; labels are taken as predicted, so a label that
    is predicted without its parent costs on the level of the parent.

    Args:
        tree: Over the labels.
        resamples: Number of resamples of the examples that are measured; 1 measures the examples themselves.
    """

    def __init__(self, tree: LabelTree, *, resamples: int = 1) -> None:
        self._tree = tree
        self._whole = HierarchicalMetrics(tree.nodes.parents, resamples=resamples)
        self._levels = LevelMetrics(tree.nodes.depths, resamples=resamples)

    def update(
        self, labels: Matrix, predictions: Matrix, counts: Shaped[np.ndarray, "resamples examples"] | None = None
    ) -> None:
        """Count a batch, some rows at a time.

        Args:
            labels: True labels, 0 or 1; NaN if unknown.
            predictions: Predicted labels, 0 or 1.
            counts: How often each example is in each resample; by default once.
        """
        step = max(1, BLOCK // len(self._tree.nodes))
        for at in range(0, len(labels), step):
            true = self._tree.close_soft(labels[at : at + step])
            predicted = self._tree.imply(predictions[at : at + step])
            weights = None if counts is None else counts[:, at : at + step]
            self._whole.update(true, predicted, weights)
            self._levels.update(true, predicted, weights)

    def measures(self) -> dict[str, Any]:
        """Compute the measures of ``HIERARCHICAL_METRICS``, and as ``levels`` those of each level from the roots on."""
        sizes = np.bincount(self._tree.nodes.depths).tolist()
        levels = zip(sizes, self._levels.measures(), strict=True)
        found: dict[str, Any] = self._whole.measures()
        return {**found, "levels": [{"nodes": size, **level} for size, level in levels]}

    def resampled(self) -> dict[str, Float[np.ndarray, " resamples"]]:
        """Compute the measures of every resample; those of levels are named ``level_0_macro_f1`` and so on."""
        levels = enumerate(self._levels.resampled())
        of_levels = {f"level_{place}_{name}": values for place, level in levels for name, values in level.items()}
        return self._whole.resampled() | of_levels

    def per_node(self) -> list[dict[str, Any]]:
        """List every node with its parents, its level, its number of positive examples, and its F1."""
        nodes, counted = self._tree.nodes, self._levels
        parents = nodes.vocabulary.decode(nodes.parents)
        support, f1 = counted.support.astype(int).tolist(), counted.f1.tolist()
        columns = (nodes.names, parents, nodes.depths.tolist(), support, f1)
        names = ("node", "parents", "level", "support", "f1")
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _nodes_by_level(inputs: RunInputs, tree: LabelTree, chosen: np.ndarray) -> list[list[list[str]]]:
    """List, for each level, the nodes on it that each of some test examples has."""
    closed = tree.close(inputs.labels("test")[chosen].toarray()).toarray()
    depths, decode = tree.nodes.depths, tree.nodes.vocabulary.decode
    return [[list(nodes) for nodes in decode(closed * (depths == level))] for level in range(int(depths.max()) + 1)]
