"""Run trials on processes of this machine or on a Ray cluster: each trial once, even if processes die.

A worker takes the next unclaimed trial of the store, so several commands may share a store. A worker that dies is
replaced, and a trial that kills its worker twice has failed.

On a Ray cluster the store and its claims stay with the command, so they need not be on a shared disk. The data and the
run folders must be: all machines see them under the same path, and have labelcontrast installed.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal, Protocol

from labelcontrast.errors import MissingExtraError, RunError
from labelcontrast.lab.trials import Job, Perform, Record, Store
from labelcontrast.run.machine import keep_freed_memory

PAUSE = 0.5
"""Seconds between two looks at a trial that another process has claimed."""
THREADS = "OMP_NUM_THREADS"
PRELOADED = ["labelcontrast.lab.trials", "labelcontrast.training.learner", "labelcontrast.training.trainer"]
"""Modules that every process needs."""
MAX_DEATHS = 1
"""A trial that has killed its process more often than this has failed."""


@dataclass(frozen=True)
class Event:
    """A trial of this command has begun or ended."""

    kind: Literal["begun", "ended"]
    key: str


OnEvent = Callable[[Event], None]


class RunTrials(Protocol):
    """Runs every trial that the store lacks, on processes here or on a cluster."""

    def __call__(self, trials: Sequence[Job], store: Store, perform: Perform, *, jobs: int, on_event: OnEvent) -> None:
        """See ``run_trials``."""


def run_at(address: str | None) -> RunTrials:
    """Return the function that runs trials on the Ray cluster at an address, or on this machine without one."""
    return partial(run_on_ray, address=address) if address else run_trials


def run_trials(trials: Sequence[Job], store: Store, perform: Perform, *, jobs: int = 1, on_event: OnEvent) -> None:
    """Run every trial that the store lacks on this machine; return when all have ended.

    Args:
        trials: In the order in which they begin.
        store: Of their records.
        perform: Runs a trial; with several jobs it is sent to other processes.
        jobs: Number of processes; with 1 the trials run in this process.
        on_event: Called with every trial of this command that begins or ends.

    Raises:
        RunError: The processes die before they begin a trial.
    """
    command = uuid.uuid4().hex
    left = [trial for trial in trials if not store.has(trial.key)]
    if jobs == 1 or len(left) < 2:
        work(left, store, perform, command=command, on_event=on_event)
    else:
        _run_in_processes(left, store, perform, jobs=min(jobs, len(left)), command=command, on_event=on_event)


def work(trials: Sequence[Job], store: Store, perform: Perform, *, command: str, on_event: OnEvent) -> None:
    """Run one trial after the other; return to those that others have claimed until all have ended."""
    left = list(trials)
    while left:
        left = [trial for trial in left if not _try_trial(trial, store, perform, command=command, on_event=on_event)]
        if left:
            time.sleep(PAUSE)


def run_on_ray(
    trials: Sequence[Job], store: Store, perform: Perform, *, address: str, jobs: int, on_event: OnEvent
) -> None:
    """Run every trial that the store lacks on a Ray cluster; return when all have ended.

    A trial gets its share of the processors and accelerators: all of the cluster divided by ``jobs``.

    Args:
        trials: In the order in which they begin.
        store: Of their records, written here.
        perform: Runs a trial; it is sent to other machines.
        address: ``auto`` for the cluster of this machine, ``ray://HOST:PORT``, or ``local`` to start one here.
        jobs: Trials at a time over the whole cluster.
        on_event: Called with every trial of this command that begins or ends.

    Raises:
        MissingExtraError: Ray is not installed.
        RunError: There is no cluster at the address.
    """
    ray, command = _connect(address), uuid.uuid4().hex
    run = partial(_remote_task(ray, jobs).remote, perform, Path.cwd())
    left = list(trials)
    running: dict[Any, tuple[Job, ExitStack]] = {}
    try:
        while left or running:
            for trial in list(left):
                if store.has(trial.key):
                    left.remove(trial)
                elif len(running) < jobs and (claim := _open_claim(store, trial, command)):
                    left.remove(trial)
                    on_event(Event("begun", trial.key))
                    running[run(trial)] = trial, claim
            if not running:
                time.sleep(PAUSE if left else 0)
                continue
            for done in ray.wait(list(running), timeout=PAUSE)[0]:
                trial, claim = running.pop(done)
                store.write(trial.key, _fetch_record(ray, done, trial))
                claim.close()
                on_event(Event("ended", trial.key))
    finally:
        for _, claim in running.values():
            claim.close()
        ray.shutdown()


def _try_trial(trial: Job, store: Store, perform: Perform, *, command: str, on_event: OnEvent) -> bool:
    """Run a trial unless it has ended or another process has claimed it; return whether it has ended."""
    if store.has(trial.key):
        return True
    with store.claim(trial.claim_key, command=command) as claim:
        if claim is None:
            return False
        if store.has(trial.key):
            return True
        on_event(Event("begun", trial.key))
        store.write(trial.key, _died(trial, claim.deaths) if claim.deaths > MAX_DEATHS else perform(trial))
    on_event(Event("ended", trial.key))
    return True


def _died(trial: Job, times: int) -> Record:
    return {"title": trial.title, "error": f"its process died, {times} times.", "seconds": 0.0}


@dataclass
class _Worker:
    process: BaseProcess
    has_begun: bool = False
    """True once it has begun a trial; a process that dies before that would die again."""


# Not concurrent.futures or loky: there one killed worker breaks the pool, and the trials of all others are lost.
def _run_in_processes(
    trials: Sequence[Job], store: Store, perform: Perform, *, jobs: int, command: str, on_event: OnEvent
) -> None:
    """Start processes, forward their events, and replace those that die during a trial."""
    workers: dict[Connection, _Worker] = {}
    # A server that has imported what runs need is forked: it has no threads, and seconds of imports are spent once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)

    def start() -> None:
        here, there = multiprocessing.Pipe(duplex=False)
        process = context.Process(target=_serve, args=(there, trials, store, perform, command), daemon=True)
        with _limit_threads(jobs), _interruptions_held():
            process.start()
        there.close()  # so that its end is seen here
        workers[here] = _Worker(process)

    try:
        for _ in range(jobs):
            start()
        while workers:
            for connection in wait(list(workers)):
                assert isinstance(connection, Connection)
                worker = workers[connection]
                try:
                    on_event(connection.recv())
                    worker.has_begun = True
                except EOFError:
                    worker.process.join()
                    del workers[connection]
                    if worker.process.exitcode and worker.has_begun:
                        start()
    finally:
        for worker in workers.values():
            worker.process.terminate()
    if not all(store.has(trial.key) for trial in trials):
        message = "the processes that should run the trials died before they began one; --jobs 1 shows why."
        raise RunError(message)


def _serve(connection: Connection, trials: Sequence[Job], store: Store, perform: Perform, command: str) -> None:
    """Work in a process that ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles an interruption and ends this process
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # in a training Lightning would exit with 0
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_freed_memory()
    work(trials, store, perform, command=command, on_event=connection.send)


