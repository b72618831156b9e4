"""Facts about the machine and the process: versions, size, times by stage, seeds, and memory that is kept.

The GNU C library hands every large block back to the kernel when it is freed, and the kernel clears its pages when they
are taken again: some hundred thousand page faults a step of a convolutional network. Training on a CPU is faster
without; the process stays as large as it has ever been.
"""

import ctypes
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("labelcontrast", "torch", "lightning", "transformers", "scikit-learn", "numpy")


def describe_origin() -> dict[str, Any]:
    """Say what a reader needs to make a result again and to judge its times."""
    return {
        "command": shlex.join([*_program(Path(sys.argv[0])), *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "machine": {
            "processors": os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
            "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
    }


def _program(path: Path) -> list[str]:
    """Say how a program is called, a package by its name."""
    return ["python", "-m", path.parent.name] if path.name == "__main__.py" else [path.name]


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
        """Close a stage."""
        now = time.monotonic()
        self.laps[stage] = round(now - self._last, 3)
        self._last = now


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block under a seed of its own; the caller's random stream is as before."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # as in malloc.h


def keep_freed_memory() -> bool:
    """Ask the C library to serve large blocks from the heap and never to trim it.

    It holds for the whole process, so it is for a program to decide, and not for a library: the command line calls it
    before it trains on a CPU.

    Returns:
        Whether the C library took it; other libraries than GNU's have other ways, and are left alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(M_MMAP_MAX, 0) and library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
