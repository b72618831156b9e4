"""Batches of requests: one thread computes, and takes together what requests ask of the same function."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

Operation = Callable[[Any, list[Any]], Any]
"""A function from a model and inputs to one result for each input."""


@dataclass(frozen=True, eq=False)
class Job:
    """The inputs of one request, and the future that receives their results."""

    operation: Operation
    model: Any
    inputs: list[Any]
    future: asyncio.Future[Any]


class Batcher:
    """A thread that computes for all requests, so that models need no locks and requests share batches.

    A batch is what has arrived while the one before was computed. The thread waits for more, for at most ``wait``
    seconds, only while other requests are open that have not asked yet; a single client never waits.

    Args:
        expected: Returns the number of open requests.
        wait: Seconds for which a batch is gathered.
        most: Inputs of a batch; a single request may have more.
        on_batch: Called with the number of inputs of each batch.
    """

    def __init__(
        self,
        expected: Callable[[], int] = lambda: 0,
        *,
        wait: float = 0.003,
        most: int = 64,
        on_batch: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._expected, self._wait, self._most, self._on_batch = expected, wait, most, on_batch
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="labelcontrast-model", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """True while the thread runs."""
        return self._thread.is_alive()

    async def run(self, operation: Operation, model: Any, inputs: list[Any]) -> Any:  # noqa: ANN401
        """Compute one result for each input, together with other requests of the same operation of the same model.

        Raises:
            Exception: What the operation raises for these inputs alone.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._jobs.put(Job(operation, model, inputs, future))
        return await future

    def close(self) -> None:
        """End the thread after the jobs that are queued."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while jobs := self._next():
            groups: dict[tuple[Operation, int], list[Job]] = {}
            for job in jobs:
                if not job.future.cancelled():
                    groups.setdefault((job.operation, id(job.model)), []).append(job)
            for group in groups.values():
                self._compute(group)

    def _next(self) -> list[Job]:
        """Gather a batch; an empty one ends the thread."""
        first = self._jobs.get()
        if first is None:
            return []
        jobs, size, end = [first], len(first.inputs), time.monotonic() + self._wait
        while size < self._most:
            left = end - time.monotonic() if len(jobs) < self._expected() else 0.0
            try:
                job = self._jobs.get(timeout=left) if left > 0 else self._jobs.get_nowait()
            except Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            jobs.append(job)
            size += len(job.inputs)
        return jobs

    def _compute(self, jobs: list[Job]) -> None:
        inputs = [one for job in jobs for one in job.inputs]
        try:
            results = jobs[0].operation(jobs[0].model, inputs)
        except Exception as error:  # it is raised where the request is answered
            if len(jobs) > 1:  # the fault of one request is not that of the others
                for job in jobs:
                    self._compute([job])
            else:
                _deliver(jobs[0].future, error)
            return
        self._on_batch(len(inputs))
        start = 0
        for job in jobs:
            _deliver(job.future, results[start : start + len(job.inputs)])
            start += len(job.inputs)


def _deliver(future: asyncio.Future[Any], result: object) -> None:
    def deliver() -> None:
        if future.done():  # the client has left
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    future.get_loop().call_soon_threadsafe(deliver)
