"""Commands that are killed, or on a bad machine, a sample; ``kill.py`` and ``conditions.py`` beside it try more."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "signal"),
    [
        ("train, joint", "KILL"),
        ("train, evaluation again", "KILL"),
        ("train, two stages", "TERM"),
        ("compare", "INT"),
        ("search", "KILL"),
        ("predict", "KILL"),
        ("embed", "TERM"),
    ],
)
def test_what_a_signal_left_is_continued_as_if_nothing_had_happened(name: str, signal: str) -> None:
    _run("kill.py", "--only", name, "--kills", "2", "--signal", signal)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train, joint", "compare", "predict"])
def test_a_command_on_a_bad_machine_ends_well_or_in_one_line(name: str) -> None:
    _run("conditions.py", "--command", name, "--each", "1", "--seed", "1")


def _run(harness: str, *arguments: str) -> None:
    words = [sys.executable, str(Path(__file__).with_name(harness)), *arguments]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
