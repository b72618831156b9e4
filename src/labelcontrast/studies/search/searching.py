"""A search from its ranges to its page: a sampler asks for trials, the engine runs them, the best settings are kept.

The sampler is drawn with the seed of the settings and told in the order in which it asked; so the same search asks for
the same trials, and what the store holds of them is not run again. The objective is measured on validation alone.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from labelcontrast.config.settings import RunSettings
from labelcontrast.errors import ConfigError
from labelcontrast.files import is_claimed, read_json, write_json
from labelcontrast.reports.tables import Table
from labelcontrast.studies.engine.identity import data_print, encoder_print, identify
from labelcontrast.studies.engine.ray_cluster import run_at
from labelcontrast.studies.engine.store import Store
from labelcontrast.studies.engine.trials import Runner, Trial
from labelcontrast.studies.engine.workers import Event
from labelcontrast.studies.search.page import LABEL, Tried, write_search
from labelcontrast.studies.search.sampler import Sampler
from labelcontrast.studies.search.space import Searched

SEARCH, TRIALS = "search.json", "trials"
NAMED = {"settings": "settings", "searched": "losses or ranges", "prints": "data or another encoder"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a search is run."""

    trials: int = 20
    """Runs a loss."""
    jobs: int = 1
    """Runs at a time, each in a process of its own; as many are asked for before the next are chosen."""
    ray: str | None = None
    """The Ray cluster where they run; by default they run here."""
    resume: bool = False
    """Go on with the search that is there; more trials may be asked for."""
    force: bool = False
    """Remove the search that is there."""
    device: str = "cpu"
    """Where features are computed."""


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
    width = claim_search(folder, _content(settings, searched, prints), options)
    store, trials = Store(folder / TRIALS), [list[Tried]() for _ in searched]
    samplers = [Sampler(one.space, seed=settings.seed) for one in searched]
    for first in range(0, options.trials, width):
        for one, sampler, tried in zip(searched, samplers, trials, strict=True):
            for values in sampler.ask(min(width, options.trials - first)):
                chosen = one.under(settings, values)
                key = identify(chosen, **prints)
                title = f"{one.loss.title}, trial {len(tried) + 1} of {options.trials}"
                tried.append(Tried(Trial(key, title, chosen, store.folder / key), values))
        _run([one.trial for tried in trials for one in tried[first:]], store, options, say)
        for sampler, tried in zip(samplers, trials, strict=True):
            tried[first:] = [replace(one, record=store.read(one.trial.key) or {}) for one in tried[first:]]
            sampler.tell([one.score for one in tried[first:]])
    return write_search(folder, searched, trials, [sampler.importance() for sampler in samplers])


def claim_search(folder: Path, content: dict[str, Any], options: Options) -> int:
    """Make sure that a search may write here, and say how many trials it asks for at a time, now as in the beginning.

    Raises:
        RunError: when the folder holds something and neither switch allows it.
        ConfigError: when the search to be resumed was another.
    """
    content["width"] = options.jobs
    if is_claimed(folder, SEARCH, "search", resume=options.resume, force=options.force):
        if options.force:
            shutil.rmtree(folder)
        else:
            before = read_json(folder / SEARCH)
            content["width"] = before["width"]
            for name in ("settings", "searched", "prints"):
                if before[name] != content[name]:
                    message = f"{folder} holds a search with other {NAMED[name]}; choose another folder."
                    raise ConfigError(message)
    write_json(folder / SEARCH, content)
    return int(content["width"])


def _content(settings: RunSettings, searched: Sequence[Searched], prints: dict[str, Any]) -> dict[str, Any]:
    """Say in plain values what is searched."""
    return {
        "settings": settings.model_dump(mode="json", exclude_none=True),
        "searched": [
            {"loss": one.loss.title, "space": {name: asdict(range_) for name, range_ in one.space.items()}}
            for one in searched
        ],
        "prints": prints,
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
            tried = Tried(unique[event.key], {}, store.read(event.key) or {})
            came_to = f"failed: {tried.error}" if tried.score is None else f"{LABEL} {100 * tried.score:.2f}"
            say(f"{tried.trial.title}: {came_to}")

    run_at(options.ray)(list(unique.values()), store, Runner(options.device), jobs=options.jobs, tell=tell)
