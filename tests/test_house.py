"""The house rules: imports run down only, no circle, no vague room, every public name listed."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

import labelcontrast

SOURCE = Path(labelcontrast.__file__).parent
# From the roof to the ground. Names on one line do not know one another.
FLOORS = [
    ["__main__"],
    ["cli", "serving"],
    ["lab", "estimator", "integrations"],
    ["experiment"],
    ["run"],
    ["training"],
    ["data"],
    ["losses", "encoders", "labels", "metrics", "probes", "reports", "settings"],
    ["files", "dag"],
    ["errors", "doors"],
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(SOURCE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The first part of a file's name below the package: ``data/readers/npz.py`` is in ``data``."""
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imports_of(path: Path) -> list[str]:
    """The modules of this package that a file imports, as dotted names below the package."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("labelcontrast"):
            module = (node.module or "").removeprefix("labelcontrast").lstrip(".")
            found += [f"{module}.{name.name}".lstrip(".") for name in node.names]
        elif isinstance(node, ast.Import):
            found += [
                name.name.removeprefix("labelcontrast.")
                for name in node.names
                if name.name.startswith("labelcontrast.")
            ]
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: imports are absolute"
    return found


def module_of(name: str) -> Path | None:
    """The file that a dotted name below the package lives in: the longest prefix that is a file."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        stem = SOURCE.joinpath(*parts[:length])
        if stem.with_suffix(".py").exists():
            return stem.with_suffix(".py")
        if (stem / "__init__.py").exists():
            return stem / "__init__.py"
    return None


ALLOWED = {("probes", "metrics"), ("settings", "losses")}
"""Exceptions on one floor: a probe is chosen by average precision, and a loss is checked where it is written down."""


def may_import(importer: str, imported: str) -> bool:
    """Down only; within a room always (order and circles have a test of their own)."""
    return importer == imported or FLOOR[importer] < FLOOR[imported] or (importer, imported) in ALLOWED


@pytest.mark.parametrize(
    "path", [path for path in FILES if room_of(path) != "__init__"], ids=lambda path: str(path.relative_to(SOURCE))
)
def test_a_file_imports_only_what_stands_below_it(path: Path) -> None:
    upward = [name for name in imports_of(path) if not may_import(room_of(path), name.split(".")[0])]
    assert upward == []


def test_no_circle() -> None:
    graph = {
        path: {target for name in imports_of(path) if (target := module_of(name)) and target != path} for path in FILES
    }
    done: set[Path] = set()

    def visit(path: Path, trail: tuple[Path, ...]) -> None:
        assert path not in trail, " -> ".join(str(step.relative_to(SOURCE)) for step in (*trail, path))
        if path not in done:
            for target in graph[path]:
                visit(target, (*trail, path))
            done.add(path)

    for path in FILES:
        visit(path, ())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), "a file opens with a sentence"
    assert not {"utils", "helpers", "common", "misc"} & set(path.relative_to(SOURCE).with_suffix("").parts)


def test_losses_know_tensors_only() -> None:
    """The losses can be lifted into any training loop."""
    allowed = {"losses", "errors", "doors"}
    reached = {name.split(".")[0] for path in (SOURCE / "losses").rglob("*.py") for name in imports_of(path)}
    assert reached <= allowed


def test_training_knows_no_loss() -> None:
    reached = {name.split(".")[0] for path in (SOURCE / "training").rglob("*.py") for name in imports_of(path)}
    assert "losses" not in reached


DOORS = [path for path in FILES if path.name == "__init__.py" and "lazy_names" in path.read_text()]


@pytest.mark.parametrize("path", DOORS, ids=lambda path: path.parent.name)
def test_public_names_are_complete(path: Path) -> None:
    """What a type checker sees at a door is what is there, and it can be used."""
    shown = re.findall(r"^    from \S+ import (\w+) as \1$", path.read_text(), re.MULTILINE)
    package = import_module(".".join(["labelcontrast", *path.relative_to(SOURCE).parts[:-1]]))
    assert sorted(shown) == package.__all__ == dir(package)
    for name in package.__all__:
        assert getattr(package, name) is not None
