"""Commands that are killed, terminated or interrupted, a sample; ``python tests/faults/kill.py`` tries more."""

import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).with_name("kill.py")


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
    words = [sys.executable, str(HARNESS), "--only", name, "--kills", "2", "--signal", signal]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
