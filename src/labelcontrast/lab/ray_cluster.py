"""Trials on the machines of a Ray cluster, under the same contract as on processes here.

The store and its claims stay with the command that asks, so they need not be on a disk that all machines write to. What
the trials read and their run folders do: all machines see them under the same path, and have labelcontrast installed.
"""

import os
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from labelcontrast.errors import MissingExtraError, RunError
from labelcontrast.lab.store import Record, Store
from labelcontrast.lab.trials import Perform, Trial
from labelcontrast.lab.workers import MOST_DEATHS, PAUSE, Event, Tell, run_trials
from labelcontrast.run.machine import keep_freed_memory


class RunTrials(Protocol):
    """Runs every trial that the store does not hold, on processes here or on a cluster."""

    def __call__(self, trials: Sequence[Trial], store: Store, perform: Perform, *, jobs: int, tell: Tell) -> None:
        """See ``run_trials``."""


def run_at(address: str | None) -> RunTrials:
    """Choose where trials run: on the cluster at an address, or on processes here where there is none."""
    return partial(run_on_ray, address=address) if address else run_trials


def run_on_ray(trials: Sequence[Trial], store: Store, perform: Perform, *, address: str, jobs: int, tell: Tell) -> None:
    """Run every trial that the store does not hold on a Ray cluster; return when it holds all of them.

    A trial has its share of the processors and accelerators: all of the cluster divided by ``jobs``.

    Args:
        trials: in the order in which they are begun.
        store: where their results go, from here.
        perform: runs a trial; it is sent to other machines.
        address: ``auto`` for the cluster of this machine, ``ray://HOST:PORT``, or ``local`` to start one here.
        jobs: trials at a time over the whole cluster.
        tell: called with every trial of this command that begins and ends.

    Raises:
        MissingExtraError: Ray is not installed.
        RunError: there is no cluster at the address.
    """
    ray, command = _connect(address), uuid.uuid4().hex
    run = partial(_task(ray, jobs).remote, perform, Path.cwd())
    left = list(trials)
    running: dict[Any, tuple[Trial, ExitStack]] = {}
    try:
        while left or running:
            for trial in list(left):
                if store.holds(trial.key):
                    left.remove(trial)
                elif len(running) < jobs and (held := _claim(store, trial, command)):
                    left.remove(trial)
                    tell(Event("begun", trial.key))
                    running[run(trial)] = trial, held
            if not running:
                time.sleep(PAUSE if left else 0)
                continue
            for done in ray.wait(list(running), timeout=PAUSE)[0]:
                trial, held = running.pop(done)
                store.keep(trial.key, _outcome(ray, done, trial))
                held.close()
                tell(Event("ended", trial.key))
    finally:
        for _, held in running.values():
            held.close()
        ray.shutdown()


def _connect(address: str) -> Any:  # noqa: ANN401
    """Connect to a cluster, or start one here."""
    try:
        ray = import_module("ray")
    except ImportError:
        what = "running on a cluster"
        raise MissingExtraError(what, "ray") from None
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error", include_dashboard=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        message = f'there is no Ray cluster at "{address}": {" ".join(str(error).split())}'
        raise RunError(message) from error
    return ray


def _task(ray: Any, jobs: int) -> Any:  # noqa: ANN401
    """Make what is sent to a machine, with its share of the cluster; no share is larger than a machine."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]

    def share(kind: str) -> float:
        each: list[float] = [machine.get(kind, 0.0) for machine in machines]
        return min(sum(each) / jobs, max(each, default=0.0))

    options = {"num_cpus": max(1, int(share("CPU"))), "num_gpus": min(1.0, share("GPU"))}
    return ray.remote(max_retries=MOST_DEATHS, **options)(_attend)


def _attend(perform: Perform, place: Path, trial: Trial) -> Record:
    """Run a trial on the machine it was sent to, with paths read from where the command was given."""
    os.chdir(place)
    keep_freed_memory()
    return perform(trial)


def _claim(store: Store, trial: Trial, command: str) -> ExitStack | None:
    """Hold a trial until what is returned is closed; nothing where another command holds it, or it has ended."""
    with ExitStack() as stack:
        claim = stack.enter_context(store.claim(trial.claimed, command=command))
        return None if claim is None or store.holds(trial.key) else stack.pop_all()


def _outcome(ray: Any, done: Any, trial: Trial) -> Record:  # noqa: ANN401
    """Fetch what a trial came to; where its machine or process was lost, that is a result too."""
    try:
        record: Record = ray.get(done)
    except ray.exceptions.WorkerCrashedError:
        return {"title": trial.title, "error": f"its process died, {MOST_DEATHS + 1} times.", "seconds": 0.0}
    except ray.exceptions.RayError as error:
        return {"title": trial.title, "error": " ".join(str(error).split()), "seconds": 0.0}
    return record
