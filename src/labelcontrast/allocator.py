"""Keep freed memory in the process: on a CPU, each training step asks for the same large tensors again.

The GNU C library hands every large block back to the kernel when it is freed, and the kernel clears its pages when they
are taken again: some hundred thousand page faults a step of a convolutional network. Training on a CPU is faster
without; the process stays as large as it has ever been.
"""

import ctypes
import platform

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
