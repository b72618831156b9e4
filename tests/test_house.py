"""Rules of the source tree: imports run down only, without circles; every file has a docstring and a specific name."""

import ast
import importlib.util
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[1] / "docs"
_spec = importlib.util.spec_from_file_location("make_architecture", DOCS / "make_architecture.py")
assert _spec is not None
assert _spec.loader is not None
house = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(house)
SOURCE, FILES = house.SOURCE, house.files()
room_of, imports_of, may_import = house.room_of, house.imports_of, house.may_import


def module_of(name: str) -> Path | None:
    """Return the file of a dotted name below the package: the longest prefix that is a file."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        stem = SOURCE.joinpath(*parts[:length])
        if stem.with_suffix(".py").exists():
            return stem.with_suffix(".py")
        if (stem / "__init__.py").exists():
            return stem / "__init__.py"
    return None


def test_the_page_and_its_drawing_are_up_to_date() -> None:
    assert house.PAGE.read_text() == house.page(), "run python docs/make_architecture.py"
    assert house.DRAWING.read_text() == house.draw(house.flow()), "run python docs/make_architecture.py"


def test_every_step_of_the_page_is_there() -> None:
    for _, place in (*house.RUN, *house.LOSS):
        assert house.resolve(place).__module__ == f"labelcontrast.{place.split(':')[0]}"
    taken = (SOURCE / "experiment.py").read_text()
    names = [place.split(":")[1] for _, place in house.RUN if f"{place.split(':')[1]}(" in taken]
    assert [taken.index(f" {name}(") for name in names] == sorted(taken.index(f" {name}(") for name in names)
    assert len(names) >= len(house.RUN) - 1  # the page is written by _with_report
    for _, where, test in house.ADDITIONS:
        for path in re.findall(r"`((?:\w+/)+\w+\.py|(?:\w+/)+)`", where):
            assert (SOURCE / path).exists(), path
        for path in re.findall(r"`(tests/[\w/.]+)`", test):
            assert (DOCS.parent / path).exists(), path


def test_imports_are_absolute() -> None:
    relative = [
        path
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


@pytest.mark.parametrize(
    "path", [path for path in FILES if room_of(path) != "__init__"], ids=lambda path: str(path.relative_to(SOURCE))
)
def test_imports_run_down_only(path: Path) -> None:
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
def test_every_file_has_a_docstring_and_a_specific_name(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), "every file needs a docstring"
    assert not {"utils", "helpers", "common", "misc"} & set(path.relative_to(SOURCE).with_suffix("").parts)


def test_losses_import_only_errors_and_lazy_names() -> None:
    """Losses can be used in any training loop."""
    allowed = {"losses", "errors", "doors"}
    reached = {name.split(".")[0] for path in (SOURCE / "losses").rglob("*.py") for name in imports_of(path)}
    assert reached <= allowed


def test_training_imports_no_loss() -> None:
    reached = {name.split(".")[0] for path in (SOURCE / "training").rglob("*.py") for name in imports_of(path)}
    assert "losses" not in reached


def test_json_is_parsed_where_deep_nesting_is_refused() -> None:
    """``json.loads`` alone ends in a RecursionError, which no handler of errors expects."""
    parsing = [path.relative_to(SOURCE).as_posix() for path in FILES if "json.load" in path.read_text()]
    assert parsing == ["export/predict_onnx.py", "files.py"]  # a script that runs without this package


DOORS = [path for path in FILES if path.name == "__init__.py" and "lazy_names" in path.read_text()]


@pytest.mark.parametrize("path", DOORS, ids=lambda path: path.parent.name)
def test_public_names_are_complete(path: Path) -> None:
    """The names for type checkers are the public names, and all can be imported."""
    shown = re.findall(r"^    from \S+ import (\w+) as \1$", path.read_text(), re.MULTILINE)
    package = import_module(".".join(["labelcontrast", *path.relative_to(SOURCE).parts[:-1]]))
    assert sorted(shown) == package.__all__ == dir(package)
    for name in package.__all__:
        assert getattr(package, name) is not None


@pytest.mark.parametrize("path", DOORS, ids=lambda path: path.parent.name)
def test_no_public_name_hides_behind_a_module(path: Path) -> None:
    """Once a module is imported, it takes the place of a lazy name that is spelled like it."""
    package = import_module(".".join(["labelcontrast", *path.relative_to(SOURCE).parts[:-1]]))
    modules = {inside.stem for inside in path.parent.iterdir()}
    public = {name: getattr(package, name) for name in package.__all__}
    clashes = [name for name, found in public.items() if name in modules and not isinstance(found, ModuleType)]
    assert clashes == []
