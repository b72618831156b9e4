"""The graph of a trained model in ONNX: from prepared inputs to calibrated probabilities, checked against torch."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csr_array
from torch import Tensor, nn

from labelcontrast.data.batches import dense_truth, encode_labels
from labelcontrast.data.examples import Examples
from labelcontrast.data.splits import Splits
from labelcontrast.encoders.base import Encoder, longest_first
from labelcontrast.encoders.embedded import HashedEncoder, LatentSemanticEncoder
from labelcontrast.encoders.frozen import FrozenEncoder
from labelcontrast.encoders.text import TransformerText
from labelcontrast.encoders.vision import PictureEncoder
from labelcontrast.errors import EncoderError, MissingExtraError, RunError
from labelcontrast.export.script import pad_pieces, write_script
from labelcontrast.files import write_json
from labelcontrast.metrics.counting import TrainingLabels
from labelcontrast.metrics.measures import compute_metrics
from labelcontrast.probes.blend import LARGEST, Blend, fit_blend
from labelcontrast.probes.calibration import Calibration
from labelcontrast.probes.views import PROBE, NeighboursView
from labelcontrast.progress import tracked
from labelcontrast.run.evaluation import fit_decisions
from labelcontrast.run.folder import load_settings, load_training_labels
from labelcontrast.run.model import TrainedModel, blend_views

GRAPH = "model.onnx"
OPSET = 20
TOLERANCE = 1e-4
"""Largest difference between a probability of the graph and of torch."""
HELD = (PROBE, NeighboursView.name)
"""Views that a graph can hold; words are counted by text, and trees are walked, outside of matrices."""
BATCH = 32
COMPARED = ("micro_f1", "macro_f1", "map_macro")
"""Metrics that the cost of an export is measured by."""
Feed = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class OnnxExport:
    """What an export measured, on the run's own test examples."""

    views: tuple[str, ...]
    left_out: tuple[str, ...]
    """Views of the run that the graph does not hold."""
    opset: int
    examples: int
    difference: float
    """Largest difference of a probability from torch's."""
    metrics: Mapping[str, Mapping[str, float]]
    """Of the whole ``run``, of the views in ``torch``, of the graph in ``onnx``, and where it was made in ``int8``."""
    examples_per_second: Mapping[str, float]
    """By ``torch``, ``onnx`` and ``int8``, with the same batches and one thread each."""
    megabytes: Mapping[str, float]


def export_onnx(run: str | Path, model: TrainedModel, splits: Splits, out: Path, *, int8: bool = False) -> OnnxExport:
    """Write a model as an ONNX graph with labels, thresholds, its tokenizer, and a script that predicts without torch.

    The graph holds the encoder, the probe, nearest neighbours, the blend and the calibration; the sizes of a batch and
    of a text are free. If the run blends a view that a graph cannot hold, the other views are blended anew on
    validation, and the cost is measured on test.

    Args:
        run: The folder of the run.
        model: Its model.
        splits: Its data.
        out: The folder to write into.
        int8: Store the weights of matrix products in 8 bits, and measure what that loses and gains.

    Raises:
        MissingExtraError: onnx or onnxruntime are not installed.
        EncoderError: The encoder reads what only this library computes.
        RunError: The graph cannot hold how the model decides, or its probabilities differ from torch's by more than
            1e-4.
    """
    _require_onnx()
    _check_can_export(model)
    kept = keep_views(run, model, splits)
    test = splits.test
    feeds = list(_feeds(kept.encoder, test))
    graph = ModelGraph(kept).eval()
    write_graph(graph, feeds[0][1], out / GRAPH)
    write_script(kept, _reader(kept.encoder), out)

    truth = dense_truth(*encode_labels(test, kept.vocabulary))
    if kept.decoder is not None:
        truth = kept.decoder.close_labels(truth)
    scores = {"run": model.predict_proba(test), "torch": kept.predict_proba(test)}
    speed = {"torch": _speed(lambda feed: graph(*map(torch.from_numpy, feed.values())), feeds)}
    paths = {"onnx": out / GRAPH}
    if int8:
        paths["int8"] = out / GRAPH.replace(".onnx", ".int8.onnx")
        _quantise(paths["onnx"], paths["int8"])
    for name, path in paths.items():
        run_graph = partial(_session(path).run, ["probabilities"])
        scores[name] = _scored(run_graph, feeds, len(test))
        speed[name] = _speed(run_graph, feeds)
    difference = float(np.abs(scores["onnx"] - scores["torch"]).max())
    if not difference <= TOLERANCE:
        (out / GRAPH).unlink()
        raise RunError(f"the graph differs from torch by {difference:.2g} in a probability; expected {TOLERANCE:g}.")
    found = {
        name: compute_metrics(truth, one, (model if name == "run" else kept).decide(one))
        for name, one in scores.items()
    }
    result = OnnxExport(
        views=kept.views,
        left_out=tuple(name for name in model.views if name not in HELD),
        opset=OPSET,
        examples=len(test),
        difference=difference,
        metrics={name: {metric: one[metric] for metric in COMPARED} for name, one in found.items()},
        examples_per_second={name: round(value, 1) for name, value in speed.items()},
        megabytes={name: round(path.stat().st_size / 1e6, 2) for name, path in paths.items()},
    )
    write_json(out / "measured.json", vars(result))
    return result