@contextmanager
def _interruptions_held() -> Iterator[None]:
    """Let an interruption wait, also in a process that starts meanwhile: it would print a traceback of its imports."""
    resource_tracker.ensure_running()  # its start would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


@contextmanager
def _limit_threads(jobs: int) -> Iterator[None]:
    """Give processes started in the block their share of the processors; numerical libraries read it on import."""
    given = os.environ.get(THREADS)
    available = int(given) if given and given.isdecimal() else os.cpu_count() or 1
    os.environ[THREADS] = str(max(1, available // jobs))
    try:
        yield
    finally:
        if given is None:
            del os.environ[THREADS]
        else:
            os.environ[THREADS] = given


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


def _remote_task(ray: Any, jobs: int) -> Any:  # noqa: ANN401
    """Return the remote function with its share of the cluster; no share is larger than a machine."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]

    def share(kind: str) -> float:
        each: list[float] = [machine.get(kind, 0.0) for machine in machines]
        return min(sum(each) / jobs, max(each, default=0.0))

    options = {"num_cpus": max(1, int(share("CPU"))), "num_gpus": min(1.0, share("GPU"))}
    return ray.remote(max_retries=MAX_DEATHS, **options)(_run_remotely)


def _run_remotely(perform: Perform, folder: Path, trial: Job) -> Record:
    """Run a trial on a machine of the cluster; relative paths are those of the command's folder."""
    os.chdir(folder)
    keep_freed_memory()
    return perform(trial)


def _open_claim(store: Store, trial: Job, command: str) -> ExitStack | None:
    """Claim a trial until the returned stack is closed; None if another command has claimed it, or it has ended."""
    with ExitStack() as stack:
        claim = stack.enter_context(store.claim(trial.claim_key, command=command))
        return None if claim is None or store.has(trial.key) else stack.pop_all()


def _fetch_record(ray: Any, done: Any, trial: Job) -> Record:  # noqa: ANN401
    """Return the record of a remote trial; a lost process or machine is a failure."""
    try:
        record: Record = ray.get(done)
    except ray.exceptions.WorkerCrashedError:
        return _died(trial, MAX_DEATHS + 1)
    except ray.exceptions.RayError as error:
        return {"title": trial.title, "error": " ".join(str(error).split()), "seconds": 0.0}
    return record
