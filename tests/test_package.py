"""The package as it is released: what is in it, that it installs alone, and that its names and extras agree."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
from email import message_from_string
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

import labelcontrast

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*words: object, cwd: Path, **environment: str) -> str:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONPATH", "COV"))}
    words = tuple(map(str, words))
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False, env={**variables, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_import_loads_nothing_but_itself(tmp_path: Path) -> None:
    code = "import sys; before = {*sys.modules}; import labelcontrast; print(*({*sys.modules} - before))"
    loaded = run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(ROOT / "src")).split()
    assert {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names == {"labelcontrast"}


def test_every_extra_that_is_named_exists() -> None:
    extras = PROJECT["optional-dependencies"].keys()
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "\n".join(path.read_text() for path in [*pages, *(ROOT / "src").rglob("*.py")])
    raised = re.findall(r'MissingExtraError\([^()]*, "([\w-]+)"\)', text)
    advised = [
        extra.strip() for one in re.findall(r"(?:\.|labelcontrast)\[([\w, -]+)\]'", text) for extra in one.split(",")
    ]
    assert {"kornia", "onnx", "ray", "search", "serve", "timm", "umap"} <= {*raised}
    assert {*advised} >= {"ray", "timm"}
    assert {*raised, *advised} <= extras
    assert {"tensorboard", "wandb", "mlflow", "kornia"} <= extras  # named by settings: run/validation.py


def test_one_version_everywhere() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert labelcontrast.__version__ == PROJECT["version"] == cited["version"]
    assert cited["license"] == PROJECT["license"]
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build wheel and source distribution without a network, by the backend that is installed."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    return folder


def tracked_files(folder: str) -> set[str]:
    return {*run("git", "ls-files", folder, cwd=ROOT).split()}


def read_wheel(folder: Path) -> dict[str, bytes]:
    with ZipFile(next(folder.glob("*.whl"))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.slow
def test_wheel_and_source_hold_the_package_and_nothing_else(released: Path, tmp_path: Path) -> None:
    source = {name.removeprefix("src/") for name in tracked_files("src")}
    wheel = read_wheel(released)
    about = {name for name in wheel if ".dist-info/" in name}
    assert wheel.keys() - about == source
    assert {name.partition("/")[2] for name in about} == {
        *("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    }
    with tarfile.open(next(released.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
        names = {name.partition("/")[2] for name in archive.getnames()}
    beside = {"CHANGELOG.md", "CITATION.cff", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml", ".gitignore"}
    assert names == {f"src/{name}" for name in source} | beside
    unpacked = next(tmp_path.iterdir())
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "again", cwd=unpacked)
    assert read_wheel(tmp_path / "again") == wheel


@pytest.mark.slow
def test_the_metadata_are_right(released: Path, tmp_path: Path) -> None:
    shown = run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", *released.iterdir(), cwd=tmp_path)
    assert shown.count("PASSED") == 2
    metadata = next(text for name, text in read_wheel(released).items() if name.endswith("/METADATA"))
    fields = message_from_string(metadata.decode())
    assert fields["License-Expression"] == "Apache-2.0"
    assert {*fields.get_all("Provides-Extra", [])} == PROJECT["optional-dependencies"].keys()
    assert "torchvision" not in " ".join(one for one in fields.get_all("Requires-Dist", []) if "extra ==" not in one)


@pytest.mark.slow
def test_the_wheel_is_installed_alone_and_trains(released: Path, vectors: Path, tmp_path: Path) -> None:
    """In an environment that has the dependencies of this one, but neither this package nor its source."""
    venv.create(tmp_path / "venv", with_pip=True)
    python, command = (tmp_path / "venv" / "bin" / name for name in ("python", "labelcontrast"))
    installed = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    run(python, "-m", "pip", "install", "--no-index", "--no-deps", next(released.glob("*.whl")), cwd=tmp_path)
    (installed / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = run(python, "-c", "import labelcontrast; print(labelcontrast.__file__)", cwd=tmp_path)
    assert Path(where.strip()) == installed / "labelcontrast" / "__init__.py"
    assert run(command, "--version", cwd=tmp_path).startswith(f"labelcontrast {PROJECT['version']} (Python ")
    assert "temperature" in run(command, "studies", cwd=tmp_path)
    run(command, "train", vectors, "--loss", "bce", "--epochs", "1", "--out", "run", cwd=tmp_path)
    assert "</html>" in (tmp_path / "run" / "report.html").read_text()
    assert len(run(command, "predict", "run", vectors, cwd=tmp_path).splitlines()) == 240
