"""A trained model: loaded from a run folder, it predicts labels, probabilities and embeddings of new inputs."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import safetensors.torch
import scipy.sparse as sp
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from labelcontrast.data.batches import prepare
from labelcontrast.data.examples import Examples
from labelcontrast.data.picture_files import picture_problem
from labelcontrast.encoders.base import Encoder
from labelcontrast.encoders.registry import load_encoder
from labelcontrast.encoders.vision import describe_pictures
from labelcontrast.errors import DataError, LabelError, RunError
from labelcontrast.files import read_json, whole_file, write_json
from labelcontrast.labels.consistency import consistent
from labelcontrast.labels.hierarchy import LabelTree
from labelcontrast.labels.hierarchy_files import read_hierarchy, write_hierarchy
from labelcontrast.labels.vocabulary import LabelVocabulary
from labelcontrast.metrics.counting import ALL, PAIRS_KEPT, Matrix, Places, in_blocks, row_blocks
from labelcontrast.probes.blend import Blend
from labelcontrast.probes.calibration import Calibration
from labelcontrast.probes.decoding import all_paths, best_path
from labelcontrast.probes.linear import Classifier, build_classifier, head_logits
from labelcontrast.probes.thresholds import Thresholds
from labelcontrast.probes.views import PROBE, VIEWS_BY_NAME, View
from labelcontrast.progress import tracked
from labelcontrast.run.explanation import Explanation, Neighbour, explain, neighbours
from labelcontrast.run.folder import (
    BLEND,
    CALIBRATION,
    CONFIG,
    ENCODER,
    HIERARCHY,
    LABELS,
    MODEL,
    MODEL_FILES,
    THRESHOLDS,
    VIEWS,
    check_files,
    is_finished,
    load_settings,
    undamaged,
)
from labelcontrast.settings import HierarchySettings
from labelcontrast.training.features import compute_features

CHUNK = 4096
"""Examples that are prepared and scored together, so that memory does not grow with the input."""
ModelInputs: TypeAlias = Examples | Sequence[str | Path] | Shaped[np.ndarray, "examples dim"] | sp.csr_array
"""Texts, paths of pictures, features as an array or sparse matrix, or examples as a reader returns them."""


def load(run: str | Path) -> "TrainedModel":
    """Load the model of a finished run. Nothing is downloaded, and no code from the folder is executed.

    Args:
        run: The run folder.

    Raises:
        RunError: The folder is not a finished run; a file of it is missing, cut or changed; or its files do not fit
            one another.

    Example:
        >>> model = load("run")  # doctest: +SKIP
        >>> model.predict_sets(["The striker scored twice."])  # doctest: +SKIP
        [['sports']]
    """
    folder = Path(run)
    if not is_finished(folder) or not (folder / MODEL).exists():
        raise RunError(f"{folder} {_why_no_model(folder)}.")
    check_files(folder, MODEL_FILES)
    with undamaged(folder):
        weights = safetensors.torch.load_file(folder / MODEL)
        if wrong := next((name for name, tensor in weights.items() if not tensor.isfinite().all()), None):
            raise ValueError(f"{wrong} in {MODEL} has numbers that are not finite")
        encoder = load_encoder(folder / ENCODER, read_json(folder / ENCODER / "settings.json"))
        encoder.load_state_dict(_with_prefix(weights, "encoder."))
        classifier = build_classifier(**_with_prefix(weights, "classifier."))
        vocabulary = LabelVocabulary.load(folder / LABELS)
        thresholds = Thresholds.load(folder / THRESHOLDS)
        calibrated = (folder / CALIBRATION).exists()
        calibration = Calibration.load(folder / CALIBRATION) if calibrated else None
        blend = Blend.load(folder / BLEND) if (folder / BLEND).exists() else None
        names = blend.views if blend else ()
        views = {name: _load_view(folder, name) for name in names if name != PROBE}
        decoder = _load_decoder(folder, vocabulary)
    sizes = len(vocabulary), len(thresholds.values), classifier.out_features
    if len(set(sizes)) > 1:
        raise RunError(f"{folder} is damaged: {sizes[0]} labels, {sizes[1]} thresholds and {sizes[2]} rows of weights.")
    if blend and len(blend.bias) != sizes[0]:
        raise RunError(f"{folder} is damaged: {sizes[0]} labels, and weights of views for {len(blend.bias)}.")
    return TrainedModel(encoder.eval(), classifier.eval(), vocabulary, thresholds, calibration, decoder, views, blend)


load_model = load


@dataclass(frozen=True)
class HierarchyDecoder:
    """Make scores consistent with a hierarchy, and turn them into label sets, as the settings say.

    Example:
        >>> from labelcontrast.labels.hierarchy import Hierarchy
        >>> from labelcontrast.probes.thresholds import fixed_threshold
        >>> tree = LabelTree.over(["cat", "animal"], Hierarchy.from_parents({"cat": "animal"}))
        >>> scores = np.array([[0.8, 0.4]])
        >>> HierarchyDecoder(tree, HierarchySettings(consistency="max")).make_consistent(scores).tolist()
        [[0.8, 0.8]]
        >>> HierarchyDecoder(tree, HierarchySettings(decoding="all_paths")).decide(scores, fixed_threshold(2)).tolist()
        [[False, False]]
    """

    tree: LabelTree
    settings: HierarchySettings

    def make_consistent(self, scores: Float[np.ndarray, "examples labels"]) -> Float[np.ndarray, "examples labels"]:
        """Change scores so that no label has a higher one than its parent, if ``consistency`` asks for it."""
        how = self.settings.consistency
        return scores if how == "none" else consistent(scores, self.tree.parents, how)

    def decide(
        self, scores: Float[np.ndarray, "examples labels"], thresholds: Thresholds
    ) -> Bool[np.ndarray, "examples labels"]:
        """Predict label sets from consistent scores, by the rule that ``decoding`` names."""
        if self.settings.decoding == "best_path":
            return best_path(scores, self.tree.ancestors)
        if self.settings.decoding == "all_paths":
            return all_paths(scores, self.tree.ancestors, thresholds)
        return thresholds.predict(scores)

    def close_labels(self, labels: Shaped[np.ndarray, "examples labels"]) -> Shaped[np.ndarray, "examples labels"]:
        """Add the ancestors of given labels, if the model was trained on closed label sets."""
        return self.tree.close_soft(labels) if self.settings.closure else labels


@dataclass(frozen=True, repr=False)
class TrainedModel:
    """An encoder, a linear classifier on its embeddings, and the thresholds that turn probabilities into label sets.

    Other views may score the labels beside the classifier; then a blend makes one probability of all.

    Every method takes a list of texts, a list of paths of pictures, an array of features ``[examples, dim]``, or
    ``Examples``; the run decides which kind it must be.
    """

    encoder: Encoder
    classifier: Classifier
    vocabulary: LabelVocabulary
    thresholds: Thresholds
    calibration: Calibration | None = None
    """Maps probabilities to observed frequencies, where it was fitted."""
    decoder: HierarchyDecoder | None = None
    """Makes probabilities and label sets agree with a hierarchy, where there is one."""
    other_views: Mapping[str, View] = field(default_factory=dict)
    """Views beside the classifier, by name."""
    blend: Blend | None = None
    """Makes one probability of all views, where there are some beside the classifier."""

    def __repr__(self) -> str:
        encoder = f"{type(self.encoder).__name__} of width {self.encoder.output_dim}"
        views = f", views {', '.join(self.views)}" if self.blend else ""
        return f"TrainedModel({self.encoder.kind} inputs, {encoder}, {len(self.labels)} labels{views})"

    @property
    def views(self) -> tuple[str, ...]:
        """The names of the views that score the labels; ``probe`` is the classifier on the embeddings."""
        return self.blend.views if self.blend else (PROBE,)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels, in the order of the columns."""
        return self.vocabulary.names

    def predict(self, inputs: ModelInputs) -> Shaped[np.ndarray, "examples labels"]:
        """Predict label sets as a matrix; ``lc.predict`` yields them as rows for JSON, with scores.

        Returns:
            0 or 1, a column for each of ``labels``, as scikit-learn's multi-label classifiers return it.

        Raises:
            DataError: The inputs are of another kind than the model was trained on, or one cannot be read.
        """
        return self.decide(self.predict_proba(inputs)).astype(np.uint8)

    def predict_sets(self, inputs: ModelInputs) -> list[list[str]]:
        """Predict label sets as lists of names, the most probable label first."""
        return [row["labels"] for row in _prediction_rows(self, inputs)]

    def predict_proba(self, inputs: ModelInputs) -> Float[np.ndarray, "examples labels"]:
        """Compute the probability of every label, calibrated and made consistent if the run was."""
        chunks = split_chunks(as_examples(inputs, self.encoder), len(self.labels))
        return np.concatenate([self._blended_scores(self.view_logits(chunk)) for chunk in chunks])

    def view_logits(self, inputs: ModelInputs) -> dict[str, Matrix]:
        """Compute the score of every label by each view alone, on a scale of its own; higher is more probable.

        Returns: For each view an array [examples, labels]; above 2^24 pairs a matrix whose blocks are arrays.
        """
        examples = as_examples(inputs, self.encoder)
        on_embeddings = any(name == PROBE or self.other_views[name].reads == "embeddings" for name in self.views)
        embeddings = self.embed(examples) if on_embeddings else None
        return view_logits(self.views, self.classifier, self.other_views, examples, embeddings)

    def view_contributions(self, inputs: ModelInputs) -> dict[str, Float[np.ndarray, "examples labels"]]:
        """Compute what each view adds to the log-odds of every label, before calibration; ``bias`` is the rest.

        Their sum is the log-odds of the blended probability. A model of one view has no bias.
        """
        logits = {name: one[:] for name, one in self.view_logits(inputs).items()}
        return logits if self.blend is None else self.blend.contributions(logits)

    def embed(self, inputs: ModelInputs) -> Float[np.ndarray, "examples dim"]:
        """Compute the embedding of every example, in float32."""
        examples = as_examples(inputs, self.encoder)
        if not len(examples):
            return np.empty((0, self.encoder.output_dim), np.float32)
        features: np.ndarray = compute_features(self.encoder, prepare(self.encoder, examples)).numpy()
        return features

    def explain(
        self,
        inputs: ModelInputs,
        labels: Iterable[str] | None = None,
        *,
        top: int | None = None,
        most: int = 10,
        near: int = 3,
    ) -> list[Explanation]:
        r"""Explain the scores of labels, an explanation for each input.

        The effect of a part p of an input x on a label l is what is lost when the part is taken away,

        .. math:: s_l(x) - s_l(x \setminus p), \qquad s_l = b_l + \sum_v c_{vl}

        with :math:`c_{vl}` the contribution of view v to the log-odds. A part is a word, everywhere in a text; a cell
        of a grid of 6 x 6 over a picture, which gets the mean colour; or a column of a vector, which gets its mean in
        training. A text has at most 256 parts, its first different words; a picture is first reduced to 512 pixels.

        Args:
            inputs: As in ``predict``.
            labels: Names of labels to explain; by default the predicted ones of each input.
            top: Without ``labels``, explain so many of the most probable labels of each input.
            most: Parts, and terms of the view ``words``, that are returned for a label.
            near: Training examples with the label, and without it, that are returned.

        Raises:
            LabelError: A label is not in the vocabulary.
            ConfigError: A number is below 0.
            DataError: As in ``predict``.

        Example:
            >>> model = load("run")  # doctest: +SKIP
            >>> model.explain(["The striker scored twice."])[0].labels[0].parts[0]  # doctest: +SKIP
            Part(name='striker', effect=1.3)
        """
        return explain(self, as_examples(inputs, self.encoder), labels, top=top, most=most, near=near)

    def neighbours(self, inputs: ModelInputs, k: int = 10) -> list[list[Neighbour]]:
        """Find the k training examples with the largest cosine similarity to each input, the nearest first.

        A run keeps embeddings and labels of its training examples, not their texts or pictures.

        Raises:
            RunError: The model has no view ``neighbours``, which holds the training examples.
            ConfigError: k is below 1 or above the number of training examples.
            DataError: As in ``predict``.
        """
        return neighbours(self, as_examples(inputs, self.encoder), k)

    def scores(self, embeddings: Float[np.ndarray, "examples dim"]) -> Float[np.ndarray, "examples labels"]:
        """Compute the probability of every label from embeddings.

        Raises:
            RunError: A view of the model reads the inputs, which ``predict_proba`` takes.
        """
        if reading := [name for name in self.views if name != PROBE and self.other_views[name].reads == "inputs"]:
            raise RunError(f"the view {reading[0]} of this model reads the inputs: use predict_proba.")
        return self._blended_scores(view_logits(self.views, self.classifier, self.other_views, None, embeddings))

    def decide(self, scores: Float[np.ndarray, "examples labels"]) -> Bool[np.ndarray, "examples labels"]:
        """Turn probabilities of this model into label sets."""
        return decide(scores, self.thresholds, self.decoder)

    def _blended_scores(self, logits: Mapping[str, Matrix]) -> Float[np.ndarray, "examples labels"]:
        return final_scores(blend_views(self.blend, logits), self.calibration, self.decoder)[:]


