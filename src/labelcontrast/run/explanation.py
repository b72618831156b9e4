"""Explanations of predictions: contributions of views, near training examples, and parts of the input."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float

from labelcontrast.data.examples import Examples
from labelcontrast.encoders.base import Encoder
from labelcontrast.encoders.embedded import VectorEncoder
from labelcontrast.encoders.pictures import decode_picture
from labelcontrast.errors import ConfigError, LabelError, RunError, nearest
from labelcontrast.metrics.neighbours import unit_rows
from labelcontrast.probes.thresholds import Thresholds
from labelcontrast.probes.views import TOKEN, NeighboursView, View, WordsView
from labelcontrast.progress import tracked


class _Explainable(Protocol):
    """What is asked of a trained model."""

    @property
    def encoder(self) -> Encoder: ...
    @property
    def thresholds(self) -> Thresholds: ...
    @property
    def other_views(self) -> Mapping[str, View]: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    def embed(self, inputs: Examples, /) -> Float[np.ndarray, "examples dim"]: ...
    def predict_proba(self, inputs: Examples, /) -> Float[np.ndarray, "examples labels"]: ...
    def view_contributions(self, inputs: Examples, /) -> dict[str, Float[np.ndarray, "examples labels"]]: ...
    def decide(self, scores: Float[np.ndarray, "examples labels"], /) -> Bool[np.ndarray, "examples labels"]: ...


OCCLUDED_AT_ONCE = 256
"""Changed inputs that are scored together, so that memory does not grow with the parts of an input."""
MOST_WORDS = 256
"""Different words of a text that are removed one by one, the first ones; later words have no effect in the result."""
GRID = 6
"""Rows and columns of the grid over a picture."""
LONGEST_SIDE = 512
"""Pixels of a picture that is occluded; larger ones are reduced first."""


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A training example near an input."""

    row: int
    """Its place among the training examples, counted from 0."""
    labels: tuple[str, ...]
    """Its labels."""
    similarity: float
    """The cosine between its embedding and that of the input."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of an input, and what it adds to the score of a label."""

    name: str
    """A word, ``column 3`` counted from 0, or ``row 1, column 2`` of the grid over a picture, counted from 0."""
    effect: float
    """The log-odds of the label with the part, less those without it."""


