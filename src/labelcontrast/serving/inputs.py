"""What requests and answers hold, as JSON or as a form with pictures, checked against the limits."""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from labelcontrast.encoders.base import Encoder, Kind
from labelcontrast.encoders.pictures import UNREADABLE, open_picture
from labelcontrast.errors import LabelContrastError, RequestError, RunError, nearest
from labelcontrast.files import parse_json
from labelcontrast.run.explanation import LabelExplanation, Neighbour
from labelcontrast.serving.gate import Limits

FIELDS: dict[Kind, str] = {"text": "texts", "image": "pictures", "vector": "vectors"}
"""The field of the inputs of each kind."""
Check = Callable[[Any, str, Encoder, Limits], Any]
Probability = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Inputs(BaseModel):
    """Examples of one run: texts, pictures or vectors."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"texts": ["a late goal"]}]})

    run: str | None = Field(None, description="The run, where the server has several; by default the first.")
    texts: list[str] | None = Field(None, description="Texts, for a run on texts.")
    pictures: list[str] | None = Field(None, description="Files of pictures in base64; never paths or addresses.")
    vectors: list[list[Number]] | None = Field(None, description="Rows of numbers, for a run on vectors.")


class PredictInputs(Inputs):
    """Examples to predict the labels of."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"texts": ["a late goal", "a close vote"], "top": 3, "thresholds": 0.4}]}
    )

    top: int | None = Field(None, ge=1, description="Labels whose scores are given; by default the predicted ones.")
    thresholds: Probability | dict[str, Probability] | None = Field(
        None, description="One threshold, or one for some labels; by default those of the run."
    )


class ExplainInputs(Inputs):
    """Examples whose predictions are explained."""

    top: int = Field(10, ge=1, description="Labels that are explained, the most probable first.")
    parts: int = Field(
        10, ge=0, description="Words, cells or columns of a label; 0 takes no time, others a prediction."
    )
    near: int = Field(3, ge=0, le=100, description="Training examples with the label, and without it.")


class NeighbourInputs(Inputs):
    """Examples whose neighbours are asked for."""

    count: int = Field(6, ge=1, le=100, description="Training examples, the nearest first.")


class Answer(BaseModel):
    """What every answer begins with."""

    run: str = Field(description="The run that answered.")
    version: str = Field(description="A checksum of its files; it changes when another version is loaded.")


class Prediction(BaseModel):
    """The labels of one example."""

    labels: list[str] = Field(description="The predicted labels, the most probable first.")
    scores: dict[str, float] = Field(description="Probabilities, of the predicted or the best labels.")


class Predictions(Answer):
    """The labels of the examples, in their order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "run": "run",
                    "version": "8b1f0c2d9a7e",
                    "predictions": [{"labels": ["sports"], "scores": {"sports": 0.93}}],
                }
            ]
        }
    )

    predictions: list[Prediction]


class Embeddings(Answer):
    """The embeddings of the examples, in their order."""

    embeddings: list[list[float]]


@dataclass(frozen=True, kw_only=True)
class TrainingExample(Neighbour):
    """A training example, with what a page shows of it where the data of the run are there."""

    id: str | None = None
    text: str | None = None
    """Its beginning."""
    picture: str | None = None
    """A small copy, as a data URI."""


@dataclass(frozen=True, kw_only=True)
class Reason(LabelExplanation):
    """Why a label has its score."""

    supporting: tuple[TrainingExample, ...]
    opposing: tuple[TrainingExample, ...]


class Explained(BaseModel):
    """Why one example has its labels."""

    id: str = Field(description="Its number in the request, counted from 1.")
    labels: list[Reason]
    place: list[float] | None = Field(description="On the map of the web page, 100 wide and 70 high.")


class Explanations(Answer):
    """The reasons for the labels of the examples, in their order; docs/explain.md says what they mean."""

    examples: list[Explained]


class Neighbours(Answer):
    """The nearest training examples of the examples, in their order."""

    neighbours: list[list[TrainingExample]]


class ErrorBody(BaseModel):
    """Why a request was refused."""

    status: int
    code: str
    message: str


class Refusal(BaseModel):
    """The answer to a request that is refused."""

    error: ErrorBody


Body = TypeVar("Body", bound=Inputs)


async def read_body(request: Request, model: type[Body], limits: Limits) -> tuple[Body, list[bytes]]:
    """Read a request: JSON, or a form with pictures as its files.

    Raises:
        RequestError: 415, when it is neither; 400, when it cannot be parsed; 422, when a field is wrong.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    files: list[bytes] = []
    try:
        if kind == "application/json":
            return model.model_validate_json(await request.body()), files
        if kind == "multipart/form-data":
            fields, files = await _read_fields(request, limits)
            return model.model_validate(fields), files
    except ValidationError as error:
        raise _first_problem(error) from None
    raise RequestError(415, "unknown_type", f"send application/json or multipart/form-data. Got {kind[:100]!r}.")


