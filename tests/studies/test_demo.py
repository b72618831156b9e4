"""The demo: the main job on the built-in set, as a newcomer sees it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from labelcontrast.data import digits
from labelcontrast.errors import RunError
from labelcontrast.run.learning import Listeners
from labelcontrast.studies import demo


def test_it_compares_three_losses_and_keeps_the_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "SIZES", {"train": 96, "val": 40, "test": 40})
    monkeypatch.setitem(demo.SETTINGS, "training", {"epochs": 1})
    table = demo.run_demo(tmp_path, listeners=Listeners())
    assert [row[0].text for row in table.rows] == list(demo.LOSSES)
    assert len(list(tmp_path.rglob("model.safetensors"))) == 3
    with pytest.raises(RunError, match="holds a comparison"):
        demo.run_demo(tmp_path, listeners=Listeners())


@pytest.mark.slow
def test_the_command_learns_and_ends_with_the_page(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "labelcontrast", "demo", "--out", "demo"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "demo/comparison/report.html" in done.stdout
    rows = json.loads((tmp_path / "demo" / "comparison" / "results.json").read_text())["rows"]
    for loss in demo.LOSSES:
        metrics = rows[loss][0]["metrics"]["test"]
        assert metrics["micro_f1"] > 0.9, loss
        assert metrics["macro_f1"] > 0.7, loss
