"""What the routes of a server share: the runs, the limits, the counts, and the thread of the models."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request

from labelcontrast.serving.batcher import Batcher, Operation
from labelcontrast.serving.gate import Gate, Limits, Measures, log
from labelcontrast.serving.inputs import Body, PredictInputs, checked_inputs, checked_labels, read_body
from labelcontrast.serving.runs import Runs, ServedRun

SHOWN = 200
"""Characters of an input that a log with content shows."""


class Service:
    """What the routes share: the runs, the limits, the counts, and the thread of the models."""

    gate: Gate

    def __init__(self, runs: Runs, limits: Limits, *, wait: float, log_content: bool) -> None:
        self.runs, self.limits, self.measures = runs, limits, Measures()
        self.batcher = Batcher(lambda: self.gate.open, wait=wait, on_batch=self.measures.batches.observe)
        self._log_content = log_content

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """End the thread of the models when the server ends."""
        yield
        await asyncio.to_thread(self.batcher.close)

    async def read(self, request: Request, model: type[Body]) -> tuple[Body, ServedRun, list[Any]]:
        """Read a request, and check it."""
        body, files = await read_body(request, model, self.limits)
        run = self.runs.find(body.run)
        if isinstance(body, PredictInputs) and isinstance(body.thresholds, dict):
            checked_labels(body.thresholds, run.model.vocabulary.column)
        inputs = checked_inputs(body, files, run.model.encoder, self.limits)
        if self._log_content:
            log.info("%s", [str(one)[:SHOWN] for one in inputs if isinstance(one, str)])
        return body, run, inputs

    async def compute(
        self, request: Request, operation: Operation, run: ServedRun, inputs: list[Any], *, alone: bool = False
    ) -> Any:  # noqa: ANN401
        """Compute the results of a request in the thread of the models; ``alone``: so that others come between two."""
        if alone:
            results = [(await self.batcher.run(operation, run, [one]))[0] for one in inputs]
        else:
            results = await self.batcher.run(operation, run, inputs)
        self.measures.examples.labels(run.name, request.url.path).inc(len(inputs))
        return results
