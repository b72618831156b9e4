"""The command in three ways: in this process, in its own, and in one that cannot import torch."""

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from labelcontrast.cli import main
from labelcontrast.losses.registry import loss_catalogue, unregister_loss


class Result(NamedTuple):
    """Exit code and output of a command."""

    returncode: int
    stdout: str
    stderr: str

    def refusal(self) -> str:
        """Return the one line of a refusal."""
        assert self.returncode == 1, self
        assert self.stdout == ""
        last = self.stderr.splitlines()[-1]
        assert last.startswith("labelcontrast: ")
        assert "Traceback" not in self.stderr
        return last.removeprefix("labelcontrast: ")


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Iterator[Callable[..., Result]]:
    """Run the entry point in this process, which saves the seconds that importing torch takes.

    Losses that its plugins register are removed again.
    """
    before = {row.name for row in loss_catalogue()}

    def run(*arguments: object, stdin: str = "") -> Result:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["labelcontrast", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfdbinary.readouterr()
        return Result(int(str(end.value.code)), out.decode(), err.decode())

    yield run
    for name in {row.name for row in loss_catalogue()} - before:
        unregister_loss(name)


@pytest.fixture
def real(tmp_path: Path) -> Callable[..., Result]:
    """Run the command in its own process."""
    return lambda *arguments, **options: _run(tmp_path, ["-m", "labelcontrast", *arguments], **options)


@pytest.fixture
def light(tmp_path: Path) -> Callable[..., Result]:
    """Run the command in a process that cannot import torch, and in which every extra seems to be installed."""
    code = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *package: find(name, *package) or find('json')\n"
        "sys.modules |= {'torch': None, 'numpy': None}; from labelcontrast.cli import main; main()"
    )
    return lambda *arguments: _run(tmp_path, ["-c", code, *arguments])


def _run(folder: Path, arguments: list[object], **options: object) -> Result:
    words = [sys.executable, *map(str, arguments)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, **options)
    return Result(done.returncode, done.stdout, done.stderr)
