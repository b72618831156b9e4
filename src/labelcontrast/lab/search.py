"""Search for the settings with the best mAP on the validation split, and write them with a page.

search.json    the ranges, the values of every trial, the importance of each setting, and the command
trials/        the store of records, and the run folders
best.toml      all settings of the best trial, for ``train --config``
table.md       the best trials of each loss
report.html    the page: the table, the history of the search, and the importance of each setting

The sampler (Optuna) is seeded and receives the scores in the order of the trials; so the same search tries the same
values, and trials in the store are not run again. The test split plays no part.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from itertools import accumulate
from math import isfinite
from pathlib import Path
from typing import Any

from labelcontrast.errors import ConfigError
from labelcontrast.files import Layout, read_json, write_json, write_text
from labelcontrast.lab.pipeline import TRIALS, Options, Progress, claim_folder, refuse_failures, run_missing
from labelcontrast.lab.search_space import Range, SearchedLoss
from labelcontrast.lab.trial_pages import Panel, Series, TrialsSummary, count_failures, draw, write_trials_page
from labelcontrast.lab.trials import Record, Runner, Store, Trial, fingerprint_data, fingerprint_encoder, identify
from labelcontrast.progress import tracked
from labelcontrast.reports.tables import NOTHING, Cell, Table, as_markdown
from labelcontrast.run.folder import REPORT
from labelcontrast.run.machine import describe_origin, machine_facts
from labelcontrast.run.validation import with_recorded
from labelcontrast.settings import RunSettings

SEARCH, BEST, TABLE = "search.json", "best.toml", "table.md"
LAYOUT = Layout(kind="search", marker=SEARCH, keys={"searched"}, entries=(SEARCH, TRIALS, BEST, TABLE, REPORT))
SCORE = "validation mAP (%)"
BEST_SHOWN = 3
"""Trials of each loss in the table."""
DIGITS = 3
"""Significant digits of the values that are tried, so that the best settings are readable."""
FIXED = {"settings": "settings", "searched": "losses or ranges", "prints": "data or another encoder"}
"""Keys of ``search.json`` that must not change when a search is resumed, with their names."""


@dataclass(frozen=True)
class SearchTrial:
    """A trial of a search: the values of the searched settings, and the record, empty as long as it has not ended."""

    values: Mapping[str, float]
    record: Record

    @property
    def score(self) -> float | None:
        """The mAP on the validation split; None if the trial failed or has not ended."""
        result = self.record.get("result")
        score: float | None = result["metrics"]["val"]["map_macro"] if result else None
        return score

    @property
    def error(self) -> str | None:
        """The error of a trial that failed."""
        return self.record.get("error")


@dataclass(frozen=True)
class LossHistory:
    """The search of one loss."""

    loss: str
    space: Mapping[str, Range]
    trials: Sequence[SearchTrial]
    """In the order in which they were asked for."""
    importance: Mapping[str, float]
    """Share of each setting in the importance of all; empty if unknown."""

    @property
    def best_first(self) -> list[SearchTrial]:
        """The trials with a score, the best first."""
        return sorted((one for one in self.trials if one.score is not None), key=_rank)


class Sampler:
    """Choose values within ranges, given the scores of earlier ones; equal scores lead to equal choices.

    Args:
        space: The range of each setting.
        seed: Seed of the random choices.

    Reference: Watanabe, Tree-Structured Parzen Estimator: Understanding Its Algorithm Components, 2023.
    """

    def __init__(self, space: Mapping[str, Range], *, seed: int) -> None:
        optuna = import_module("optuna")  # an extra
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._failed = optuna.trial.TrialState.FAIL
        self._space = {
            name: optuna.distributions.FloatDistribution(one.low, one.high, log=one.log) for name, one in space.items()
        }
        self._asked: list[Any] = []

    def ask(self, count: int) -> list[dict[str, float]]:
        """Return the values of the next trials."""
        self._asked = [self._study.ask(self._space) for _ in range(count)]
        return [{name: float(f"{one.params[name]:.{DIGITS}g}") for name in self._space} for one in self._asked]

    def tell(self, scores: Sequence[float | None]) -> None:
        """Set the scores of the trials last asked for, higher is better; None for one that failed."""
        for one, score in zip(self._asked, scores, strict=True):
            if score is None or not isfinite(score):
                self._study.tell(one, state=self._failed)
            else:
                self._study.tell(one, score)

    def importance(self) -> dict[str, float]:
        """Return how much each setting distinguishes the best trials, as a share of all settings; empty if unknown.

        Reference: Watanabe et al., PED-ANOVA: Efficiently Quantifying Hyperparameter Importance, 2023.
        """
        values = {one.value for one in self._study.get_trials(deepcopy=False) if one.value is not None}
        if len(values) < 4 or len(self._space) < 2:
            return {}
        importance = import_module("optuna").importance
        found = importance.get_param_importances(self._study, evaluator=importance.PedAnovaImportanceEvaluator())
        return {name: float(found[name]) for name in self._space}


def run_search(
    settings: RunSettings,
    searched: Sequence[SearchedLoss],
    folder: str | Path,
    *,
    trials: int = 20,
    store: str | Path | None = None,
    options: Options = Options(),  # noqa: B008  frozen
    say: Callable[[str], None] = lambda _: None,
) -> Table:
    """Search for the settings with the best mAP on the validation split, separately for each loss.

    Args:
        settings: Settings that all trials share.
        searched: The losses, each with its ranges.
        folder: The output folder.
        trials: Runs of each loss.
        store: The folder of the records, which studies and searches may share; by default below ``folder``.
        options: How the trials are run; ``jobs`` trials of a loss are chosen at a time.
        say: Receives messages.

    Returns:
        The table of the best trials of each loss; ``best.toml`` has all settings of the best.

    Raises:
        RunError: The folder holds something, and ``options`` neither resume nor remove it.
        ConfigError: The search to be resumed had other settings, losses, ranges, data or encoder files.
    """
    folder, records = Path(folder), Store(Path(store or Path(folder) / TRIALS))
    if options.resume:
        settings = with_recorded(settings, folder / SEARCH)
    data_print, encoder_print = fingerprint_data(settings.data), fingerprint_encoder(settings.encoder.name)
    content: dict[str, Any] = {
        "settings": settings.model_dump(mode="json", exclude_none=True),
        "searched": [
            {"loss": one.loss.title, "space": {name: asdict(range_) for name, range_ in one.space.items()}}
            for one in searched
        ],
        "prints": {"data": data_print, "encoder": encoder_print},
        "width": options.jobs,
        "store": str(records.folder.resolve()) if store else None,
        "asked": [[] for _ in searched],
        "importance": [{} for _ in searched],
        "origin": describe_origin(),
    }
    progress, runner, run = Progress(say, describe=_describe_score), Runner(options.device), list[Trial]()
    samplers = [Sampler(one.space, seed=settings.seed) for one in searched]
    with claim_folder(folder, LAYOUT, options) as hold:
        if hold.resumes:
            content["width"] = _resumed_width(folder, content)
        write_json(folder / SEARCH, content, sealed=True)
        hold.share()
        for first in tracked(range(0, trials, content["width"]), "search"):
            chosen: list[list[Trial]] = []
            for one, sampler, asked in zip(searched, samplers, content["asked"], strict=True):
                values = sampler.ask(min(content["width"], trials - first))
                each = [one.apply(settings, own) for own in values]
                keys = [identify(own, data=data_print, encoder=encoder_print) for own in each]
                asked += [{"key": key, "values": own} for key, own in zip(keys, values, strict=True)]
                chosen.append(
                    [
                        Trial(key, f"{one.loss.title}, trial {number} of {trials}", own, records.folder / key)
                        for number, (key, own) in enumerate(zip(keys, each, strict=True), start=first + 1)
                    ]
                )
            write_json(folder / SEARCH, content, sealed=True)
            run += [trial for own in chosen for trial in own]
            run_missing([trial for own in chosen for trial in own], records, runner, options, progress)
            for sampler, own in zip(samplers, chosen, strict=True):
                sampler.tell([SearchTrial({}, records.read(trial.key) or {}).score for trial in own])
        content["importance"] = [sampler.importance() for sampler in samplers]
        write_json(folder / SEARCH, content, sealed=True)
        table = write_search(folder)
    refuse_failures(run, records)
    return table


def write_search(folder: str | Path) -> Table:
    """Write the best settings, the table and the page of a search, finished or not, from its folder and its store.

    Returns:
        The table of the best trials.
    """
    folder = Path(folder)
    content = read_json(folder / SEARCH)
    histories = read_histories(folder, content)
    best = sorted((one for history in histories for one in history.best_first), key=_rank)
    if best:
        RunSettings.build(best[0].record["settings"]).write(folder / BEST)
    table = search_table(histories)
    write_text(folder / TABLE, as_markdown(table) + "\n")
    panels = [*_score_panels(histories), *_importance_panels(histories)]
    origin, ended = content["origin"], [one for history in histories for one in history.trials if one.record]
    summary = TrialsSummary(
        title=f"Search: {', '.join(history.loss for history in histories)}",
        question="Which settings are the best on validation?",
        command=origin["command"],
        table=table,
        panels=panels,
        glossary=[(SCORE, "Mean average precision on the validation split. The test split plays no part in a search.")],
        failures=[(one.record["title"], one.error) for one in ended if one.error],
        facts=[("trials", count_failures([one.record for one in ended])), *machine_facts(origin)],
        settings={f"{history.loss}: {name}": str(one) for history in histories for name, one in history.space.items()},
        versions=origin["versions"],
        duration=sum(one.record["seconds"] for one in ended),
    )
    write_trials_page(folder / REPORT, "search.html", summary, [draw(panel) for panel in panels])
    return table


def read_histories(folder: Path, content: Mapping[str, Any]) -> list[LossHistory]:
    """Read the records of the trials that ``search.json`` lists."""
    store = Store(Path(content["store"]) if content["store"] else folder / TRIALS)
    return [
        LossHistory(
            one["loss"],
            {name: Range(**ends) for name, ends in one["space"].items()},
            [SearchTrial(each["values"], store.read(each["key"]) or {}) for each in asked],
            importance,
        )
        for one, asked, importance in zip(content["searched"], content["asked"], content["importance"], strict=True)
    ]


def search_table(histories: Sequence[LossHistory]) -> Table:
    """Tabulate the best trials of each loss, with the best of all marked."""
    names = list(dict.fromkeys(name for history in histories for name in history.space))
    best = max((one.score or 0.0 for history in histories for one in history.best_first), default=None)
    rows = []
    for history in histories:
        once = {tuple(one.values.items()): one for one in reversed(history.best_first)}  # values may be asked for again
        for one in sorted(once.values(), key=_rank)[:BEST_SHOWN]:
            values = [Cell(f"{one.values[name]:g}" if name in one.values else NOTHING) for name in names]
            score = Cell(f"{100 * (one.score or 0):.2f}", best=one.score == best)
            rows.append((Cell(history.loss), score, *values, Cell(str(history.trials.index(one) + 1))))
    return Table(("loss", SCORE, *names, "trial"), tuple(rows))


def _resumed_width(folder: Path, content: Mapping[str, Any]) -> int:
    """Return how many trials were chosen at a time before; a search that is resumed must be the same."""
    before = read_json(folder / SEARCH)
    for name, noun in FIXED.items():
        if before[name] != content[name]:
            message = f"{folder} holds a search with other {noun}; choose another folder."
            raise ConfigError(message)
    return int(before["width"])


def _describe_score(record: Record) -> str:
    trial = SearchTrial({}, record)
    return f"failed: {trial.error}" if trial.score is None else f"{SCORE} {100 * trial.score:.2f}"


def _rank(trial: SearchTrial) -> float:
    return -(trial.score or 0.0)


def _score_panels(histories: Sequence[LossHistory]) -> list[Panel]:
    """Return a panel for each loss with the score of each trial and the best score so far."""
    panels: list[Panel] = []
    for history in histories:
        scores = {
            number: 100 * one.score for number, one in enumerate(history.trials, start=1) if one.score is not None
        }
        if scores:
            numbers, best = list(scores), accumulate(scores.values(), max)
            series = [
                Series(name="trial", x=numbers, values=[[score] for score in scores.values()]),
                Series(name="best so far", x=numbers, values=[[score] for score in best]),
            ]
            name = f"history-{len(panels)}"
            panels.append(
                Panel(name=name, kind="lines", title=history.loss, x_label="trial", y_label=SCORE, series=series)
            )
    return panels


def _importance_panels(histories: Sequence[LossHistory]) -> list[Panel]:
    """Return a panel for each loss with the importance of its settings."""
    return [
        Panel(
            name=f"importance-{place}",
            kind="dots",
            title=history.loss,
            x_label="setting",
            y_label="importance (%)",
            series=[Series(name=name, values=[[100 * value]]) for name, value in history.importance.items()],
        )
        for place, history in enumerate(histories)
        if history.importance
    ]
