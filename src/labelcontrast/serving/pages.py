"""The web page: an example to try, and why; test examples; labels and their curves; a file that comes back labelled."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, Query
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from labelcontrast.encoders.base import Kind
from labelcontrast.errors import RequestError, nearest
from labelcontrast.files import parse_json
from labelcontrast.reports.pages import render
from labelcontrast.run.examples import curve_points
from labelcontrast.run.model import decide, prediction_rows
from labelcontrast.serving.inputs import FIELDS, Inputs, checked_inputs, read_form
from labelcontrast.serving.runs import ServedRun
from labelcontrast.serving.service import Service

STEP = 24
"""Test examples on a page."""
ROWS = 50_000
"""Examples of an uploaded file, at most."""
TOGETHER = 64
"""Examples of a file that are computed at a time, so that other requests come between."""
ASSETS = {"page.css": "text/css", "page.js": "text/javascript"}


def add_pages(app: FastAPI, service: Service) -> None:
    """Add the pages to the routes of an application; they are no part of its OpenAPI description."""
    assets = {name: render(f"serve/{name}", autoescape=False) for name in ASSETS}

    @app.get("/static/{name}", include_in_schema=False)
    def asset(name: str) -> Response:
        if name not in assets:
            raise RequestError(404, "unknown_path", "Not Found.")
        return Response(assets[name], media_type=ASSETS[name])

    def page(template: str, here: str, run: ServedRun, content: Mapping[str, object]) -> HTMLResponse:
        runs = service.runs.all()
        return HTMLResponse(render(f"serve/{template}", autoescape=True, here=here, run=run, runs=runs, **content))

    @app.get("/", include_in_schema=False)
    def try_one(run: str | None = None) -> Response:
        found = service.runs.find(run)
        return page("try.html", "/", found, _map_of(found))

    @app.get("/page/tests", include_in_schema=False)
    def tests(run: str | None = None, start: Annotated[int, Query(ge=0)] = 0) -> Response:
        found = service.runs.find(run)
        return page("tests.html", "/page/tests", found, _tests_of(found, start))

    @app.get("/page/labels", include_in_schema=False)
    def labels(run: str | None = None) -> Response:
        found = service.runs.find(run)
        return page("labels.html", "/page/labels", found, {"heading": "Labels", "rows": found.labels()})

    @app.get("/page/label", include_in_schema=False)
    def label(name: str, run: str | None = None) -> Response:
        found = service.runs.find(run)
        return page("label.html", "/page/label", found, _label_of(found, name))

    @app.post("/page/upload", include_in_schema=False)
    async def upload(request: Request) -> Response:
        form = await read_form(request, service.limits)
        run = service.runs.find(str(form["run"]) if form.get("run") else None)
        files = [one for one in form.getlist("files") if isinstance(one, UploadFile)]
        content = [await one.read() for one in files]
        lines = await _labelled(service, run, content, [one.filename or "" for one in files])
        return Response("".join(f"{line}\n" for line in lines), media_type="application/jsonl")


async def _labelled(service: Service, run: ServedRun, content: list[bytes], names: list[str]) -> list[str]:
    """Predict the labels of what uploaded files hold, some examples at a time, as lines of JSON."""
    readers: dict[Kind, Callable[[list[bytes]], list[Any]]] = {"image": list, "text": _texts, "vector": _vectors}
    inputs = await run_in_threadpool(readers[run.kind], content)
    if not 0 < len(inputs) <= ROWS:
        message = f"a file may hold 1 to {ROWS:,} examples. Got {len(inputs):,}."
        raise RequestError(422, "too_many_examples", message)
    field, lines = FIELDS[run.kind], []
    for start in range(0, len(inputs), TOGETHER):
        part = inputs[start : start + TOGETHER]
        given = checked_inputs(Inputs().model_copy(update={field: part}), [], run.model.encoder, service.limits)
        scores = await service.batcher.run(ServedRun.scores, run, given)
        rows = prediction_rows(run.model.labels, scores, decide(scores, run.model.thresholds, run.model.decoder))
        for place, row in enumerate(rows, start):
            shown = {"id": names[place]} if run.kind == "image" else {field[:-1]: inputs[place]}
            lines.append(json.dumps({**shown, **row}, ensure_ascii=False))
    return lines


def _map_of(run: ServedRun) -> dict[str, object]:
    scatter = run.results.scatter or {"labels": [], "method": ""}
    titles = scatter.get("titles", [""] * len(scatter["labels"]))
    rows = zip(run.results.drawn(), scatter["labels"], titles, strict=True)
    points = [{"x": x, "y": y, "labels": labels, "title": title} for (x, y), labels, title in rows]
    return {"heading": "Try the model", "points": points, "method": scatter["method"]}


def _tests_of(run: ServedRun, start: int) -> dict[str, object]:
    rows, count = run.results.mistakes(start, STEP)
    whole = run.results.test is not None
    return {"heading": "Test examples", "rows": rows, "count": count, "start": start, "step": STEP, "whole": whole}


def _label_of(run: ServedRun, name: str) -> dict[str, object]:
    column = run.model.vocabulary.column.get(name)
    if column is None:
        hint = nearest(name, run.model.labels)
        raise RequestError(404, "unknown_label", f'there is no label "{name[:100]}"{hint}.')
    threshold, curve = float(run.model.thresholds.values[column]), run.results.curve(column)
    return {
        "heading": name,
        "curve": curve,
        "points": curve_points(curve),
        "at": int(np.argmin([abs(row["threshold"] - threshold) for row in curve])) if curve else 0,
        "hardest": run.results.hardest(column),
        "confused": run.results.confused(column),
    }


def _lines(content: list[bytes]) -> list[str]:
    try:
        return b"\n".join(content).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise RequestError(422, "not_text", "the file is not UTF-8 text.") from None


def _texts(content: list[bytes]) -> list[str]:
    """Read a text a line, JSON Lines with a field ``text``, or CSV with a column of that name."""
    lines = [line for line in _lines(content) if line.strip()]
    if lines and lines[0].lstrip().startswith("{"):
        rows: list[Any] = [_row(line, place) for place, line in enumerate(lines, 1)]
        return rows
    if (lines and "text" in (header := next(csv.reader(lines[:1]))) and len(header) > 1) or lines[:1] == ["text"]:
        table = csv.DictReader(io.StringIO("\n".join(_lines(content))))
        return [row["text"] or "" for row in table]
    return lines


def _row(line: str, place: int) -> str:
    try:
        row = parse_json(line)
    except ValueError:
        raise RequestError(422, "bad_line", f"line {place} is not JSON.") from None
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise RequestError(422, "bad_line", f'line {place} has no field "text".')
    return str(row["text"])


def _vectors(content: list[bytes]) -> list[list[float]]:
    rows = []
    for place, row in enumerate(csv.reader(line for line in _lines(content) if line.strip()), 1):
        try:
            rows.append([float(cell) for cell in row])
        except ValueError:
            raise RequestError(422, "bad_line", f"line {place} is not numbers between commas.") from None
    return rows