def predict(model: TrainedModel, examples: ModelInputs, *, top: int | None = None) -> Iterator[dict[str, Any]]:
    """Predict label sets as rows for JSON, a chunk of examples at a time; ``model.predict`` returns them as a matrix.

    Args:
        model: A trained model.
        examples: Inputs of any form that the methods of the model take; labels are ignored.
        top: Number of labels whose scores are given, the best first; by default the predicted labels.

    Yields:
        ``{"id": ..., "labels": [...], "scores": {label: probability}}``, the most probable label first.
    """
    return _prediction_rows(model, examples, top=top)


def embed(model: TrainedModel, examples: ModelInputs) -> Float[np.ndarray, "examples dim"]:
    """Compute the embedding of every example; the same as ``model.embed(examples)``."""
    return model.embed(examples)


def save_predictions(model: TrainedModel, examples: ModelInputs, file: IO[bytes], *, top: int | None = None) -> None:
    """Write the rows of ``predict`` as JSON Lines."""
    for row in predict(model, examples, top=top):
        file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def save_embeddings(model: TrainedModel, examples: Examples, file: IO[bytes]) -> None:
    """Write the embedding of every example, with its id, as Parquet."""
    import pyarrow.parquet as pq

    pq.write_table(embeddings_table(examples.ids, embed(model, examples)), file)


