"""The process that serves: its address, its token, its signals, and what it prints."""

import ipaddress
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from labelcontrast.errors import ConfigError, LabelContrastError, MissingExtraError

if TYPE_CHECKING:
    import uvicorn

    from labelcontrast.serving.gate import Limits

TOKEN = "LABELCONTRAST_TOKEN"
SHORTEST_TOKEN = 16
LIBRARIES = ("fastapi", "uvicorn", "prometheus_client", "python_multipart")
DRAIN = 30
"""Seconds that open requests have to end after SIGTERM."""


def serve(
    folders: Sequence[str | Path],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: "Limits | None" = None,
    wait: float = 0.003,
    log_content: bool = False,
    with_data: bool = True,
    on_ready: Callable[[str], object] = lambda _: None,
) -> None:
    """Serve runs until SIGTERM or SIGINT; then open requests end, and no other begins. SIGHUP loads the runs anew.

    Args:
        folders: Of finished runs.
        host: The address to bind. One that others can reach needs a token in the environment, ``LABELCONTRAST_TOKEN``.
        port: 0 takes a free one.
        limits: Of requests.
        wait: Seconds for which a batch of requests is gathered, at most.
        log_content: Log the beginning of each text, too.
        with_data: Show the examples of the data of the runs, where these still are.
        on_ready: Called with the address when the server answers.

    Raises:
        MissingExtraError: FastAPI or another library of the extra ``serve`` is not installed.
        ConfigError: The address needs a token, or cannot be bound.
        RunError: A folder is not a finished run, or it is damaged.
    """
    token = check_address(host, os.environ.get(TOKEN))
    import uvicorn

    from labelcontrast.serving.app import make_app
    from labelcontrast.serving.gate import LOCAL, log
    from labelcontrast.serving.runs import Runs

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    log.setLevel(logging.INFO)
    runs = Runs(folders, with_data=with_data)
    hosts = LOCAL if is_loopback(host) else None
    app = make_app(runs, limits=limits, token=token, hosts=hosts, wait=wait, log_content=log_content)
    config = uvicorn.Config(
        app, host=host, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=DRAIN, lifespan="on"
    )
    bound = _bound(config)
    server = uvicorn.Server(config)

    def reload(*_: object) -> None:
        try:
            runs.reload()
            log.info("loaded anew: %s", ", ".join(f"{run.name} {run.version}" for run in runs.all()))
        except LabelContrastError as error:
            log.error("not loaded anew, the old version stays: %s", error)

    if hasattr(signal, "SIGHUP"):
        # The handler only starts a thread: loading takes seconds, in which requests are answered.
        signal.signal(signal.SIGHUP, lambda *_: Thread(target=reload).start())
    name = f"[{host}]" if ":" in host else host
    on_ready(f"http://{name}:{bound.getsockname()[1]}")
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal again after all requests have ended
        server.run(sockets=[bound])


def check_address(host: str, token: str | None) -> str | None:
    """Return the token to ask for, after a check of the libraries and of the address.

    Raises:
        MissingExtraError: A library of the extra ``serve`` is not installed.
        ConfigError: Others can reach the address, and there is no token, or a short one.

    Example:
        >>> check_address("127.0.0.1", None) is None
        True
    """
    if any(find_spec(name) is None for name in LIBRARIES):
        raise MissingExtraError("serve", "serve")
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise ConfigError(f"{TOKEN} must have at least {SHORTEST_TOKEN} characters. Got {len(token)}.")
    if token is None and not is_loopback(host):
        raise ConfigError(f"--host {host} can be reached from other machines: set a token in the variable {TOKEN}.")
    return token


def is_loopback(host: str) -> bool:
    """Return True for an address that only this machine can reach.

    Example:
        >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bound(config: "uvicorn.Config") -> socket.socket:
    """Bind the address before anything says that the server is ready."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else asyncio leaves Nagle's delay on
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((config.host, config.port))
        bound.listen(config.backlog)
    except OSError as error:
        bound.close()
        raise ConfigError(f"cannot bind {config.host}:{config.port}: {error.strerror or error}.") from error
    return bound
