"""The engine of ``compare``, ``study`` and ``search``: claim a folder, run the trials that a store lacks, report them.

Each of the three plans its trials and writes its own files and page; everything in between happens here.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from labelcontrast.errors import RunError
from labelcontrast.files import Hold, Layout, held
from labelcontrast.lab.quantities import QUANTITIES, read_quantity
from labelcontrast.lab.trials import Job, Perform, Record, Store, Trial, is_damaged
from labelcontrast.lab.workers import Event, run_at
from labelcontrast.progress import steps, tracked
from labelcontrast.run.estimate import Estimate, estimate_run

TRIALS = "trials"
"""The folder of the store, below the output folder."""
SHOWN = "macro_f1"
"""The metric printed for a finished trial."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options for running the trials of a comparison, a study or a search."""

    jobs: int = 1
    """Trials at a time, each in a process of its own."""
    ray: str | None = None
    """Address of a Ray cluster; by default trials run on this machine."""
    resume: bool = False
    """Continue with what the folder holds; more losses, seeds, values or trials may be requested."""
    force: bool = False
    """Remove what the folder holds."""
    device: str = "cpu"
    """Device that trials run on."""


def claim_folder(
    folder: Path, layout: Layout, options: Options, *, title: str | None = None
) -> AbstractContextManager[Hold]:
    """Hold an output folder while trials are run; other commands may resume the same results at the same time.

    Args:
        folder: The output folder.
        layout: Of its results.
        options: ``resume`` keeps earlier results, ``force`` removes them.
        title: What a refusal calls the earlier results; by default ``a`` and the kind.

    Raises:
        RunError: The folder holds something else, or earlier results without either option; or with ``force`` it is in
            use.
    """
    return held(folder, layout, named=title, resume=options.resume, force=options.force, shared=True)


def refuse_failures(trials: Sequence[Trial], store: Store) -> None:
    """Raise an error if every trial has failed; called when their report has been written.

    Raises:
        RunError: With the error of the first trial.
    """
    errors = [(store.read(trial.key) or {}).get("error") for trial in trials]
    if errors and all(errors):
        number = "the only trial" if len(errors) == 1 else f"all {len(errors)} trials"
        raise RunError(f"{number} failed, the first with: {errors[0]}")


def describe_record(record: Record) -> str:
    """Return the result of a trial in a few words: its macro-F1, or its error."""
    value = read_quantity(record, SHOWN)
    return f"failed: {record['error']}" if value is None else f"{QUANTITIES[SHOWN].title} {100 * value:.1f} %"


