"""A study from its declaration to its page: claim the folder, run what the store does not hold, write the report."""

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelcontrast.errors import RunError
from labelcontrast.files import is_claimed, read_json, write_json
from labelcontrast.lab.plan import Planned, plan_study
from labelcontrast.lab.quantities import QUANTITIES, measure
from labelcontrast.lab.ray_cluster import run_at
from labelcontrast.lab.report import STUDY, TRIALS, write_study
from labelcontrast.lab.store import Store
from labelcontrast.lab.study import TRANSFER, Study
from labelcontrast.lab.trials import Runner, RunOptions, Trial, data_print, encoder_print, identify
from labelcontrast.lab.workers import Event
from labelcontrast.reports.tables import Table
from labelcontrast.run.folder import REPEATED
from labelcontrast.run.machine import describe_origin

SHOWN = "macro_f1"
"""The metric of the line that tells of a finished trial."""


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """How a study is run; its losses, seeds and values may have been added when it is resumed."""

    store: Path | None = None
    """Where results go; by default below the study's folder. Studies with a store in common share their trials."""


def run_study(
    study: Study,
    data: Sequence[str],
    settings: dict[str, Any],
    folder: Path,
    options: Options = Options(),
    *,
    say: Callable[[str], None] = lambda _: None,
) -> Table:
    """Run every trial of a study that its store does not hold, and write its report.

    What failed in an earlier command is tried again; a trial that fails is shown, and the others go on.

    Args:
        study: the declaration.
        data: files or folders.
        settings: what the user has set, nested; the defaults and the protocol of the study fill in the rest.
        folder: where the report goes.
        options: how it is run.
        say: hears of progress.

    Returns:
        The table.

    Raises:
        RunError: when the folder holds something and neither switch allows it.
        ConfigError: when a setting of a trial is wrong.
    """
    planned = plan_study(study, data, settings)
    store = Store(options.store or folder / TRIALS)
    trials = name_trials(planned, store)
    claim_study(folder, study, resume=options.resume, force=options.force)
    content = {
        "study": study.model_dump(mode="json"),
        "data": list(data),
        "settings": settings,
        "store": str(store.folder.resolve()) if options.store else None,
        "trials": [{"key": trial.key, "place": one.place} for trial, one in zip(trials, planned, strict=True)],
        "origin": describe_origin(),
    }
    write_json(folder / STUDY, content)
    for trial in trials:
        if (store.read(trial.key) or {}).get("error"):
            store.forget(trial.key)
    unique = list({trial.key: trial for trial in trials}.values())
    done = sum(store.holds(trial.key) for trial in unique)
    say(f"{study.name}: {len(unique)} trials" + (f", {done} done before" if done else ""))
    run_at(options.ray)(unique, store, Runner(options.device), jobs=options.jobs, tell=_teller(unique, store, say))
    drop_trainings(unique, store)
    return write_study(folder)


def name_trials(planned: Sequence[Planned], store: Store) -> list[Trial]:
    """Name every trial by what its result depends on; each run has its folder beside the store's results.

    Trials that differ in what comes after the training alone have one training in common.
    """
    places = {path for one in planned for path in (one.settings.data, one.settings.transfer_to) if path}
    data = {path: data_print(path) for path in places}
    encoders = {name: encoder_print(name) for name in {one.settings.encoder.name for one in planned}}

    def named(one: Planned, without: tuple[str, ...] = ()) -> str:
        settings = one.settings.model_copy(update={TRANSFER: data.get(one.settings.transfer_to or "")})
        prints = data[one.settings.data], encoders[one.settings.encoder.name]
        return identify(settings, data=prints[0], encoder=prints[1], without=without)

    names = [(named(one), f"training-{named(one, REPEATED)}") for one in planned]
    sharing = Counter(training for _, training in set(names))
    return [
        Trial(
            key,
            one.title,
            one.settings,
            store.folder / key,
            store.folder / training if sharing[training] > 1 else None,
        )
        for (key, training), one in zip(names, planned, strict=True)
    ]


def drop_trainings(trials: Sequence[Trial], store: Store) -> None:
    """Remove the trainings whose trials have all ended, unless another command is at one."""
    kept = {trial.training for trial in trials if trial.training and trial.training.exists()}
    needed = {trial.training for trial in trials if trial.training in kept and not store.holds(trial.key)}
    for training in kept - needed:
        with store.claim(training.name, command="") as claim:
            if claim:
                shutil.rmtree(training)


def claim_study(folder: Path, study: Study, *, resume: bool, force: bool) -> None:
    """Make sure that a study may write here."""
    name = read_json(folder / STUDY)["study"]["name"] if (folder / STUDY).exists() else ""
    if not is_claimed(folder, STUDY, "study", named=f"the study {name}", resume=resume, force=force):
        return
    if force:
        shutil.rmtree(folder)
    elif name != study.name:
        message = f"{folder} holds the study {name}, not {study.name}; choose another folder."
        raise RunError(message)


def _teller(trials: Sequence[Trial], store: Store, say: Callable[[str], None]) -> Callable[[Event], None]:
    """Say of every trial that ends what it came to, and let go of what no other trial needs."""
    titles = {trial.key: trial.title for trial in trials}
    ended: list[str] = []
    left = sum(not store.holds(trial.key) for trial in trials)

    def tell(event: Event) -> None:
        if event.kind == "begun":
            return
        ended.append(event.key)
        record = store.read(event.key) or {}
        drop_trainings(trials, store)
        value = measure(record, SHOWN)
        came_to = f"failed: {record['error']}" if value is None else f"{QUANTITIES[SHOWN].title} {100 * value:.1f} %"
        say(f"[{len(ended)}/{left}] {titles[event.key]}: {came_to}, {record['seconds']:.0f} s")

    return tell