@dataclass(frozen=True, kw_only=True)
class LabelExplanation:
    """Why a label has its score."""

    label: str
    probability: float
    """As ``predict_proba`` computes it: blended, calibrated, and consistent with a hierarchy."""
    threshold: float
    predicted: bool
    log_odds: float
    """Of the blended probability, before calibration."""
    contributions: dict[str, float]
    """What each view adds to ``log_odds``, and ``bias`` for the rest; their sum is ``log_odds``."""
    parts: tuple[Part, ...]
    """The parts of the input with the largest effects on ``log_odds``, the largest first."""
    terms: tuple[Part, ...]
    """The largest terms of the view ``words``: coefficient times value, exact, in the scale of its own margin."""
    supporting: tuple[Neighbour, ...]
    """The nearest training examples with the label; empty if the model has no view ``neighbours``."""
    opposing: tuple[Neighbour, ...]
    """The nearest training examples without the label."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why the labels of one input have their scores."""

    id: str
    labels: tuple[LabelExplanation, ...]
    """The predicted or the ``top`` labels, the most probable first; or those that were asked for."""

    def as_row(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def explain(
    model: _Explainable,
    examples: Examples,
    labels: Iterable[str] | None = None,
    *,
    top: int | None = None,
    most: int = 10,
    near: int = 3,
) -> list[Explanation]:
    """Explain the predicted labels of each input; the same as ``model.explain(...)``, which says more."""
    if isinstance(labels, str):
        raise LabelError(f'labels must be a list of names. Got the text "{labels}".')
    for name, value in (("top", top or 0), ("most", most), ("near", near)):
        if value < 0:
            raise ConfigError(f"{name} must be 0 or more. Got {value}.")
    asked = None if labels is None else [_column(model, label) for label in labels]
    return [
        _explain_one(model, examples.select([row]), asked, top=top, most=most, near=near)
        for row in tracked(range(len(examples)), "explanations")
    ]


def neighbours(model: _Explainable, examples: Examples, k: int = 10) -> list[list[Neighbour]]:
    """Find the nearest training examples of each input; the same as ``model.neighbours(...)``, which says more."""
    view = model.other_views.get(NeighboursView.name)
    if not isinstance(view, NeighboursView):
        raise RunError("this model has no view of neighbours, so it does not hold its training examples.")
    if not 1 <= k <= len(view.embeddings):
        raise ConfigError(f"k must be between 1 and the {len(view.embeddings)} training examples. Got {k}.")
    every = np.arange(len(view.embeddings))
    return [_nearest(model, view, row, every, k) for row in _similarities(view, model.embed(examples))]


def _explain_one(
    model: _Explainable, example: Examples, asked: Sequence[int] | None, *, top: int | None, most: int, near: int
) -> Explanation:
    added = {name: rows[0] for name, rows in model.view_contributions(example).items()}
    total = sum(added.values())
    scores = model.predict_proba(example)
    predicted = model.decide(scores)[0]
    best_first = np.argsort(-scores[0], kind="stable")
    chosen = best_first[predicted[best_first]] if top is None else best_first[:top]
    columns = chosen.tolist() if asked is None else list(asked)
    names, effects = _occlude(model, example) if columns and most else ([], np.zeros((0, len(model.labels))))
    view = model.other_views.get(NeighboursView.name)
    similarity = None
    if isinstance(view, NeighboursView) and near and columns:
        similarity = _similarities(view, model.embed(example))[0]
    found = []
    for column in columns:
        supporting: list[Neighbour] = []
        opposing: list[Neighbour] = []
        if similarity is not None:
            assert isinstance(view, NeighboursView)
            has = view.labels[:, [column]].toarray()[:, 0] > 0
            supporting = _nearest(model, view, similarity, np.flatnonzero(has), near)
            opposing = _nearest(model, view, similarity, np.flatnonzero(~has), near)
        found.append(
            LabelExplanation(
                label=model.labels[column],
                probability=float(scores[0, column]),
                threshold=float(model.thresholds.values[column]),
                predicted=bool(predicted[column]),
                log_odds=float(total[column]),
                contributions={name: float(row[column]) for name, row in added.items()},
                parts=_largest(names, effects[:, column], most),
                terms=_terms(model, example, column, most),
                supporting=tuple(supporting),
                opposing=tuple(opposing),
            )
        )
    return Explanation(id=str(example.ids[0]), labels=tuple(found))


def _column(model: _Explainable, label: str) -> int:
    if label not in model.labels:
        raise LabelError(f'label "{label}" is not in the vocabulary{nearest(str(label), model.labels)}.')
    return model.labels.index(label)


def _similarities(
    view: NeighboursView, embeddings: Float[np.ndarray, "examples dim"]
) -> Float[np.ndarray, "examples train"]:
    return np.asarray(unit_rows(embeddings, zero=True).numpy() @ view.embeddings.T)


def _nearest(
    model: _Explainable,
    view: NeighboursView,
    similarity: Float[np.ndarray, " train"],
    rows: np.ndarray,
    count: int,
) -> list[Neighbour]:
    found = []
    for row in rows[np.argsort(-similarity[rows], kind="stable")[:count]]:
        columns = view.labels[[row], :].toarray()[0].nonzero()[0]
        labels = tuple(model.labels[column] for column in columns)
        found.append(Neighbour(row=int(row), labels=labels, similarity=float(similarity[row])))
    return found


def _occlude(model: _Explainable, example: Examples) -> tuple[list[str], Float[np.ndarray, "parts labels"]]:
    """Score the input without each of its parts; return their names and effects."""
    names, without = removable_parts(model, example)
    places: list[tuple[int, ...]] = [(), *((place,) for place in range(len(names)))]
    logs = []
    for start in range(0, len(places), OCCLUDED_AT_ONCE):
        logs.append(log_odds(model, example, [without(some) for some in places[start : start + OCCLUDED_AT_ONCE]]))
    rows = np.concatenate(logs)
    return names, rows[:1] - rows[1:]


def removable_parts(model: _Explainable, example: Examples) -> tuple[list[str], Callable[[Sequence[int]], Any]]:
    """Return the names of the parts of one input, and a function that returns the input without some of them."""
    one: Any = example.inputs_at([0])[0]
    one = one.toarray() if sp.issparse(one) else one
    if example.kind == "text":
        return _words(one)
    return _cells(one) if example.kind == "image" else _columns(model, one)


def log_odds(model: _Explainable, example: Examples, changed: Sequence[Any]) -> Float[np.ndarray, "changed labels"]:
    """Compute the log-odds of every label for changed inputs of an example, blended and before calibration."""
    inputs: Any = np.stack(changed) if example.kind == "vector" else changed
    places = [str(place) for place in range(len(changed))]
    examples = Examples(
        inputs=inputs,
        label_sets=None,
        kind=example.kind,
        ids=places,
        lines=range(1, len(changed) + 1),
        origin=example.origin,
        understood="",
    )
    return np.asarray(sum(model.view_contributions(examples).values()))


def _words(text: str) -> tuple[list[str], Callable[[Sequence[int]], str]]:
    words = list(dict.fromkeys(word.casefold() for word in re.findall(TOKEN, text)))[:MOST_WORDS]

    def without(places: Sequence[int]) -> str:
        removed = {words[place] for place in places}
        return re.sub(TOKEN, lambda found: "" if found[0].casefold() in removed else found[0], text)

    return words, without


def _cells(picture: Any) -> tuple[list[str], Callable[[Sequence[int]], np.ndarray]]:  # noqa: ANN401
    image = decode_picture(picture, place="the picture")
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    pixels = np.asarray(image)
    mean = np.rint(pixels.mean(axis=(0, 1))).astype(np.uint8)
    down, across = (np.linspace(0, side, GRID + 1).astype(int) for side in pixels.shape[:2])
    cells = [(row, column) for row in range(GRID) for column in range(GRID)]

    def without(places: Sequence[int]) -> np.ndarray:
        covered = pixels.copy()
        for row, column in (cells[place] for place in places):
            covered[down[row] : down[row + 1], across[column] : across[column + 1]] = mean
        return covered

    return [f"row {row}, column {column}" for row, column in cells], without


def _columns(
    model: _Explainable, vector: Float[np.ndarray, " dim"]
) -> tuple[list[str], Callable[[Sequence[int]], Float[np.ndarray, " dim"]]]:
    encoder = model.encoder
    mean = encoder.standardise.mean.numpy() if isinstance(encoder, VectorEncoder) else np.zeros_like(vector)

    def without(places: Sequence[int]) -> Float[np.ndarray, " dim"]:
        row = vector.copy()
        row[list(places)] = mean[list(places)]
        return row

    return [f"column {column}" for column in range(len(vector))], without


def _terms(model: _Explainable, example: Examples, column: int, most: int) -> tuple[Part, ...]:
    view = model.other_views.get(WordsView.name)
    if not isinstance(view, WordsView):
        return ()
    values = view.features.transform([str(text) for text in example.inputs_at([0])])
    weights = view.weight[[column], :].toarray()[0]
    names = [term for terms in view.features.terms for term in terms]
    return _largest([names[place] for place in values.indices], values.data * weights[values.indices], most)


def _largest(names: Sequence[str], effects: Float[np.ndarray, " parts"], most: int) -> tuple[Part, ...]:
    order = [place for place in np.argsort(-np.abs(effects), kind="stable")[:most] if effects[place]]
    return tuple(Part(name=names[place], effect=float(effects[place])) for place in order)