def keep_views(run: str | Path, model: TrainedModel, splits: Splits) -> TrainedModel:
    """Return the model with the views that a graph can hold; blend, calibration and thresholds are fitted anew.

    Args:
        run: The folder of the run, whose settings say how to calibrate and to choose thresholds.
        model: Its model, which is returned if a graph can hold all of its views.
        splits: Its data; the fit is on validation, as in the run.
    """
    held = tuple(name for name in model.views if name in HELD)
    if held == model.views:
        return model
    if not held:
        raise RunError(f"the model scores by {', '.join(model.views)} alone, which an ONNX graph cannot hold.")
    truth = dense_truth(*encode_labels(splits.val, model.vocabulary))
    closed = truth if model.decoder is None else model.decoder.close_labels(truth)
    others = {name: view for name, view in model.other_views.items() if name in HELD}
    some = replace(model, other_views=others, blend=None if held == (PROBE,) else replace_views(model.blend, held))
    logits = some.view_logits(splits.val)
    train = load_training_labels(run) or TrainingLabels.of(encode_labels(splits.train, model.vocabulary)[0])
    blend = fit_blend(closed, logits, frequency=(train.counts + 0.5) / (train.examples + 1))
    decided = fit_decisions(
        load_settings(run).evaluation, {"val": closed}, {"val": blend_views(blend, logits)}, model.decoder
    )
    return replace(some, blend=blend, calibration=decided.calibration, thresholds=decided.thresholds)


def replace_views(blend: Blend | None, views: Sequence[str]) -> Blend:
    """Return the part of a blend that is about some of its views."""
    assert blend is not None
    columns = [blend.views.index(name) for name in views]
    parts = {name: getattr(blend, name)[:, columns] for name in ("weight", "centre", "scale")}
    return replace(blend, views=tuple(views), **parts)


