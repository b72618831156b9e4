"""The verb that searches: refused without torch, and from data to settings that train takes."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from labelcontrast.cli.printing import print_report
from labelcontrast.cli.searching import search

INSTALLED = "import sys, importlib.util as u; u.find_spec = lambda name: name; sys.modules |= {'torch': None}; "


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--losses", "rge"], "there is no loss 'rge' (did you mean \"reg\"?)"),
        (["--study", "temprature"], "there is no study 'temprature' (did you mean \"temperature\"?)"),
        (["--range", "loss.alpha=2"], '"loss.alpha=2" is not a range'),
        (["--set", "trainig.epochs=1"], 'unknown setting "trainig" (did you mean "training"?)'),
    ],
)
def test_a_wrong_argument_is_one_line_without_torch(tmp_path: Path, words: list[str], message: str) -> None:
    code = INSTALLED + "from labelcontrast.cli import main; main()"
    command = [sys.executable, "-c", code, "search", "a.csv", "--out", "x", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"labelcontrast: {message}")
    assert list(tmp_path.iterdir()) == []


def test_it_ends_with_settings_for_train(vectors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("optuna", reason="Optuna is an extra")
    folder = tmp_path / "out"
    search(str(vectors), out=folder, losses="bce", trials=2, assignments=["training.epochs=1"])
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == f"best settings in {folder / 'best.toml'}, page in {folder / 'report.html'}"
    assert "bce, trial 2 of 2: validation mAP (%) " in err
    best = tomllib.loads((folder / "best.toml").read_text())
    assert best["loss"]["name"] == "bce"
    assert 1e-4 <= best["training"]["learning_rate"] <= 1e-2
    before = (folder / "report.html").read_text()
    (folder / "report.html").unlink()
    print_report(folder)
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    assert (folder / "report.html").read_text() == before


def test_a_study_may_declare_what_is_searched(vectors: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="Optuna is an extra")
    declared = tmp_path / "mine.toml"
    declared.write_text(
        'question = "Which alpha?"\nlosses = ["wo_reg"]\n'
        '[protocol]\n"training.epochs" = 1\n"training.batch_size" = 32\n'
        '[search]\n"loss.alpha" = "3:4"\n[table]\nmetrics = ["macro_f1"]\n'
    )
    search(str(vectors), out=tmp_path / "out", study=str(declared), trials=1, assignments=["training.batch_size=64"])
    best = tomllib.loads((tmp_path / "out" / "best.toml").read_text())
    assert best["loss"]["name"] == "wo_reg"
    assert 3 <= best["loss"]["alpha"] <= 4
    assert (best["training"]["epochs"], best["training"]["batch_size"]) == (1, 64)
