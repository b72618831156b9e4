"""Settings from a file, the options that override it, and the assignments that override both."""

import subprocess
import sys
from pathlib import Path

import pytest

from labelcontrast.cli.options import build_settings


def test_assignments_override_options_and_options_override_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('data = "a.csv"\nseed = 1\n[training]\nepochs = 1\nbatch_size = 8\n')
    settings = build_settings(tmp_path / "a.toml", ["training.epochs=3"], seed=2, epochs=2)
    assert (settings.data, settings.seed) == ("a.csv", 2)
    assert (settings.training.epochs, settings.training.batch_size) == (3, 8)


def test_the_option_loss_replaces_the_whole_section(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('data = "a.csv"\n[loss]\nname = "reg"\nalpha = 1\n')
    settings = build_settings(tmp_path / "a.toml", loss="zlpr+0.5*supcon")
    assert settings.loss.title == "zlpr+0.5*supcon"
    assert build_settings(tmp_path / "a.toml", loss=None).loss.title == "reg alpha=1"


@pytest.mark.parametrize("verb", ["compare", "study losses", "search"])
def test_a_cluster_without_ray_is_refused_with_the_install_line(tmp_path: Path, verb: str) -> None:
    code = "import sys, importlib.util as u; u.find_spec = lambda _: None; sys.modules |= {'torch': None}; "
    words = [*verb.split(), "a.csv", "--out", "x", "--ray", "auto"]
    command = [sys.executable, "-c", f"{code}from labelcontrast.cli import main; main()", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        done.stderr == "labelcontrast: --ray needs an extra that is not installed: pip install 'labelcontrast[ray]'\n"
    )
