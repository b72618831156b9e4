"""Mutated inputs of every format are read or refused in words; ``LABELCONTRAST_FUZZ=100000 pytest`` tries more."""

import os
from pathlib import Path

import pytest

from fuzzing import INPUTS, run

NUMBER = int(os.environ.get("LABELCONTRAST_FUZZ", "1200"))


@pytest.mark.parametrize("name", INPUTS)
def test_an_input_is_read_before_it_is_mutated(name: str, tmp_path: Path) -> None:
    INPUTS[name].write(tmp_path)
    INPUTS[name].read(tmp_path)


def test_mutated_inputs_are_read_or_refused() -> None:
    counts, failures = run(range(NUMBER))
    assert failures == []
    assert counts["read"] > NUMBER / 8
