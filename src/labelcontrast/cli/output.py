"""Results on standard output, progress on standard error, as ``--quiet`` and ``--verbose`` ask; loads without torch."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from labelcontrast.reports.tables import json_line, printable

VERBOSITY = ContextVar("VERBOSITY", default=0)
"""-1 under ``--quiet``: results and refusals alone; 1 under ``--verbose``."""
BAR_AFTER, SHORTEST = 2.0, 0.5
"""Seconds after which a bar is shown, and the shortest work whose time ``--verbose`` prints."""


def show(text: str) -> None:
    """Print a result to standard output."""
    print(printable(text), flush=True)  # noqa: T201


def show_json(value: Any) -> None:  # noqa: ANN401
    """Print a result to standard output, as JSON on one line."""
    print(json_line(value), flush=True)  # noqa: T201


def say(sentence: str) -> None:
    """Print progress to standard error, above the bars that are there, unless it is to be quiet."""
    from tqdm import tqdm

    if VERBOSITY.get() >= 0:
        with tqdm.external_write_mode(file=sys.stderr):
            print(printable(sentence), file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def show_progress(what: str, total: int | None) -> Iterator[Callable[[int], object]]:
    """Show a bar with the time left for work of over two seconds on a terminal; print its time under ``--verbose``."""
    from tqdm import tqdm

    start, done, bar = time.monotonic(), 0, None
    shown = VERBOSITY.get() >= 0 and sys.stderr.isatty()
    form = "{desc} {percentage:3.0f} % |{bar}| {n_fmt} of {total_fmt}, {remaining} left"

    def advance(steps: int) -> None:
        nonlocal done, bar
        done += steps
        if bar is not None:
            bar.update(steps)
        elif shown and (elapsed := time.monotonic() - start) >= BAR_AFTER:
            tqdm.monitor_interval = 0  # no thread that redraws
            bar = tqdm(
                desc=what,
                total=total,
                leave=False,
                miniters=1,
                mininterval=0.5,
                bar_format=form if total else "{desc} {n_fmt}, {elapsed}",
            )
            bar.start_t = bar.last_print_t = bar.start_t - elapsed
            bar.update(done)

    try:
        yield advance
    finally:
        if bar is not None:
            bar.close()
    if VERBOSITY.get() > 0 and (seconds := time.monotonic() - start) >= SHORTEST:
        say(f"{what}: {seconds:.1f} s")
