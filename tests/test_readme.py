"""What README and pages show is executed; their tables are committed results, and their links have targets."""

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
PAGES = {path.name: path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
ALONE = ("README.md", "quickstart.md", "evaluation.md", "hierarchy.md", "data.md")
"""Pages whose blocks of Python are each run alone; those of integrations.md have a test of their own."""
RUN_HERE = ("tutorials.md", "faq.md")
"""Pages whose blocks follow one another in one folder."""


def blocks(page: str, language: str = "python|sh") -> list[tuple[str, str]]:
    return re.findall(rf"```({language})\n(.*?)```", PAGES[page], re.DOTALL)


def run_commands(lines: str, folder: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command in lines.splitlines():
        words = {"shell": True, "cwd": folder, "capture_output": True, "text": True, "env": environment}
        done = subprocess.run(command, check=False, **words)
        assert done.returncode == 0, (command, done.stderr)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the commands of the quick start leave it, with few pictures of noise in place of the digits."""
    folder = tmp_path_factory.mktemp("newcomer")
    data = folder / "demo" / "digits"
    (data / "images").mkdir(parents=True)
    random = np.random.default_rng(0)
    rows = [{"image": f"images/test-{index:04d}.png", "labels": [NAMES[index % 10]]} for index in range(60)]
    for row in rows:
        Image.fromarray(random.integers(0, 256, (40, 40), dtype=np.uint8)).save(data / str(row["image"]))
    (data / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    reviews = [f"review {row} of the food,{'food' if row % 2 else 'food; service'}" for row in range(40)]
    (folder / "reviews.csv").write_text("\n".join(["text,labels", *reviews]) + "\n")
    values = {"data": str(data / "data.jsonl"), "encoder": {"name": "convnet"}, "training": {"epochs": 1}}
    run_experiment(RunSettings.build(values), folder / "run")
    return folder


@pytest.mark.parametrize(
    ("page", "code"),
    [(page, code) for page in ALONE for _, code in blocks(page, "python")],
)
def test_python_runs(page: str, code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    exec(compile(code, page, "exec"), {})


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN_HERE)
def test_a_page_runs_from_top_to_bottom(page: str, tmp_path: Path) -> None:
    found = blocks(page)
    assert len(found) >= 5
    for language, code in found:
        if language == "sh":
            run_commands(code, tmp_path)
        elif (name := re.match(r"# (\w+\.py)\n", code)) is not None:
            (tmp_path / name[1]).write_text(code)
        else:
            done = subprocess.run(
                [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, (code, done.stderr)


def test_every_page_with_blocks_is_run() -> None:
    """Those of losses.md are the library's own files, compared by a test of the losses."""
    elsewhere = {"integrations.md", "losses.md"}
    run = {*ALONE, *RUN_HERE, "explain.md", "labels.md"}
    assert {page for page in PAGES if blocks(page)} <= run | elsewhere


def test_every_table_of_results_is_that_of_its_folder() -> None:
    """Those of findings.md are made from the results, and compared by a test of their own."""
    page = PAGES["README.md"]
    tables = re.findall(r"<!-- (results/\S+/table\.md) -->\n\n(.*?)\n\n", page, re.DOTALL)
    assert len(tables) == page.count("<!-- results/") > 0
    for path, table in tables:
        assert table.strip() == (ROOT / path).read_text().strip(), path


@pytest.mark.parametrize("page", PAGES)
def test_every_link_has_a_target(page: str) -> None:
    place = ROOT if page == "README.md" else ROOT / "docs"
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGES[page])
    assert [link for link in links if not (place / link).exists()] == []


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    listed = set(re.findall(r": (\w+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert listed == {*PAGES, "index.md"} - {"README.md"}  # the home page is the README


def test_the_readme_is_one_screen() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 60


def test_the_tree_for_contributors_is_complete() -> None:
    tree = re.findall(r"[a-z]+(?:/|\.py)", (ROOT / "CONTRIBUTING.md").read_text())
    source = ROOT / "src" / "labelcontrast"
    folders = {f"{path.parent.name}/" for path in source.glob("*/__init__.py")}
    files = {path.name for path in source.glob("*.py") if not path.name.startswith("__")}
    assert (folders | files) - set(tree) == set()


@pytest.mark.slow
def test_every_command_of_the_quick_start_runs(tmp_path: Path) -> None:
    write_digits(tmp_path / "demo" / "digits")
    run_commands("".join(code for _, code in blocks("quickstart.md", "sh")), tmp_path)
    assert (tmp_path / "predictions.jsonl").stat().st_size > 1000
    assert (tmp_path / "run" / "README.md").exists()
    assert (tmp_path / "comparison" / "table.md").exists()


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """The site has packages of its own, which ``make docs`` installs."""
    tool = ROOT / ".venv-docs" / "bin" / "mkdocs"
    if not tool.exists():
        pytest.skip("make docs installs what builds the site")
    done = subprocess.run(
        [tool, "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "ContrastiveClassifier" in (tmp_path / "site" / "api" / "labelcontrast" / "index.html").read_text()
    api = (tmp_path / "site" / "api" / "losses" / "index.html").read_text()
    assert "<math" in api
