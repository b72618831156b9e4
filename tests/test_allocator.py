"""The allocator: the page faults of large tensors that come and go are gone."""

import platform
import subprocess
import sys

import pytest

CODE = """
import resource, sys
import torch
from labelcontrast.allocator import keep_freed_memory
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16 * 2**20)  # 64 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_large_tensors_are_not_faulted_in_again() -> None:
    counts = {}
    for word in ("keep", "leave"):
        done = subprocess.run([sys.executable, "-c", CODE, word], capture_output=True, text=True, check=True)
        counts[word] = int(done.stdout)
    assert counts["leave"] > 10_000
    assert counts["keep"] < 100
