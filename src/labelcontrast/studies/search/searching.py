"""A search from its ranges to its page: a sampler asks for trials, the engine runs them, the best settings are kept.

The sampler is drawn with the seed of the settings and told in the order in which it asked; so the same search asks for
the same trials, and what the store holds of them is not run again. The objective is measured on validation alone.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labelcontrast.config.settings import RunSettings
from labelcontrast.errors import ConfigError
from labelcontrast.files import is_claimed, read_json, write_json
from labelcontrast.reports.tables import Table
from labelcontrast.run.provenance import describe_origin
from labelcontrast.studies.engine.identity import data_print, encoder_print, identify
from labelcontrast.studies.engine.options import RunOptions
from labelcontrast.studies.engine.ray_cluster import run_at
from labelcontrast.studies.engine.store import Store
from labelcontrast.studies.engine.trials import Runner, Trial
from labelcontrast.studies.engine.workers import Event
from labelcontrast.studies.search.page import LABEL, SEARCH, TRIALS, Tried, write_search
from labelcontrast.studies.search.sampler import Sampler
from labelcontrast.studies.search.space import Searched

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
