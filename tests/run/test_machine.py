"""The origin of a result, seconds by stage, seeds, and the memory that is kept."""

import platform
import subprocess
import sys

import pytest
import torch

from labelcontrast.run.machine import PACKAGES, Clock, describe_origin, seeded


def test_the_origin_names_command_versions_and_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/labelcontrast", "train", "my data.csv"])
    origin = describe_origin()
    assert origin["command"] == "labelcontrast train 'my data.csv'"
    assert origin["versions"]["torch"] == torch.__version__.split("+")[0]
    assert set(PACKAGES) < set(origin["versions"])
    assert origin["machine"]["processors"] >= 1
    assert origin["machine"]["memory_gib"] >= 1


def test_a_package_that_is_run_as_a_module_is_named_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/labelcontrast/__main__.py", "demo"])
    assert describe_origin()["command"] == "python -m labelcontrast demo"


def test_laps_are_in_order() -> None:
    clock = Clock()
    clock.lap("a")
    clock.lap("b")
    assert list(clock.laps) == ["a", "b"]
    assert all(seconds >= 0 for seconds in clock.laps.values())


def test_a_seeded_block_repeats_and_restores_the_random_stream() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(1):
        first = torch.rand(2)
    with seeded(1):
        assert torch.equal(torch.rand(2), first)
    assert torch.equal(torch.rand(3), expected)


CODE = """
import resource, sys
import torch
from labelcontrast.run.machine import keep_freed_memory
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is configured")
def test_large_tensors_cause_no_new_page_faults() -> None:
    counts = {}
    for word in ("keep", "leave"):
        done = subprocess.run([sys.executable, "-c", CODE, word], capture_output=True, text=True, check=True)
        counts[word] = int(done.stdout)
    assert counts["leave"] > 10_000
    assert counts["keep"] < 100
