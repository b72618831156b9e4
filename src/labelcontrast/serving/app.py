"""The routes of the API: predict, embed, explain, neighbours, labels, health, readiness, metrics and reload."""

import asyncio
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from labelcontrast.errors import LabelContrastError, RequestError
from labelcontrast.run.model import decide, prediction_rows
from labelcontrast.serving.gate import Gate, Limits, refusal
from labelcontrast.serving.inputs import (
    Embeddings,
    ExplainInputs,
    Explanations,
    Inputs,
    NeighbourInputs,
    Neighbours,
    PredictInputs,
    Predictions,
    Refusal,
    as_request_error,
)
from labelcontrast.serving.pages import add_pages
from labelcontrast.serving.runs import Runs, ServedRun
from labelcontrast.serving.service import Service

DESCRIPTION = "Predictions and embeddings of trained models. A refusal is a status, a code and one line."


def make_app(
    runs: Runs,
    *,
    limits: Limits | None = None,
    token: str | None = None,
    hosts: set[str] | None = None,
    wait: float = 0.003,
    log_content: bool = False,
) -> Gate:
    """Build the ASGI application of some runs.

    Args:
        runs: Loaded; the thread of the application alone uses their models.
        limits: Of requests.
        token: Asked of every request but those for health; without one, none is.
        hosts: Host names that are answered to; None answers to all.
        wait: Seconds for which a batch of requests is gathered, at most.
        log_content: Log the beginning of each text, too.
    """
    service = Service(runs, limits or Limits(), wait=wait, log_content=log_content)
    app = FastAPI(
        title="labelcontrast", description=DESCRIPTION, lifespan=service.lifespan, docs_url=None, redoc_url=None
    )
    service.gate = Gate(app, service.limits, service.measures, token=token, hosts=hosts)
    _add_models(app, service)
    _add_reasons(app, service)
    _add_state(app, service)
    if token is not None:
        _add_reload(app, service)
    add_pages(app, service)
    _add_refusals(app)
    return service.gate


def _add_models(app: FastAPI, service: Service) -> None:
    @app.post("/predict", response_model=Predictions, **_documented(PredictInputs))
    async def predict(request: Request) -> Response:
        """Predict the labels of texts, pictures or vectors."""
        body, run, inputs = await service.read(request, PredictInputs)
        scores = await service.compute(request, ServedRun.scores, run, inputs)
        chosen = decide(scores, run.thresholds(body.thresholds), run.model.decoder)
        rows = list(prediction_rows(run.model.labels, scores, chosen, top=body.top))
        return JSONResponse({"run": run.name, "version": run.version, "predictions": rows})

    @app.post("/embed", response_model=Embeddings, **_documented(Inputs))
    async def embed(request: Request) -> Response:
        """Compute the embeddings of texts, pictures or vectors."""
        _, run, inputs = await service.read(request, Inputs)
        rows = await service.compute(request, ServedRun.embeddings, run, inputs)
        return JSONResponse({"run": run.name, "version": run.version, "embeddings": rows.tolist()})

    @app.get("/labels")
    def labels(run: str | None = None) -> dict[str, Any]:
        """List the labels of a run with their thresholds, and their measures on test."""
        found = service.runs.find(run)
        return {"run": found.name, "version": found.version, "labels": found.labels()}


def _add_reasons(app: FastAPI, service: Service) -> None:
    @app.post("/explain", response_model=Explanations, **_documented(ExplainInputs))
    async def explain(request: Request) -> Response:
        """Explain the scores of labels: by views, parts of the input, and near training examples."""
        body, run, inputs = await service.read(request, ExplainInputs)
        operation = partial(ServedRun.explanations, top=body.top, most=body.parts, near=body.near)
        found = await service.compute(request, operation, run, inputs, alone=True)
        reasons = [reason for one in found for reason in one["labels"]]
        near = [one for reason in reasons for one in (*reason["supporting"], *reason["opposing"])]
        await run_in_threadpool(run.results.show, near)
        return JSONResponse({"run": run.name, "version": run.version, "examples": found})

    @app.post("/neighbours", response_model=Neighbours, **_documented(NeighbourInputs))
    async def neighbours(request: Request) -> Response:
        """Find the nearest training examples, with their labels."""
        body, run, inputs = await service.read(request, NeighbourInputs)
        found = await service.compute(request, partial(ServedRun.neighbours, count=body.count), run, inputs)
        await run_in_threadpool(run.results.show, [near for one in found for near in one])
        return JSONResponse({"run": run.name, "version": run.version, "neighbours": found})


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """Answer while the process lives."""
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> dict[str, Any]:
        """Answer while the models are loaded and their thread works."""
        if not service.batcher.alive:
            raise RequestError(503, "not_ready", "the thread of the models has ended.")
        found = [{"run": run.name, "version": run.version, "kind": run.kind} for run in service.runs.all()]
        return {"status": "ready", "runs": found}

    @app.get("/metrics")
    async def metrics() -> Response:
        """Return the counts in the text format of Prometheus."""
        return Response(generate_latest(service.measures.registry), media_type=CONTENT_TYPE_LATEST)


def _add_reload(app: FastAPI, service: Service) -> None:
    @app.post("/admin/reload")
    async def reload() -> dict[str, Any]:
        """Load the folders of all runs anew; open requests finish on the version that they began with."""
        await asyncio.to_thread(service.runs.reload)
        return {"runs": [{"run": run.name, "version": run.version} for run in service.runs.all()]}


def _add_refusals(app: FastAPI) -> None:
    @app.exception_handler(LabelContrastError)
    async def refuse(_: Request, error: LabelContrastError) -> Response:
        return refusal(as_request_error(error))

    @app.exception_handler(RequestValidationError)
    async def refuse_query(_: Request, error: RequestValidationError) -> Response:
        problem = error.errors()[0]
        return refusal(RequestError(422, "bad_field", f"{problem['loc'][-1]}: {problem['msg']}."))

    @app.exception_handler(HTTPException)
    async def refuse_path(_: Request, error: HTTPException) -> Response:
        code = {404: "unknown_path", 405: "wrong_method"}.get(error.status_code, "refused")
        return refusal(RequestError(error.status_code, code, f"{error.detail}."))


def _documented(model: type[Inputs]) -> dict[str, Any]:
    """Describe both forms of a request, which the route reads itself, and its refusals."""
    schema = model.model_json_schema()
    fields = dict(schema["properties"])
    files = {"type": "array", "items": {"type": "string", "format": "binary"}}
    form = {"type": "object", "properties": {**fields, "pictures": files}}
    content = {"application/json": {"schema": schema}, "multipart/form-data": {"schema": form}}
    statuses = (400, 401, 404, 408, 413, 415, 422, 429)
    return {
        "openapi_extra": {"requestBody": {"required": True, "content": content}},
        "responses": {status: {"model": Refusal} for status in statuses},
    }
