"""The runs that a server answers for, each a model in memory with its name and version."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from labelcontrast.data.examples import Examples
from labelcontrast.encoders.base import Kind
from labelcontrast.errors import ConfigError, RequestError, nearest
from labelcontrast.files import checksum
from labelcontrast.probes.thresholds import Thresholds
from labelcontrast.run.folder import MANIFEST, MODEL
from labelcontrast.run.model import TrainedModel, load
from labelcontrast.serving.results import Results


@dataclass(frozen=True, eq=False)
class ServedRun:
    """One version of a run: loaded whole, and never changed, so that requests finish on the version they began with."""

    name: str
    folder: Path
    model: TrainedModel
    version: str
    results: Results

    @classmethod
    def load(cls, folder: str | Path, *, with_data: bool = True) -> "ServedRun":
        """Load a run folder; its name is that of the run. With ``with_data`` read its data too, to show examples.

        Raises:
            RunError: The folder is not a finished run, or it is damaged.
        """
        folder = Path(folder).resolve()
        listed = folder / MANIFEST if (folder / MANIFEST).exists() else folder / MODEL
        model = load(folder)
        results = Results.load(folder, model, with_data=with_data)
        return cls(folder.name, folder, model, checksum(listed)[:12], results)

    @property
    def kind(self) -> Kind:
        """The kind of inputs that the model reads."""
        return self.model.encoder.kind

    def examples(self, inputs: Sequence[Any]) -> Examples:
        """Make examples of inputs that are checked; pictures are the bytes of their files."""
        kind = self.kind
        lines = range(1, len(inputs) + 1)
        return Examples(
            inputs=np.stack(inputs) if kind == "vector" else list(inputs),
            label_sets=None,
            kind=kind,
            ids=[str(line) for line in lines],
            lines=lines,
            origin="the request",
            understood="",
        )

    def scores(self, inputs: list[Any]) -> np.ndarray:
        """Compute the probability of every label of each input."""
        return self.model.predict_proba(self.examples(inputs))

    def embeddings(self, inputs: list[Any]) -> np.ndarray:
        """Compute the embedding of each input."""
        return self.model.embed(self.examples(inputs))

    def explanations(self, inputs: list[Any], *, top: int, most: int, near: int) -> list[dict[str, Any]]:
        """Explain the ``top`` labels of each input as ``model.explain`` does, with its place on the map."""
        examples = self.examples(inputs)
        found = self.model.explain(examples, top=top, most=most, near=near)
        places = self.results.place(self.model.embed(examples))
        return [{**one.as_row(), "place": place} for one, place in zip(found, places, strict=True)]

    def neighbours(self, inputs: list[Any], *, count: int) -> list[list[dict[str, Any]]]:
        """Find the nearest training examples of each input as ``model.neighbours`` does."""
        return [[asdict(near) for near in found] for found in self.model.neighbours(self.examples(inputs), count)]

    def thresholds(self, asked: float | dict[str, float] | None) -> Thresholds:
        """Return the thresholds of the run with those that a request asks for in their place."""
        if asked is None:
            return self.model.thresholds
        values = self.model.thresholds.values.copy()
        if isinstance(asked, float):
            values[:] = asked
        else:
            for name, value in asked.items():
                values[self.model.vocabulary.column[name]] = value
        return replace(self.model.thresholds, values=values)

    def labels(self) -> list[dict[str, Any]]:
        """List every label with its threshold, and how well it is predicted on test if the results are there."""
        measured = {row["label"]: row for row in self.results.per_label}
        pairs = zip(self.model.labels, self.model.thresholds.values.tolist(), strict=True)
        return [{**measured.get(name, {"label": name}), "threshold": value} for name, value in pairs]


class Runs:
    """The runs of a server by name; all are loaded anew and swapped at once.

    Args:
        folders: Of finished runs, whose names differ.
        with_data: Read the data of the runs too, where they still are, to show examples.

    Raises:
        ConfigError: Two folders have the same name.
        RunError: A folder is not a finished run, or it is damaged.
    """

    def __init__(self, folders: Sequence[str | Path], *, with_data: bool = True) -> None:
        self._with_data = with_data
        self._folders = [Path(folder).absolute() for folder in folders]
        names = [folder.resolve().name for folder in self._folders]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f'two runs have the name "{name}": rename a folder.')
        self._served = self._load()

    def _load(self) -> dict[str, ServedRun]:
        # In a thread that ends: its OpenMP threads end with it. Two teams beside one another are more threads than
        # processors, and then OpenMP puts those of the thread that computes to sleep after every operation.
        with ThreadPoolExecutor(max_workers=1) as thread:
            runs = thread.map(partial(ServedRun.load, with_data=self._with_data), self._folders)
            return {run.name: run for run in runs}

    def reload(self) -> None:
        """Load all folders again; requests that are open keep the version that they began with.

        Raises:
            RunError: A folder cannot be loaded; then all versions stay.
        """
        self._served = self._load()

    def all(self) -> list[ServedRun]:
        """Return the runs in the order of the command."""
        return list(self._served.values())

    def find(self, name: str | None) -> ServedRun:
        """Return the run of a name; without one, the first.

        Raises:
            RequestError: 404, when there is no such run.
        """
        served = self._served
        if name is None:
            return next(iter(served.values()))
        if name not in served:
            known = ", ".join(served)
            raise RequestError(404, "unknown_run", f'no run "{name[:100]}"{nearest(name, served)}; there are {known}.')
        return served[name]
