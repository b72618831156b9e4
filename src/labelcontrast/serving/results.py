"""What a server shows of the results of a run: its test examples, its training examples, and the map of embeddings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labelcontrast.data.batches import encode_labels
from labelcontrast.data.examples import Examples
from labelcontrast.encoders.cache import saved_arrays
from labelcontrast.errors import LabelContrastError
from labelcontrast.files import read_json
from labelcontrast.metrics.counting import row_blocks
from labelcontrast.metrics.measures import Outputs
from labelcontrast.metrics.neighbours import nearest_neighbours, unit_rows
from labelcontrast.probes.views import NeighboursView
from labelcontrast.reports.projection import MOST_POINTS, fit_to_drawing
from labelcontrast.run.examples import (
    confused_labels,
    example_errors,
    shown_examples,
    shown_inputs,
    threshold_curve,
    wrong_pairs,
)
from labelcontrast.run.folder import EXAMPLES, FEATURES, OUTPUTS, PER_LABEL, SCATTER, load_settings, undamaged
from labelcontrast.run.inputs import load_data
from labelcontrast.run.model import TrainedModel

PLACED_BY = 10
"""Nearest test examples, whose mean place on the map is that of an input."""
HARDEST = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class Results:
    """The results of a run, as far as its folder and its data still hold them."""

    names: tuple[str, ...]
    per_label: list[dict[str, Any]]
    outputs: Outputs | None
    saved: Mapping[str, Any]
    """The examples that the folder holds; they stand for the test examples where the data are gone."""
    test: Examples | None
    train: Examples | None
    features: np.ndarray
    """Embeddings of the test examples, of unit length."""
    scatter: Mapping[str, Any] | None
    places: np.ndarray
    """The test examples on the map."""

    @classmethod
    def load(cls, folder: Path, model: TrainedModel, *, with_data: bool) -> "Results":
        """Read the results of a run folder, and with ``with_data`` the examples that it was trained and tested on."""
        with undamaged(folder):
            outputs = Outputs.load(folder / OUTPUTS) if (folder / OUTPUTS).exists() else None
            found = {name: _json(folder / name) for name in (PER_LABEL, EXAMPLES, SCATTER)}
            arrays = saved_arrays(folder / FEATURES) if (folder / FEATURES).exists() else {}
        features = unit_rows(arrays["test"], zero=True).numpy() if "test" in arrays else np.empty((0, 0), np.float32)
        test, train = _read_data(folder, model, outputs) if with_data else (None, None)
        view = model.other_views.get(NeighboursView.name)
        if train is not None and isinstance(view, NeighboursView) and len(train) != len(view.embeddings):
            train = None
        return cls(
            names=model.labels,
            per_label=found[PER_LABEL] or [],
            outputs=outputs,
            saved=found[EXAMPLES] or {},
            test=test,
            train=train,
            features=features,
            scatter=found[SCATTER],
            places=_places(found[SCATTER], len(features), load_settings(folder).seed),
        )

    def show(self, near: list[dict[str, Any]]) -> None:
        """Add what a page shows of their inputs to training examples that are known by ``row``, where the data are."""
        if self.train is not None:
            rows = sorted({one["row"] for one in near})
            shown = dict(zip(rows, shown_inputs(self.train, np.array(rows, np.int64)), strict=True))
            for one in near:
                one.update(shown[one["row"]])

    def place(self, embeddings: np.ndarray) -> list[list[float] | None]:
        """Place embeddings on the drawn map, each at the mean of its nearest test examples; None without a map."""
        if self.scatter is None or not len(self.places):
            return [None] * len(embeddings)
        units, points = unit_rows(embeddings, zero=True).numpy(), np.array(self.drawn())
        drawn = self.features[self.places]
        rows = nearest_neighbours(units, drawn, neighbours=min(PLACED_BY, len(drawn)))
        return [points[row].mean(axis=0).round(2).tolist() for row in rows]

    def drawn(self) -> list[list[float]]:
        """Scale the points of the map to a drawing that is 100 wide and 70 high."""
        return fit_to_drawing(np.array((self.scatter or {}).get("points", ())).reshape(-1, 2))

    def mistakes(self, start: int, count: int) -> tuple[list[dict[str, Any]], int]:
        """Return some test examples, those with a wrong label first, the largest loss first, and their number."""
        if self.test is None or self.outputs is None:
            rows = [*self.saved.get("mistakes", ()), *self.saved.get("successes", ())]
            return rows[start : start + count], len(rows)
        losses, wrong, _ = example_errors(self.outputs)
        order = np.lexsort((-losses, ~wrong))[start : start + count]
        return shown_examples(self.test, self.names, self.outputs, losses, order), len(losses)

    def curve(self, column: int) -> list[dict[str, float]]:
        """Count right, wrong and missed test examples of a label at thresholds from 0 to 1."""
        return [] if self.outputs is None else threshold_curve(self.outputs, column)

    def hardest(self, column: int) -> dict[str, list[dict[str, Any]]]:
        """Return the test examples that most surely have a label wrongly, and most surely lack it wrongly."""
        if self.test is None or self.outputs is None:
            return {}
        losses, _, _ = example_errors(self.outputs)
        bad, true = wrong_pairs(self.outputs)[:, column], self.outputs.labels[:, column] > 0
        by_score = np.argsort(-self.outputs.scores[:, column], kind="stable")
        rows = {"wrong": by_score[(bad & ~true)[by_score]], "missed": by_score[::-1][(bad & true)[by_score[::-1]]]}
        return {
            name: shown_examples(self.test, self.names, self.outputs, losses, order[:HARDEST])
            for name, order in rows.items()
        }

    def confused(self, column: int) -> dict[str, list[tuple[str, int]]]:
        """Count the labels that are wrong where this one is missed, and missed where this one is wrong."""
        return {} if self.outputs is None else confused_labels(self.outputs, self.names, column)


def _json(path: Path) -> Any:  # noqa: ANN401
    return read_json(path) if path.exists() else None


def _read_data(folder: Path, model: TrainedModel, outputs: Outputs | None) -> tuple[Examples | None, Examples | None]:
    """Read the test and training examples again; none when they are gone, or are others than those of the run."""
    try:
        splits = load_data(load_settings(folder)).splits
        truth, _ = encode_labels(splits.test, model.vocabulary)
    except (LabelContrastError, OSError):
        return None, None
    if outputs is None or truth.shape != outputs.labels.shape:
        return None, None
    if any(((truth[at].toarray() > 0) != (outputs.labels[at] > 0)).any() for at in row_blocks(truth.shape)):
        return None, None
    return splits.test, splits.train


def _places(scatter: Mapping[str, Any] | None, count: int, seed: int) -> np.ndarray:
    """Return which test examples are on the map: all, or the sample that ``project`` has drawn."""
    drawn = 0 if scatter is None else len(scatter["points"])
    if drawn == count:
        return np.arange(count)
    if drawn == MOST_POINTS < count:
        return np.sort(np.random.default_rng(seed).choice(count, size=MOST_POINTS, replace=False))
    return np.empty(0, np.int64)