def embeddings_table(ids: Sequence[str], embeddings: Float[np.ndarray, "examples dim"]) -> Any:  # noqa: ANN401
    """Build an Arrow table of embeddings: a column of ids, and one of vectors of a fixed width."""
    import pyarrow as pa

    flat = pa.array(embeddings.reshape(-1))
    vectors = pa.FixedSizeListArray.from_arrays(flat, embeddings.shape[1])
    return pa.table({"id": list(ids), "embedding": vectors})


def view_logits(
    names: Iterable[str],
    classifier: Classifier,
    views: Mapping[str, View],
    examples: Examples | None,
    embeddings: Float[np.ndarray, "examples dim"] | None,
) -> dict[str, Matrix]:
    """Compute the score of every label by each view, from the examples or the embeddings that it reads."""
    logits: dict[str, Matrix] = {}
    for name in names:
        if name == PROBE:
            assert embeddings is not None
            logits[name] = in_blocks(
                (len(embeddings), classifier.out_features),
                lambda rows, columns: head_logits(classifier, embeddings[rows], columns),
            )
        else:
            logits[name] = _scores_of_view(views[name], view_rows(views[name], examples, embeddings), classifier)
    return logits


def _scores_of_view(view: View, rows: Any, classifier: Classifier) -> Matrix:  # noqa: ANN401
    described = view.describe(view.prepare(rows))
    shape = described.shape[0], classifier.out_features
    return in_blocks(shape, lambda rows, columns: view.score_labels(described[rows], columns))


