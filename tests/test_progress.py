"""Progress: every long loop of a run counts its steps to the end, and nothing is shown where nobody asked."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from labelcontrast.data.splits import load_splits
from labelcontrast.experiment import run_experiment
from labelcontrast.lab.comparison import run_comparison
from labelcontrast.progress import shown_by, steps, tracked
from labelcontrast.run.fitting import Callbacks
from labelcontrast.run.model import load
from labelcontrast.settings import RunSettings, parse_losses


class Recorder:
    """The work that was shown, with its totals and the steps that were done."""

    def __init__(self) -> None:
        self.totals: dict[str, list[int | None]] = defaultdict(list)
        self.done: dict[str, list[int]] = defaultdict(list)

    @contextmanager
    def __call__(self, what: str, total: int | None) -> Iterator[Callable[[int], object]]:
        self.totals[what].append(total)
        self.done[what].append(0)
        place = len(self.done[what]) - 1

        def advance(number: int) -> None:
            self.done[what][place] += number

        yield advance


def test_only_the_work_within_the_block_is_shown() -> None:
    recorder = Recorder()
    with shown_by(recorder), steps("outer", 7) as advance:
        advance(3)
        advance(4)
        assert list(tracked(iter("ab"), "inner")) == ["a", "b"]
    assert list(tracked([1, 2], "later")) == [1, 2]
    with steps("later", 1) as advance:
        advance(1)
    assert (recorder.totals, recorder.done) == ({"outer": [7], "inner": [None]}, {"outer": [7], "inner": [2]})


def test_the_stages_of_a_run_and_of_its_use_count_to_the_end(vectors: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    values = {"data": str(vectors), "loss": {"name": "reg"}, "training": {"epochs": 2, "batch_size": 32}}
    with shown_by(recorder):
        run_experiment(RunSettings.build(values), tmp_path / "run")
        assert recorder.totals["training"] == [2 * int(np.ceil(168 / 32))]
        model, test = load(tmp_path / "run"), load_splits(vectors, seed=0).test
        model.predict(test)
        model.explain(test.select(np.arange(3)))
    expected = {"training", "embeddings", "probe", "blend", "shares of the views", "view of trees", "explanations"}
    assert recorder.totals.keys() >= expected
    assert recorder.done == recorder.totals


def test_a_resumed_training_starts_where_it_was(vectors: Path, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    values = {
        "data": str(vectors),
        "loss": {"name": "bce"},
        "training": {"epochs": 3},
        "evaluation": {"views": "probe"},
    }
    settings, recorder = RunSettings.build(values), Recorder()

    def stop(epoch: object) -> None:
        raise Stop

    with pytest.raises(Stop):
        run_experiment(settings, tmp_path / "run", callbacks=Callbacks(on_epoch=stop))
    with shown_by(recorder):
        run_experiment(settings, tmp_path / "run", resume=True)
    assert recorder.done["training"] == recorder.totals["training"]


def test_trials_are_counted(vectors: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    settings = RunSettings.build({"data": str(vectors), "training": {"epochs": 1}})
    with shown_by(recorder):
        run_comparison(settings, parse_losses("bce,zlpr"), tmp_path / "out", seeds=1, baseline=False)
    assert recorder.done["trials"] == recorder.totals["trials"] == [2]
