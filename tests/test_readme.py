"""What the README shows is executed, and every table in it is that of a committed result."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from labelcontrast.data.digits import write_digits

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [README, (ROOT / "docs" / "findings.md").read_text()]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"))
def test_python_runs(code: str) -> None:
    exec(compile(code, "README.md", "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=["README", "findings"])
def test_every_table_of_results_is_that_of_its_folder(page: str) -> None:
    tables = re.findall(r"<!-- (results/\S+/table\.md) -->\n\n(.*?)\n\n", page, re.DOTALL)
    assert len(tables) == page.count("<!-- results/") > 0
    for path, table in tables:
        assert table.strip() == (ROOT / path).read_text().strip(), path


@pytest.mark.slow
def test_every_command_runs(tmp_path: Path) -> None:
    write_digits(tmp_path / "demo" / "digits")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command in "".join(blocks("sh")).splitlines():
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, (command, done.stderr)
    assert (tmp_path / "predictions.jsonl").stat().st_size > 1000
    assert (tmp_path / "run" / "README.md").exists()
    assert (tmp_path / "comparison" / "table.md").exists()