def view_rows(
    view: View | type[View], examples: Examples | None, embeddings: Float[np.ndarray, "examples dim"] | None
) -> Any:  # noqa: ANN401
    """Return what a view reads: the embeddings, or the inputs of the examples, pictures as their descriptions."""
    if view.reads == "embeddings":
        return embeddings
    assert examples is not None
    return describe_pictures(examples.inputs) if examples.kind == "image" else examples.inputs


def blend_views(blend: Blend | None, logits: Mapping[str, Matrix]) -> Matrix:
    """Compute one probability of every label from the logits of the views; without a blend, those of the probe."""

    def probabilities(rows: Places, columns: Places) -> np.ndarray:
        given = {name: logits[name][rows, columns] for name in (blend.views if blend else (PROBE,))}
        if blend is not None:
            return blend.probabilities(given, columns)
        return torch.from_numpy(given[PROBE]).sigmoid().numpy()

    return in_blocks(next(iter(logits.values())).shape, probabilities)


def final_scores(probabilities: Matrix, calibration: Calibration | None, decoder: HierarchyDecoder | None) -> Matrix:
    """Calibrate probabilities, then make them consistent with the hierarchy; either may be absent.

    Raises:
        RunError: A probability is not a number, which no threshold would tell from an absent label.
    """
    shape = probabilities.shape

    def scores(rows: Places, columns: Places) -> np.ndarray:
        found = probabilities[rows, columns]
        if not np.isfinite(found).all():
            raise RunError("a probability is not a number: weights of the model are damaged, or an input is too large.")
        return found if calibration is None else calibration.apply(found, columns)

    if decoder is None or decoder.settings.consistency == "none":
        return in_blocks(shape, scores)

    def consistent_scores(rows: Places, columns: Places) -> np.ndarray:
        """Compute all labels of some rows at a time: the score of a label depends on those around it."""
        chosen = np.arange(len(probabilities))[rows]
        blocks = row_blocks((len(chosen), shape[1])) if shape[0] * shape[1] > PAIRS_KEPT else [ALL]
        return np.concatenate([decoder.make_consistent(scores(chosen[at], ALL))[:, columns] for at in blocks])

    return in_blocks(shape, consistent_scores)


