"""Search for good settings: the sampler (Optuna) asks for trials, the engine runs them, the best settings are kept.

The sampler is drawn with the seed of the settings and told in the order in which it asked; so the same search asks for
the same trials, and what the store holds of them is not run again. The objective is measured on validation alone.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import Any

from labelcontrast.errors import ConfigError
from labelcontrast.files import is_claimed, read_json, write_json
from labelcontrast.lab.ray_cluster import run_at
from labelcontrast.lab.search_report import LABEL, SEARCH, TRIALS, Tried, write_search
from labelcontrast.lab.search_space import Range, Searched
from labelcontrast.lab.store import Store
from labelcontrast.lab.trials import Runner, RunOptions, Trial, data_print, encoder_print, identify
from labelcontrast.lab.workers import Event
from labelcontrast.reports.tables import Table
from labelcontrast.run.machine import describe_origin
from labelcontrast.settings import RunSettings

DIGITS = 3
"""Significant digits of what is tried, so that the best settings can be read and written down."""


class Sampler:
    """Asks for values in ranges and hears how good they were; the same answers lead to the same questions.

    Args:
        space: the ranges by name.
        seed: of what is drawn.

    Reference: Watanabe, Tree-Structured Parzen Estimator: Understanding Its Algorithm Components, 2023.
    """

    def __init__(self, space: Mapping[str, Range], *, seed: int) -> None:
        optuna = import_module("optuna")  # an extra
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._failed = optuna.trial.TrialState.FAIL
        self._within = {
            name: optuna.distributions.FloatDistribution(one.low, one.high, log=one.log) for name, one in space.items()
        }
        self._asked: list[Any] = []

    def ask(self, count: int) -> list[dict[str, float]]:
        """Choose the values of the next trials."""
        self._asked = [self._study.ask(self._within) for _ in range(count)]
        return [{name: float(f"{one.params[name]:.{DIGITS}g}") for name in self._within} for one in self._asked]

    def tell(self, scores: Sequence[float | None]) -> None:
        """Hear what the trials asked for came to, higher is better; None where one failed."""
        for one, score in zip(self._asked, scores, strict=True):
            if score is None or not isfinite(score):
                self._study.tell(one, state=self._failed)
            else:
                self._study.tell(one, score)

    def importance(self) -> dict[str, float]:
        """Share out over the settings how much the best trials differ from the others by each; empty if none do.

        Reference: Watanabe et al., PED-ANOVA: Efficiently Quantifying Hyperparameter Importance, 2023.
        """
        values = {one.value for one in self._study.get_trials(deepcopy=False) if one.value is not None}
        if len(values) < 4 or len(self._within) < 2:
            return {}
        importance = import_module("optuna").importance
        found = importance.get_param_importances(self._study, evaluator=importance.PedAnovaImportanceEvaluator())
        return {name: float(found[name]) for name in self._within}


NAMED = {"settings": "settings", "searched": "losses or ranges", "prints": "data or another encoder"}


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """How a search is run; as many trials as there are jobs are asked for before the next are chosen."""

    trials: int = 20
    """Runs a loss."""
    store: Path | None = None
    """Where results go; by default below the search's folder. It may be that of studies, which share their trials."""


def run_search(
    settings: RunSettings,
    searched: Sequence[Searched],
    folder: Path,
    options: Options = Options(),
    *,
    say: Callable[[str], None] = lambda _: None,
) -> Table:
    """Look for the settings with the best mAP on validation, for each loss by itself.

    Args:
        settings: what all trials share.
        searched: the losses, and what varies under each.
        folder: where everything goes.
        options: how it is run.
        say: hears of progress.

    Returns:
        The table of the best settings of each loss; ``best.toml`` holds the best of all, complete.

    Raises:
        RunError: when the folder holds something and neither switch allows it.
        ConfigError: when the search to be resumed was another.
    """
    prints: dict[str, Any] = {"data": data_print(settings.data), "encoder": encoder_print(settings.encoder.name)}
    store = Store(options.store or folder / TRIALS)
    content = claim_search(folder, _content(settings, searched, prints, options), options)
    width: int = content["width"]
    trials: list[list[Trial]] = [[] for _ in searched]
    samplers = [Sampler(one.space, seed=settings.seed) for one in searched]
    for first in range(0, options.trials, width):
        for one, sampler, planned, asked in zip(searched, samplers, trials, content["asked"], strict=True):
            for values in sampler.ask(min(width, options.trials - first)):
                chosen = one.under(settings, values)
                key = identify(chosen, **prints)
                title = f"{one.loss.title}, trial {len(planned) + 1} of {options.trials}"
                planned.append(Trial(key, title, chosen, store.folder / key))
                asked.append({"key": key, "values": values})
        write_json(folder / SEARCH, content)
        _run([trial for planned in trials for trial in planned[first:]], store, options, say)
        for sampler, planned in zip(samplers, trials, strict=True):
            sampler.tell([Tried({}, store.read(trial.key) or {}).score for trial in planned[first:]])
    content["importance"] = [sampler.importance() for sampler in samplers]
    write_json(folder / SEARCH, content)
    return write_search(folder)


def claim_search(folder: Path, content: dict[str, Any], options: Options) -> dict[str, Any]:
    """Make sure that a search may write here; one that is gone on with asks for as many at a time as in the beginning.

    Raises:
        RunError: when the folder holds something and neither switch allows it.
        ConfigError: when the search to be resumed was another.
    """
    if is_claimed(folder, SEARCH, "search", resume=options.resume, force=options.force):
        if options.force:
            shutil.rmtree(folder)
        else:
            before = read_json(folder / SEARCH)
            content |= {"width": before["width"]}
            for name in ("settings", "searched", "prints"):
                if before[name] != content[name]:
                    message = f"{folder} holds a search with other {NAMED[name]}; choose another folder."
                    raise ConfigError(message)
    write_json(folder / SEARCH, content)
    return content


def _content(
    settings: RunSettings, searched: Sequence[Searched], prints: dict[str, Any], options: Options
) -> dict[str, Any]:
    """Say in plain values what is searched, and how; what is asked for comes later."""
    return {
        "settings": settings.model_dump(mode="json", exclude_none=True),
        "searched": [
            {"loss": one.loss.title, "space": {name: asdict(range_) for name, range_ in one.space.items()}}
            for one in searched
        ],
        "prints": prints,
        "width": options.jobs,
        "store": str(options.store.resolve()) if options.store else None,
        "asked": [[] for _ in searched],
        "importance": [{} for _ in searched],
        "origin": describe_origin(),
    }


def _run(trials: Sequence[Trial], store: Store, options: Options, say: Callable[[str], None]) -> None:
    """Run the trials of a round that the store does not hold; what failed in an earlier command is tried again."""
    unique = {trial.key: trial for trial in trials}
    for trial in trials:
        record = store.read(trial.key)
        if record is None:
            continue
        if "error" in record:
            store.forget(trial.key)
        else:
            say(f"{trial.title}: done before")

    def tell(event: Event) -> None:
        if event.kind == "ended":
            tried = Tried({}, store.read(event.key) or {})
            came_to = f"failed: {tried.error}" if tried.score is None else f"{LABEL} {100 * tried.score:.2f}"
            say(f"{unique[event.key].title}: {came_to}")

    run_at(options.ray)(list(unique.values()), store, Runner(options.device), jobs=options.jobs, tell=tell)
