"""The process and its machine: versions and hardware, seconds by stage, seeds, and the C library's memory.

The GNU C library returns every large block to the kernel when it is freed, and the kernel clears the pages when they
are allocated again: some hundred thousand page faults a step of a convolutional network. Training on a CPU is faster
if freed memory is kept; the process then stays as large as it has ever been.
"""

import ctypes
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypedDict

import torch

PACKAGES = ("labelcontrast", "torch", "lightning", "transformers", "scikit-learn", "numpy")
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # as in malloc.h


class Origin(TypedDict):
    """How, when and where a result was computed."""

    command: str
    date: str
    versions: dict[str, str]
    machine: dict[str, Any]


def describe_origin() -> Origin:
    """Return the command, the date, the versions and the machine: what is needed to repeat a result and its times."""
    program = Path(sys.argv[0])
    called = ["python", "-m", program.parent.name] if program.name == "__main__.py" else [program.name]
    return {
        "command": shlex.join([*called, *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "machine": {
            "processors": os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
            "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
    }


def machine_facts(origin: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Return the machine, accelerator and date of an origin as lines of a report."""
    machine = origin["machine"]
    return [
        ("machine", f"{machine['processors']} processors, {machine['memory_gib']} GiB"),
        ("accelerator", machine["accelerator"] or "none"),
        ("date", origin["date"]),
    ]


class Clock:
    """Seconds by stage, in the order of the stages.

    Example:
        >>> clock = Clock()
        >>> clock.lap("reading")
        >>> list(clock.laps)
        ['reading']
    """

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, stage: str) -> None:
        """End a stage."""
        now = time.monotonic()
        self.laps[stage] = round(now - self._last, 3)
        self._last = now


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block under a seed; afterwards torch's random stream is where it was before."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def keep_freed_memory() -> bool:
    """Make the C library allocate large blocks on the heap and never trim it.

    This holds for the whole process, so a program decides on it and not a library: the command line calls it before it
    trains on a CPU.

    Returns: True if the C library accepts it; other libraries than GNU's are left unchanged.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(M_MMAP_MAX, 0) and library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
