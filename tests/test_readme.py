"""Everything that the README shows is executed; its tables are committed results, and its links have targets."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelcontrast.data.digits import NAMES, write_digits
from labelcontrast.experiment import run_experiment
from labelcontrast.settings import RunSettings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


PLUGIN = next(code for code in blocks("python") if code.startswith("# my_losses.py\n"))
"""A file of its own, which ``--plugin`` loads; the others are executed here."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the commands of the README leave it, with few pictures of noise in place of the digits."""
    folder = tmp_path_factory.mktemp("newcomer")
    data = folder / "demo" / "digits"
    (data / "images").mkdir(parents=True)
    random = np.random.default_rng(0)
    rows = [{"image": f"images/test-{index:04d}.png", "labels": [NAMES[index % 10]]} for index in range(60)]
    for row in rows:
        Image.fromarray(random.integers(0, 256, (40, 40), dtype=np.uint8)).save(data / str(row["image"]))
    (data / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {"data": str(data / "data.jsonl"), "encoder": {"name": "convnet"}, "training": {"epochs": 1}}
    run_experiment(RunSettings.build(values), folder / "run")
    return folder


@pytest.mark.parametrize("code", [code for code in blocks("python") if code != PLUGIN])
def test_python_runs(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    exec(compile(code, "README.md", "exec"), {})


def test_every_table_of_results_is_that_of_its_folder() -> None:
    tables = re.findall(r"<!-- (results/\S+/table\.md) -->\n\n(.*?)\n\n", README, re.DOTALL)
    assert len(tables) == README.count("<!-- results/") > 0
    for path, table in tables:
        assert table.strip() == (ROOT / path).read_text().strip(), path


def test_every_link_has_a_target() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_tree_for_contributors_is_complete() -> None:
    tree = re.findall(r"[a-z]+(?:/|\.py)", (ROOT / "CONTRIBUTING.md").read_text())
    source = ROOT / "src" / "labelcontrast"
    folders = {f"{path.parent.name}/" for path in source.glob("*/__init__.py")}
    files = {path.name for path in source.glob("*.py") if not path.name.startswith("__")}
    assert (folders | files) - set(tree) == set()


@pytest.mark.slow
def test_every_command_runs(tmp_path: Path) -> None:
    write_digits(tmp_path / "demo" / "digits")
    (tmp_path / "my_losses.py").write_text(PLUGIN)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command in "".join(blocks("sh")).splitlines():
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, (command, done.stderr)
    assert (tmp_path / "predictions.jsonl").stat().st_size > 1000
    assert (tmp_path / "run" / "README.md").exists()
    assert (tmp_path / "dice" / "README.md").exists()
    assert (tmp_path / "comparison" / "table.md").exists()