def decide(
    scores: Float[np.ndarray, "examples labels"], thresholds: Thresholds, decoder: HierarchyDecoder | None
) -> Bool[np.ndarray, "examples labels"]:
    """Turn final scores into label sets, by thresholds alone or as the decoder says."""
    return thresholds.predict(scores) if decoder is None else decoder.decide(scores, thresholds)


def as_examples(inputs: ModelInputs, encoder: Encoder) -> Examples:
    """Convert what a caller has into examples of the kind that an encoder reads.

    Raises:
        DataError: The inputs are of another kind, or a picture cannot be read.
    """
    if isinstance(inputs, Examples):
        if inputs.kind != encoder.kind:
            message = f"holds {inputs.kind} inputs; this run was trained on {encoder.kind} inputs."
            raise DataError(message, path=inputs.origin)
        return inputs
    converters = {"vector": _feature_rows, "text": _texts, "image": _picture_paths}
    values: Any = converters[encoder.kind](inputs)
    lines = range(1, (values.shape[0] if encoder.kind == "vector" else len(values)) + 1)
    return Examples(
        inputs=values,
        label_sets=None,
        kind=encoder.kind,
        ids=[str(line) for line in lines],
        lines=lines,
        origin="inputs",
        understood="",
    )


def save_model(folder: str | Path, model: TrainedModel) -> None:
    """Write everything that prediction needs into a run folder.

    Raises:
        RunError: A file cannot be written.
    """
    folder = Path(folder)
    model.vocabulary.save(folder / LABELS)
    model.thresholds.save(folder / THRESHOLDS)
    if model.blend is not None:
        model.blend.save(folder / BLEND)
    for name, view in model.other_views.items():
        view.save(folder / VIEWS / f"{name}.safetensors")
    if model.calibration is not None:
        model.calibration.save(folder / CALIBRATION)
    if model.decoder is not None:
        write_hierarchy(model.decoder.tree.nodes, folder / HIERARCHY)
    try:
        model.encoder.save_assets(folder / ENCODER)
    except OSError as error:
        raise RunError(f"{folder / ENCODER} could not be written: {error.strerror or error}.") from error
    write_json(folder / ENCODER / "settings.json", model.encoder.settings())
    weights = {f"encoder.{name}": value for name, value in model.encoder.state_dict().items()}
    weights |= {f"classifier.{name}": value for name, value in model.classifier.state_dict().items()}
    with whole_file(folder / MODEL) as file:
        file.write(safetensors.torch.save({name: value.contiguous().cpu() for name, value in weights.items()}))


