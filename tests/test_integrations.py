"""Every example of docs/integrations.md runs in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "integrations.md").read_text()
EXAMPLES = dict(re.findall(r"### ([^\n]+)\n(?:(?!\n### ).)*?```python\n(.*?)```", PAGE, re.DOTALL))
HOSTS = {"Accelerate": "accelerate", "sentence": "sentence_transformers", "metric": "pytorch_metric_learning"}
"""The library of an example, by a word of its title, where it is an extra."""


def test_each_host_has_an_example() -> None:
    assert len(EXAMPLES) == PAGE.count("```python") == 6


@pytest.mark.slow
@pytest.mark.parametrize("title", EXAMPLES)
def test_the_example_runs(title: str, tmp_path: Path) -> None:
    for word, library in HOSTS.items():
        if word in title:
            pytest.importorskip(library, reason=f"the example needs {library}")
    (tmp_path / "example.py").write_text(EXAMPLES[title])
    how = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"] if "Accelerate" in title else []
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        [sys.executable, *how, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    if "sentence-transformers" in title:
        assert (tmp_path / "trained" / "modules.json").exists()