class Progress:
    """Report the trials of one command, a line for each that ends.

    Args:
        say: Receives the lines.
        name: Of the study or comparison: its trials are counted. Without a name, every trial done before has a line.
        what: The trials, in the plural.
        announce: Report a trial when it begins, too; for trials that print their epochs.
        describe: Returns the result of a record in a few words.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        name: str | None = None,
        announce: bool = False,
        describe: Callable[[Record], str] = describe_record,
        what: str = "trials",
    ) -> None:
        self.say, self._name, self._announce, self._describe, self._what = say, name, announce, describe, what
        self._count = self._left = 0

    def start(self, trials: Sequence[Job], store: Store) -> None:
        """Report how many of the trials were done before."""
        done = [trial for trial in trials if store.has(trial.key)]
        self._left = len(trials) - len(done)
        if self._name is None:
            for trial in done:
                self.say(f"{trial.title}: done before")
        else:
            self.say(f"{self._name}: {len(trials)} {self._what}" + (f", {len(done)} done before" if done else ""))

    def begun(self, trial: Job) -> None:
        """Report a trial that begins."""
        if self._announce:
            self.say(f"{self._number()}{trial.title}")

    def ended(self, trial: Job, record: Record) -> None:
        """Report the result of a trial."""
        number = "" if self._announce else self._number()
        self.say(f"{number}{trial.title}: {self._describe(record)}, {record['seconds']:.0f} s")

    def _number(self) -> str:
        self._count += 1
        return "" if self._name is None else f"[{self._count}/{self._left}] "


class Throttle:
    """Call a function only as often as all calls together take less than a share of the elapsed time.

    Args:
        function: The function; call it once more at the end to be sure of its last state.
        share: Largest share of the time since the throttle was made.
        first: Assumed cost of the first call, in seconds; later calls are assumed to cost what the last one did.

    Example:
        >>> seen = []
        >>> write = Throttle(lambda: seen.append("written"), share=0.5, first=3600)
        >>> write()
        >>> seen
        []
    """

    def __init__(self, function: Callable[[], object], *, share: float = 0.02, first: float = 1.0) -> None:
        self._function, self._share, self._cost = function, share, first
        self._spent = 0.0
        self._begun = time.monotonic()

    def __call__(self) -> None:
        """Call the function if there is time."""
        now = time.monotonic()
        if self._spent + self._cost <= self._share * (now - self._begun):
            self._function()
            self._cost = time.monotonic() - now
            self._spent += self._cost


def run_missing(
    trials: Sequence[Trial],
    store: Store,
    perform: Perform,
    options: Options,
    progress: Progress,
    *,
    after_each: Callable[[], object] = lambda: None,
) -> None:
    """Run the trials that a store lacks, and those that failed or were damaged since; equal trials run once.

    Args:
        trials: In the order in which they begin.
        store: Of their records.
        perform: Runs a trial.
        options: Where and how many at a time.
        progress: Reports them.
        after_each: Called after each trial, such as to write the page.
    """
    by_key: dict[str, Trial] = {}
    for trial in trials:
        by_key.setdefault(trial.key, trial)
    unique = list(by_key.values())
    for trial in unique:
        run = trial.ended_in(store)
        if run and is_damaged(run):
            progress.say(f"{trial.title}: files of its run were removed or changed, so it is run again")
            store.remove(trial.key)
        elif not run:
            store.remove(trial.key)  # one that failed
    progress.start(unique, store)

    with steps("trials", sum(not store.has(trial.key) for trial in unique)) as advance:

        def on_event(event: Event) -> None:
            trial = by_key[event.key]
            if event.kind == "begun":
                progress.begun(trial)
                return
            progress.ended(trial, store.read(event.key) or {})
            advance(1)
            remove_trainings(unique, store)
            after_each()

        run_at(options.ray)(unique, store, perform, jobs=options.jobs, on_event=on_event)
    remove_trainings(unique, store)


@dataclass(frozen=True)
class EstimatedTrials:
    """Trials that differ in nothing but their seed, and the estimate of one of them."""

    title: str
    number: int
    """Those that would be run."""
    trainings: int
    """Of them those that train: others take the training of one that differs in later stages alone."""
    each: Estimate

    @property
    def seconds(self) -> float:
        """Of all of them, one after the other."""
        return (
            self.number * sum(self.each.seconds.values())
            - (self.number - self.trainings) * self.each.seconds["training"]
        )


def estimate_missing(trials: Sequence[Trial], store: Store, *, device: str = "cpu") -> list[EstimatedTrials]:
    """Estimate the trials that a store lacks, without running or writing any; of equal ones but for seeds only one."""
    alike: dict[str, list[Trial]] = {}
    for trial in {trial.key: trial for trial in trials}.values():
        if "error" in (store.read(trial.key) or {"error": ""}):
            same = trial.settings.model_copy(update={"seed": 0, "fold": None})
            alike.setdefault(same.model_dump_json(), []).append(trial)
    found, trained = [], set[Path]()
    for own in tracked(alike.values(), "estimate"):
        shared = {trial.training for trial in own if trial.training}
        trainings = len(own) if not shared else len(shared - trained)
        trained |= shared
        title = own[0].title.partition(", seed ")[0]
        found.append(EstimatedTrials(title, len(own), trainings, estimate_run(own[0].settings, device=device)))
    return found


def remove_trainings(trials: Sequence[Trial], store: Store) -> None:
    """Remove shared trainings whose trials have all ended, unless another command has claimed one."""
    present = {trial.training for trial in trials if trial.training and trial.training.exists()}
    needed = {trial.training for trial in trials if trial.training in present and not store.has(trial.key)}
    for training in present - needed:
        with store.claim(training.name, command="") as claim:
            if claim:
                shutil.rmtree(training)