def checked_inputs(body: Inputs, files: list[bytes], encoder: Encoder, limits: Limits) -> list[Any]:
    """Return the inputs of a request as a list, each of which the encoder can read.

    Raises:
        RequestError: 422: they are of another kind than the run reads, none, too many, too long, too large, or broken.
    """
    field = FIELDS[encoder.kind]
    given: dict[str, list[Any]] = {name: getattr(body, name) for name in FIELDS.values() if getattr(body, name)}
    if files:
        given["pictures"] = [*given.get("pictures", []), *files]
    if list(given) != [field]:
        got = " and ".join(given) or "nothing"
        raise RequestError(422, "wrong_kind", f"this run reads {field}: send at least one. Got {got}.")
    inputs = given[field]
    if len(inputs) > limits.batch:
        message = f"send at most {limits.batch:,} examples in one request. Got {len(inputs):,}."
        raise RequestError(422, "too_many_examples", message)
    checks: dict[Kind, Check] = {"text": _checked_text, "image": _checked_picture, "vector": _checked_vector}
    check = checks[encoder.kind]
    return [check(one, f"{field}[{place}]", encoder, limits) for place, one in enumerate(inputs)]


def checked_labels(thresholds: Mapping[str, float], known: Mapping[str, int]) -> None:
    """Refuse thresholds of unknown labels.

    Raises:
        RequestError: 422.
    """
    for name in thresholds:
        if name not in known:
            raise RequestError(422, "unknown_label", f'there is no label "{name[:100]}"{nearest(name, known)}.')


def _checked_text(text: str, place: str, _: Encoder, limits: Limits) -> str:
    if len(text) > limits.text:
        message = f"{place} must have at most {limits.text:,} characters. Got {len(text):,}."
        raise RequestError(422, "text_too_long", message)
    return text


def _checked_vector(vector: list[float], place: str, encoder: Encoder, _: Limits) -> np.ndarray:
    width = getattr(encoder, "input_dim", len(vector))
    if len(vector) != width:
        raise RequestError(422, "wrong_width", f"{place} must have {width} numbers. Got {len(vector)}.")
    with np.errstate(over="ignore"):
        row = np.array(vector, np.float32)
    if not np.isfinite(row).all():
        raise RequestError(422, "number_too_large", f"{place} has a number that is too large for 32 bits.")
    return row


def _checked_picture(picture: str | bytes, place: str, _: Encoder, limits: Limits) -> bytes:
    try:
        content = base64.b64decode(picture, validate=True) if isinstance(picture, str) else picture
    except (binascii.Error, ValueError):
        raise RequestError(422, "not_base64", f"{place} must be the file of a picture in base64.") from None
    try:
        with open_picture(content) as image:
            pixels = image.width * image.height
    except UNREADABLE:
        raise RequestError(422, "not_a_picture", f"{place} cannot be read; is it a picture?") from None
    if pixels > limits.pixels:
        message = f"{place} must have at most {limits.pixels:,} pixels. Got {pixels:,}."
        raise RequestError(422, "too_many_pixels", message)
    return content


async def read_form(request: Request, limits: Limits) -> FormData:
    """Parse a form.

    Raises:
        RequestError: 400, when it is none.
    """
    try:
        return await request.form(max_files=limits.batch + 1, max_fields=limits.batch + 10, max_part_size=limits.body)
    except HTTPException as error:
        raise RequestError(400, "bad_form", f"the form cannot be read: {error.detail}") from None


async def _read_fields(request: Request, limits: Limits) -> tuple[dict[str, Any], list[bytes]]:
    """Read a form: files are pictures; ``texts`` may be repeated; ``thresholds`` is JSON."""
    form = await read_form(request, limits)
    fields: dict[str, Any] = {}
    files = []
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            files.append(await value.read())
        elif name == "texts":
            fields.setdefault(name, []).append(value)
        elif name == "thresholds":
            try:
                fields[name] = parse_json(value)
            except ValueError:
                raise RequestError(422, "bad_field", "thresholds must be a number, or an object as JSON.") from None
        else:
            fields[name] = value
    await form.close()
    return fields, files


def _first_problem(error: ValidationError) -> RequestError:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if problem["type"] == "json_invalid":
        return RequestError(400, "bad_json", f"the body is not JSON: {problem['msg'].removeprefix('Invalid JSON: ')}.")
    place = ".".join(
        str(part) for part in problem["loc"] if not str(part).startswith(("constrained", "dict[", "float"))
    )
    return RequestError(422, "bad_field", f"{place[:100] or 'the body'}: {problem['msg']}.")


def as_request_error(error: LabelContrastError) -> RequestError:
    """Return the refusal for an error of the library: what it says of an input is said of the request."""
    if isinstance(error, RequestError):
        return error
    status, code = (409, "unusable_run") if isinstance(error, RunError) else (422, "unusable_input")
    return RequestError(status, code, str(error))