def write_graph(graph: "ModelGraph", example: Feed, path: Path) -> None:
    """Write a module as ONNX, with free sizes of the batch and of a text.

    Args:
        graph: In evaluation mode.
        example: Inputs of a batch of two examples or more.
        path: The file.
    """
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    free = {name: {0: batch, 1: length} for name in ("input_ids", "attention_mask", "pieces", "counts")}
    sizes = tuple(free.get(name, {0: batch}) for name in example)
    with _quiet_export():
        torch.onnx.export(
            graph,
            tuple(map(torch.from_numpy, example.values())),
            path,
            input_names=list(example),
            output_names=["probabilities", "embeddings"],
            opset_version=OPSET,
            dynamic_shapes=(sizes,),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


class ModelGraph(nn.Module):
    """A trained model as one module of tensor operations, from prepared inputs to probabilities and embeddings.

    Args:
        model: Whose views are all in ``HELD``.
    """

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        self.encoder = model.encoder
        self.base = model.encoder.base if isinstance(model.encoder, FrozenEncoder) else None
        encoder = model.encoder
        hashed = isinstance(encoder, HashedEncoder | LatentSemanticEncoder)
        self.pieces = PaddedPieces(encoder) if hashed else None  # type: ignore[arg-type]
        self.classifier = model.classifier
        self.names = tuple(_graph_inputs(_reader(model.encoder)))
        self.views = model.views
        view = model.other_views.get(NeighboursView.name)
        self.neighbours = NeighboursScore(view) if isinstance(view, NeighboursView) else None
        self.blend = None if model.blend is None else BlendScore(model.blend)
        self.calibration = None if model.calibration is None else CalibrationScore(model.calibration)
        how = "none" if model.decoder is None else model.decoder.settings.consistency
        self.consistency = None if how == "none" else ConsistentScore(model.decoder.tree.ancestors, how)  # type: ignore[union-attr]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Compute probabilities [batch, labels] and embeddings [batch, dim]."""
        batch = dict(zip(self.names, inputs, strict=True))
        if isinstance(self.encoder, FrozenEncoder):
            assert self.base is not None
            batch = {"vectors": self.base.forward(batch)}
        embeddings = self.encoder.forward(batch) if self.pieces is None else self.pieces(**batch)
        scorers: dict[str, Callable[[Tensor], Tensor]] = {PROBE: self.classifier}
        if self.neighbours is not None:
            scorers[NeighboursView.name] = self.neighbours
        logits: list[Tensor] = [scorers[name](embeddings) for name in self.views]
        # In float32 as the model keeps them: calibration in float64 starts from the same rounded number.
        scores = (logits[0] if self.blend is None else self.blend(*logits)).sigmoid().float()
        scores = scores if self.calibration is None else self.calibration(scores)
        return (scores if self.consistency is None else self.consistency(scores)), embeddings


class PaddedPieces(nn.Module):
    """The encoders of hashed words on rows and their counts that are padded to one length; a count of 0 is no row."""

    def __init__(self, encoder: HashedEncoder | LatentSemanticEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pieces: Tensor, counts: Tensor) -> Tensor:
        """Compute the embeddings."""
        encoder, known = self.encoder, counts.float()
        if isinstance(encoder, LatentSemanticEncoder):
            weights = (1 + known.clamp(min=1).log()) * encoder.inverse_frequency[pieces] * known.clamp(max=1)
            size = torch.linalg.vector_norm(weights, dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
        else:
            weights, size = known, known.sum(dim=1, keepdim=True).clamp(min=1)
        mean = ((weights / size)[:, :, None] * encoder.table.weight[pieces]).sum(dim=1)
        centred = mean - encoder.centre if isinstance(encoder, LatentSemanticEncoder) else mean
        embeddings: Tensor = encoder.network(encoder.enter(centred))
        return embeddings


class ConsistentScore(nn.Module):
    """The scores of each label and of those that decide its own: the product of those above, or the largest below."""

    deciding: Tensor

    def __init__(self, ancestors: csr_array, how: str) -> None:
        super().__init__()
        self.how = how
        rows = [row.nonzero()[0].tolist() for row in (ancestors if how == "product" else ancestors.T).toarray()]
        most, none = max(map(len, rows)), len(rows)  # the column after the last stands for no label
        self.register_buffer("deciding", torch.tensor([row + [none] * (most - len(row)) for row in rows]))

    def forward(self, probabilities: Tensor) -> Tensor:
        """Make the probabilities consistent."""
        neutral = torch.ones_like if self.how == "product" else torch.zeros_like
        given = torch.cat([probabilities, neutral(probabilities[:, :1])], dim=1)[:, self.deciding]
        return given.prod(dim=2) if self.how == "product" else given.amax(dim=2)


class NeighboursScore(nn.Module):
    """The view of nearest neighbours as a product of matrices and the largest similarities."""

    examples: Tensor
    labels: Tensor
    frequency: Tensor
    votes: Tensor | None

    def __init__(self, view: NeighboursView) -> None:
        super().__init__()
        self.count = min(view.NEIGHBOURS, len(view.embeddings))
        self.temperature, self.prior = view.TEMPERATURE, view.PRIOR
        self.register_buffer("examples", torch.from_numpy(view.embeddings))
        self.register_buffer("labels", torch.from_numpy(view.labels.toarray().astype(np.uint8)))
        self.register_buffer("frequency", torch.from_numpy(np.asarray(view.frequency, np.float64)))
        self.register_buffer("votes", None if view.votes is None else torch.from_numpy(view.votes))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Compute the log-odds of the smoothed share of neighbours."""
        units = embeddings / torch.linalg.vector_norm(embeddings, dim=1, keepdim=True).clamp(min=1e-30)
        similarity, found = (units @ self.examples.T).topk(self.count)
        weight = ((similarity - similarity[:, :1]) / self.temperature).exp()
        weight = weight if self.votes is None else weight * self.votes[found]
        votes = (self.labels[found].float() * weight[:, :, None]).sum(dim=1).double()
        share = (votes + self.prior * self.frequency) / (weight.sum(dim=1, keepdim=True).double() + self.prior)
        share = share.clamp(1e-6, 1 - 1e-6)
        odds: Tensor = share.log() - (1 - share).log()
        return odds


class BlendScore(nn.Module):
    """The blend of the views: standardised logits, weighted and summed, in float64."""

    weight: Tensor
    centre: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, blend: Blend) -> None:
        super().__init__()
        for name in ("weight", "centre", "scale"):
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(getattr(blend, name).T)))
        self.register_buffer("bias", torch.from_numpy(blend.bias))

    def forward(self, *logits: Tensor) -> Tensor:
        """Compute the log-odds of the blended probability."""
        total = self.bias
        for view, one in enumerate(logits):
            standard = ((one.double() - self.centre[view]) / self.scale[view]).clamp(-LARGEST, LARGEST)
            total = total + standard * self.weight[view]
        return total


class CalibrationScore(nn.Module):
    """The calibration of each label: a temperature, or a line through the knots of an isotonic regression."""

    temperature: Tensor
    start: Tensor
    value: Tensor

    def __init__(self, calibration: Calibration) -> None:
        super().__init__()
        self.method = calibration.method
        if self.method == "temperature":
            self.register_buffer("temperature", torch.tensor(calibration.maps, dtype=torch.float64))
            return
        most = max(map(len, calibration.maps))  # type: ignore[arg-type]
        knots = np.array([[*one, *[one[-1]] * (most - len(one))] for one in calibration.maps])  # type: ignore[index,misc,arg-type]
        start, value = (torch.from_numpy(np.ascontiguousarray(knots[:, :, axis])) for axis in (0, 1))
        self.register_buffer("start", start)
        self.register_buffer("value", value)

    def forward(self, probabilities: Tensor) -> Tensor:
        """Map probabilities."""
        given = probabilities.double()
        if self.method == "temperature":
            given = given.clamp(1e-12, 1 - 1e-12)
            return ((given.log() - (1 - given).log()) / self.temperature).sigmoid().float()
        width = (self.start[:, 1:] - self.start[:, :-1]).clamp(min=1e-300)
        share = ((given[:, :, None] - self.start[:, :-1]) / width).clamp(0, 1)
        rise = (share * (self.value[:, 1:] - self.value[:, :-1])).sum(dim=2)
        return (self.value[:, 0] + rise).float()


def _reader(encoder: Encoder) -> Encoder:
    """Return the encoder that reads the inputs: the frozen one, where there is one."""
    return encoder.base if isinstance(encoder, FrozenEncoder) else encoder


def _graph_inputs(encoder: Encoder) -> tuple[str, ...]:
    if isinstance(encoder, TransformerText):
        return ("input_ids", "attention_mask")
    if isinstance(encoder, HashedEncoder | LatentSemanticEncoder):
        return ("pieces", "counts")
    return ("pixels",) if isinstance(encoder, PictureEncoder) else ("vectors",)


def _check_can_export(model: TrainedModel) -> None:
    encoder = _reader(model.encoder)
    if isinstance(encoder, TransformerText) and not hasattr(encoder.tokenizer, "backend_tokenizer"):
        raise EncoderError(f'the tokenizer of "{encoder.name}" has no tokenizer.json, which the exported script reads.')
    if model.decoder is not None and model.decoder.settings.consistency == "projection":
        raise RunError(
            'hierarchy.consistency is "projection", whose steps depend on the scores, so that an ONNX graph does not '
            'hold it. Expected "none", "max" or "product".'
        )


def _feeds(encoder: Encoder, examples: Examples) -> Iterator[tuple[np.ndarray, Feed]]:
    """Yield batches of the inputs of the graph, with the places of their examples."""
    reader = _reader(encoder)
    items = reader.prepare(examples.inputs)
    lengths = np.array([reader.length(item) for item in items])
    for places in longest_first(lengths, batch_size=BATCH):
        chosen = [items[place] for place in places]
        if isinstance(reader, LatentSemanticEncoder):
            chosen = [np.repeat(*rows_and_counts.T) for rows_and_counts in chosen]
        if isinstance(reader, HashedEncoder | LatentSemanticEncoder):
            yield places, pad_pieces(chosen)
            continue
        batch = reader.collate(chosen)
        yield places, {name: batch[name].numpy() for name in _graph_inputs(reader)}


def _scored(
    run_graph: Callable[[Feed], Any], feeds: Sequence[tuple[np.ndarray, Feed]], count: int
) -> Float[np.ndarray, "examples labels"]:
    scores: np.ndarray | None = None
    for places, feed in tracked(feeds, "check"):
        rows = run_graph(feed)[0]
        scores = np.empty((count, rows.shape[1]), np.float32) if scores is None else scores
        scores[places] = rows
    assert scores is not None
    return scores


def _speed(compute: Callable[[Feed], object], feeds: Sequence[tuple[np.ndarray, Feed]]) -> float:
    """Measure examples a second, from token ids or pixels on; the first batch is computed once before."""
    with torch.inference_mode():
        compute(feeds[0][1])
        start = time.perf_counter()
        for _, feed in tracked(feeds, "speed"):
            compute(feed)
    return sum(len(places) for places, _ in feeds) / (time.perf_counter() - start)


def _session(path: Path) -> Any:  # noqa: ANN401
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _quantise(source: Path, target: Path) -> None:
    """Store the weights of matrix products in 8 bits, but not the training examples of the nearest neighbours."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source)
    kept = [node.name for node in model.graph.node if any("neighbours" in name for name in node.input)]
    with _quiet_export():
        quantize_dynamic(
            source, target, weight_type=QuantType.QInt8, nodes_to_exclude=kept, op_types_to_quantize=["MatMul", "Gemm"]
        )


def _require_onnx() -> None:
    from importlib.util import find_spec

    if not all(map(find_spec, ("onnx", "onnxruntime", "onnxscript"))):
        raise MissingExtraError("exporting to ONNX", "onnx")


@contextmanager
def _quiet_export() -> Iterator[None]:
    """Keep the exporter's remarks about its own future from the user."""
    import logging

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