def split_chunks(examples: Examples, labels: int) -> Iterator[Examples]:
    """Yield ``CHUNK`` examples at a time; fewer of many labels, so that a block of scores holds them."""
    size = min(CHUNK, max(1, PAIRS_KEPT // labels))
    if len(examples) <= size:
        yield examples
        return
    for start in tracked(range(0, len(examples), size), f"examples, {size:,} at a time"):
        yield examples.select(np.arange(start, min(start + size, len(examples))))


def _prediction_rows(model: TrainedModel, inputs: ModelInputs, *, top: int | None = None) -> Iterator[dict[str, Any]]:
    for chunk in split_chunks(as_examples(inputs, model.encoder), len(model.labels)):
        scores = model.predict_proba(chunk)
        rows = prediction_rows(model.labels, scores, model.decide(scores), top=top)
        yield from ({"id": identity, **row} for identity, row in zip(chunk.ids, rows, strict=True))


def prediction_rows(
    labels: Sequence[str],
    scores: Float[np.ndarray, "examples labels"],
    chosen: Bool[np.ndarray, "examples labels"],
    *,
    top: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Turn scores and label sets into rows for JSON, without ids; the arguments are those of ``predict``.

    Example:
        >>> list(prediction_rows(["a", "b"], np.array([[0.2, 0.9]]), np.array([[False, True]]), top=2))
        [{'labels': ['b'], 'scores': {'b': 0.9, 'a': 0.2}}]
    """
    names = np.array(labels)
    for row, predicted in zip(scores, chosen, strict=True):
        (in_set,) = np.nonzero(predicted)
        in_set = in_set[np.argsort(-row[in_set], kind="stable")]
        shown = in_set if top is None else _first(row, top)
        yield {
            "labels": names[in_set].tolist(),
            "scores": {str(names[index]): round(float(row[index]), 6) for index in shown},
        }


def _first(scores: Float[np.ndarray, " labels"], count: int) -> np.ndarray:
    """Return the numbers of the highest scores, between equals the first, without sorting all."""
    if count >= len(scores):
        return np.argsort(-scores, kind="stable")
    least = np.partition(scores, len(scores) - count)[len(scores) - count]
    (high,) = np.nonzero(scores >= least)
    return high[np.argsort(-scores[high], kind="stable")][:count]


def _feature_rows(inputs: object) -> np.ndarray | sp.csr_array:
    if isinstance(inputs, Tensor):
        inputs = inputs.detach().cpu()
    try:
        rows = sp.csr_array(inputs) if sp.issparse(inputs) else np.asarray(inputs)
    except ValueError:  # rows of different lengths
        rows = np.empty(0)
    if rows.ndim != 2 or rows.dtype.kind not in "biuf":
        raise DataError(f"this run was trained on features: expected an array [examples, dim]. Got {_shown(inputs)}.")
    with np.errstate(over="ignore"):
        rows = rows.astype(np.float32, copy=False)
    if not np.isfinite(rows.data if isinstance(rows, sp.csr_array) else rows).all():
        raise DataError("the features must be finite numbers in 32 bits.")
    return rows


def _texts(inputs: object) -> list[str]:
    texts = _listed(inputs)
    if texts is None or not all(isinstance(text, str) for text in texts):
        raise DataError(f"this run was trained on texts: expected a list of strings. Got {_shown(inputs)}.")
    return [str(text) for text in texts]


def _picture_paths(inputs: object) -> list[Path]:
    paths = _listed(inputs)
    if paths is None or not all(isinstance(path, str | Path) for path in paths):
        raise DataError(f"this run was trained on pictures: expected a list of paths. Got {_shown(inputs)}.")
    pictures = [Path(path) for path in paths]
    for path in pictures:
        if (problem := picture_problem(path)) is not None:
            raise DataError(f"the picture {problem}.", path=path)
    return pictures


def _listed(inputs: Any) -> list[Any] | None:  # noqa: ANN401
    """Return the items of a sequence; None for a single text, a matrix, a mapping, a set, or anything else."""
    if (
        isinstance(inputs, str | bytes | Path | Mapping | Set)
        or not hasattr(inputs, "__iter__")
        or getattr(inputs, "ndim", 1) != 1
    ):
        return None
    return list(inputs)


def _shown(inputs: Any) -> str:  # noqa: ANN401
    shape = getattr(inputs, "shape", None)
    return f"an array of shape {tuple(shape)}" if shape is not None else f"{type(inputs).__name__} {inputs!r:.60}"


def _load_view(folder: Path, name: str) -> View:
    if name not in VIEWS_BY_NAME:
        raise DataError(f'there is no view "{name}".', path=folder / BLEND)
    return VIEWS_BY_NAME[name].load(folder / VIEWS / f"{name}.safetensors")


def _load_decoder(folder: Path, vocabulary: LabelVocabulary) -> HierarchyDecoder | None:
    if not (folder / HIERARCHY).exists():
        return None
    nodes = read_hierarchy(folder / HIERARCHY)
    if nodes.names[: len(vocabulary)] != vocabulary.names:
        raise LabelError("the first nodes are not the labels of the run.", path=folder / HIERARCHY)
    return HierarchyDecoder(LabelTree(nodes, len(vocabulary)), load_settings(folder).hierarchy)


def _why_no_model(folder: Path) -> str:
    if not folder.exists():
        return "does not exist"
    if not (folder / CONFIG).exists():
        return "is not a run"
    if is_finished(folder):
        return "has results only; its weights were not kept"
    return "is not finished; continue with train --resume"


def _with_prefix(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
