"""What is done again and again while trials run, such as drawing their page, without delaying them.

Trials shared out over processes: each takes the next that nobody has, so commands may share a store as well.
"""

import multiprocessing
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Literal

from labelcontrast.errors import RunError
from labelcontrast.lab.store import Store
from labelcontrast.lab.trials import Perform, Trial
from labelcontrast.run.machine import keep_freed_memory


class Pace:
    """Calls a function when it is asked to, as long as all calls together take less than a share of the time.

    Args:
        do: the function; whoever needs its last state calls it once more in the end.
        share: of the time since this was made.
        first: what the first call is taken to cost, in seconds; a later one costs what the one before it did.

    Example:
        >>> seen = []
        >>> pace = Pace(lambda: seen.append("drawn"), share=0.5, first=3600)
        >>> pace()
        >>> seen
        []
    """

    def __init__(self, do: Callable[[], object], *, share: float = 0.02, first: float = 1.0) -> None:
        self._do, self._share, self._cost = do, share, first
        self._spent = 0.0
        self._begun = time.monotonic()

    def __call__(self) -> None:
        """Call the function, if there is time."""
        now = time.monotonic()
        if self._spent + self._cost <= self._share * (now - self._begun):
            self._do()
            self._cost = time.monotonic() - now
            self._spent += self._cost


PAUSE = 0.5
"""Seconds until a trial that another process holds is looked at again."""
THREADS = "OMP_NUM_THREADS"
PRELOADED = ["labelcontrast.lab.trials", "labelcontrast.training.learner", "labelcontrast.training.fit"]
"""What every process needs."""
MOST_DEATHS = 1
"""A trial that has ended its process more often than this has failed."""


@dataclass(frozen=True)
class Event:
    """What a process tells of a trial."""

    kind: Literal["begun", "ended"]
    key: str


Tell = Callable[[Event], None]


def run_trials(trials: Sequence[Trial], store: Store, perform: Perform, *, jobs: int = 1, tell: Tell) -> None:
    """Run every trial that the store does not hold; return when it holds all of them.

    Args:
        trials: in the order in which they are begun.
        store: where their results are, and go.
        perform: runs a trial; with several jobs it is sent to other processes.
        jobs: processes at a time; with 1 the trials run in this one.
        tell: called with every trial of this command that begins and ends.

    Raises:
        RunError: the processes die before they begin a trial.
    """
    command = uuid.uuid4().hex
    left = [trial for trial in trials if not store.holds(trial.key)]
    if jobs == 1 or len(left) < 2:
        work(left, store, perform, command=command, tell=tell)
    else:
        _share_out(left, store, perform, jobs=min(jobs, len(left)), command=command, tell=tell)


def work(trials: Sequence[Trial], store: Store, perform: Perform, *, command: str, tell: Tell) -> None:
    """Run one trial after the other, leave out those that others hold, and come back to them."""
    left = list(trials)
    while left:
        left = [trial for trial in left if not _attend(trial, store, perform, command=command, tell=tell)]
        if left:
            time.sleep(PAUSE)


def _attend(trial: Trial, store: Store, perform: Perform, *, command: str, tell: Tell) -> bool:
    """Run a trial unless it has ended or another process holds it; say whether it has ended."""
    if store.holds(trial.key):
        return True
    with store.claim(trial.claimed, command=command) as claim:
        if claim is None:
            return False
        if store.holds(trial.key):
            return True
        tell(Event("begun", trial.key))
        if claim.deaths > MOST_DEATHS:
            record = {"title": trial.title, "error": f"its process died, {claim.deaths} times.", "seconds": 0.0}
        else:
            record = perform(trial)
        store.keep(trial.key, record)
    tell(Event("ended", trial.key))
    return True


@dataclass
class _Worker:
    """A process, and what is known of it."""

    process: BaseProcess
    begun: bool = False
    """It has begun a trial; one that dies before it would die again."""


def _share_out(trials: Sequence[Trial], store: Store, perform: Perform, *, jobs: int, command: str, tell: Tell) -> None:
    """Start processes, hear them, and replace those that die of a trial."""
    workers: dict[Connection, _Worker] = {}
    # A server that has loaded what runs need is forked: it holds no thread, and seconds of imports are spent once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)

    def start() -> None:
        here, there = multiprocessing.Pipe(duplex=False)
        process = context.Process(target=_serve, args=(there, trials, store, perform, command), daemon=True)
        with _share_of_threads(jobs):
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
                    tell(connection.recv())
                    worker.begun = True
                except EOFError:
                    worker.process.join()
                    del workers[connection]
                    if worker.process.exitcode and worker.begun:
                        start()
    finally:
        for worker in workers.values():
            worker.process.terminate()
    if not all(store.holds(trial.key) for trial in trials):
        message = "the processes that should run the trials died before they began one; --jobs 1 shows why."
        raise RunError(message)


def _serve(connection: Connection, trials: Sequence[Trial], store: Store, perform: Perform, command: str) -> None:
    """Work in a process of its own, and not longer than the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption is told by the parent, which ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_freed_memory()
    work(trials, store, perform, command=command, tell=connection.send)


def _end_with_parent() -> None:
    """End this process as soon as its parent has."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


@contextmanager
def _share_of_threads(jobs: int) -> Iterator[None]:
    """Let what is started in the block use its share of the processors: numerical libraries read it as they load."""
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
