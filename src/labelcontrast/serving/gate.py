"""The gate before every route: token, host, size of the body, number of open requests, headers, counts, and log."""

import asyncio
import base64
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.responses import JSONResponse

from labelcontrast.errors import RequestError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = {"/health", "/ready"}
"""Paths that need no token."""
LOCAL = {"localhost", "127.0.0.1", "[::1]"}
"""Names of this machine; a server on loopback answers to no other, so that a web page elsewhere cannot reach it."""
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
log = logging.getLogger("labelcontrast.serving")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a request may ask for; more is refused.

    Example:
        >>> Limits(batch=8).batch
        8
    """

    body: int = 32 * 2**20
    """Bytes of the body."""
    batch: int = 256
    """Examples of a request."""
    text: int = 100_000
    """Characters of a text."""
    pixels: int = 25_000_000
    """Pixels of a picture."""
    concurrency: int = 256
    """Requests that are open at the same time, beside those of pages, health and metrics."""
    seconds: float = 30.0
    """Seconds in which a part of the body must arrive."""


class Measures:
    """The counts that ``/metrics`` shows, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        here, prefix = self.registry, "labelcontrast_"
        sizes = [2**power for power in range(9)]
        self.requests = Counter(f"{prefix}requests", "Requests answered.", ["path", "status"], registry=here)
        self.seconds = Histogram(
            f"{prefix}request_seconds", "Time to answer.", ["path"], buckets=BUCKETS, registry=here
        )
        self.batches = Histogram(f"{prefix}batch_examples", "Examples computed together.", buckets=sizes, registry=here)
        self.examples = Counter(f"{prefix}examples", "Examples answered.", ["run", "path"], registry=here)
        self.open = Gauge(f"{prefix}open_requests", "Requests that are open.", registry=here)


class Gate:
    """An ASGI middleware that lets a request through, or refuses it with a status and one line.

    Args:
        app: The routes.
        limits: Of requests.
        measures: Counts every answer.
        token: Without one, no token is asked for.
        hosts: The host names that are answered to; None answers to all.
    """

    def __init__(
        self, app: App, limits: Limits, measures: Measures, *, token: str | None, hosts: set[str] | None
    ) -> None:
        self._app, self._limits, self._measures = app, limits, measures
        self._token, self._hosts = token, hosts
        self.open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, pass it on, and count the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500
        counted = scope["method"] == "POST"

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name for name, _ in message["headers"]}
                add = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in given]
                message["headers"] = [*message["headers"], *add]
            await send(message)

        try:
            self._check(scope, counted=counted)
            self.open += counted
            self._measures.open.set(self.open)
            try:
                await self._app(scope, self._limited(receive), sending)
            finally:
                self.open -= counted
                self._measures.open.set(self.open)
        except RequestError as error:
            await refusal(error)(scope, receive, sending)
        finally:
            route = scope.get("route")
            path = getattr(route, "path", "other")  # a path that nobody defined is no label of a metric
            seconds = time.perf_counter() - start
            self._measures.requests.labels(path, status).inc()
            self._measures.seconds.labels(path).observe(seconds)
            log.info("%s %s %d %.1f ms", scope["method"], path, status, 1000 * seconds)

    def _check(self, scope: Scope, *, counted: bool) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if self._hosts is not None and _without_port(host) not in self._hosts:
            expected = ", ".join(sorted(self._hosts))
            raise RequestError(421, "unknown_host", f"this server answers to {expected}. Got {host[:100]!r}.")
        if self._token is not None and scope["path"] not in OPEN:
            sent = _sent_token(headers.get("authorization", ""), basic=not scope["path"].startswith("/admin/"))
            if not hmac.compare_digest(sent.encode(), self._token.encode()):
                raise RequestError(401, "no_token", "send the token of the server: Authorization: Bearer TOKEN.")
        if int(headers.get("content-length") or 0) > self._limits.body:
            raise self._too_large()
        if counted and self.open >= self._limits.concurrency:
            number = self._limits.concurrency
            raise RequestError(429, "too_many_requests", f"{number} requests are open already; try again later.")

    def _limited(self, receive: Receive) -> Receive:
        """Count the bytes of a body as they arrive, whatever its header says."""
        size, ended = 0, False

        async def receiving() -> MutableMapping[str, Any]:
            nonlocal size, ended
            if ended:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), self._limits.seconds)
            except TimeoutError:
                raise RequestError(408, "slow_body", "the body did not arrive in time.") from None
            size += len(message.get("body", b""))
            ended = not message.get("more_body", False)
            if size > self._limits.body:
                raise self._too_large()
            return message

        return receiving

    def _too_large(self) -> RequestError:
        return RequestError(413, "body_too_large", f"the body must have at most {self._limits.body:,} bytes.")


def refusal(error: RequestError) -> JSONResponse:
    """Build the answer to a request that is refused: its status, and a code and one line as JSON."""
    headers = {401: {"WWW-Authenticate": 'Basic realm="labelcontrast"'}, 429: {"Retry-After": "1"}}
    line = " ".join(str(error).split())
    content = {"error": {"status": error.status, "code": error.code, "message": line}}
    return JSONResponse(content, error.status, headers.get(error.status))


def _without_port(host: str) -> str:
    return host if host.endswith("]") else host.rpartition(":")[0] or host


def _sent_token(header: str, *, basic: bool) -> str:
    """Return the token of a header; a browser sends it as the password that it asked for."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic" and basic:
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except ValueError:
            return ""
    return ""
