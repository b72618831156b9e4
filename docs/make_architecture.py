"""Write docs/architecture.md and docs/architecture.svg from the code: the tree, the flow of data, where things go.

python docs/make_architecture.py
"""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_type_hints

import labelcontrast
from labelcontrast.settings import RunSettings

HERE = Path(__file__).parent
SOURCE = Path(labelcontrast.__file__).parent
PAGE, DRAWING = HERE / "architecture.md", HERE / "architecture.svg"

FLOORS = (
    ("__main__",),
    ("cli",),
    ("serving",),
    ("lab", "estimator", "export"),
    ("experiment",),
    ("run",),
    ("training",),
    ("data",),
    ("losses", "encoders", "labels", "metrics", "probes", "reports", "settings"),
    ("files", "dag"),
    ("errors", "doors", "progress"),
)
"""The rooms, from the roof to the ground."""
EXCEPTIONS = {
    ("probes", "metrics"): "a probe is chosen by average precision",
    ("settings", "losses"): "the name and parameters of a loss are checked where they are written down",
}
"""Imports between rooms on one floor that are allowed."""

RUN = (
    ("Check the settings, before torch is imported or a file is read", "run.validation:validate_settings"),
    ("Claim the run folder", "run.folder:claim"),
    ("Read and split the data, prepare labels and encoder", "run.inputs:prepare_inputs"),
    ("Train the encoder with the loss", "run.fitting:train_encoder"),
    ("Compute the features of every split, once", "run.evaluation:compute_split_features"),
    ("Fit the probe", "run.evaluation:fit_classifier"),
    ("Choose thresholds on validation, and evaluate", "run.evaluation:evaluate_inputs"),
    ("Measure the embeddings themselves", "run.evaluation:describe_embeddings"),
    ("Write the result", "run.folder:RunResult"),
    ("Write the page and the model card", "run.report:write_report"),
)
"""The steps of a run, in the order in which `experiment.py` takes them."""
LOSS = (
    ("Find the row, and check its parameters", "losses.registry:check_loss"),
    ("Make the module", "losses.factory:make_loss"),
    ("Bring anchors and candidates together", "losses.loss:ContrastiveLoss"),
    ("Turn label sets into pair weights", "losses.pair_weights:share"),
    ("Sum over blocks of pairs, forward and backward", "losses.kernel:weighted_softmax"),
)
"""The steps of `make_loss("reg")(projections, labels).backward()`."""
FLOW = (
    "data.examples:Examples",
    "data.splits:Splits",
    "run.inputs:RunData",
    "run.inputs:RunInputs",
    "run.fitting:TrainResult",
    "run.model:TrainedModel",
    "run.evaluation:RunEvaluation",
    "run.folder:RunResult",
)
"""The types that flow through a run."""
STEPS = (
    "data.readers:read",
    "data.splits:load_splits",
    "run.inputs:load_data",
    "run.inputs:prepare_inputs",
    "run.fitting:train_encoder",
    "run.evaluation:fit_classifier",
    "run.evaluation:evaluate_inputs",
    "run.model:load",
    "run.evaluation:evaluate",
    "experiment:run_experiment",
)
"""The functions that take or return them."""
HEAD = """# Architecture

Made from the code by `docs/make_architecture.py`; `tests/test_house.py` holds the code to it.

## The tree

A file imports only what stands below it, or what comes before it in its own folder. Rooms behind one bar do
not import one another. `losses/` knows tensors only and can be lifted into any training loop; `training/` knows no
loss by name.
"""
FLOW_TEXT = "An arrow leads from what a type holds, or is made of; beside each type stand the functions that return it."
RUN_TEXT = (
    "`labelcontrast train` calls `run_experiment` in [`experiment.py`](../src/labelcontrast/experiment.py), "
    "which takes these steps."
)
LOSS_TEXT = (
    'From `make_loss("reg")` to its gradient. Read [`losses/reference.py`](../src/labelcontrast/losses/reference.py) '
    "first: it computes the same in plain dense torch, in the letters of the paper."
)

ADDITIONS = (
    (
        "a loss",
        "a row in `losses/catalogue.py`; or, in a file of your own, `lc.register_loss`",
        "its formula as loops in `tests/losses/oracle.py`",
    ),
    ("an affinity of label sets", "a function of three counts in `losses/affinity.py`", "`tests/losses`, a case"),
    ("a metric", "an entry in `metrics/registry.py`", "`tests/metrics`, against scikit-learn or a loop"),
    ("a view", "a class in `probes/views.py`, its name in `settings.py`", "`tests/probes`, against scikit-learn"),
    ("a file format", "a reader that returns `Examples`, named in `data/readers.py`", "`tests/data`, a small file"),
    (
        "a data set as it is distributed",
        "an entry and a reader in `data/official/`",
        "`tests/data/official`, a tiny copy",
    ),
    ("an encoder", "a class in `encoders/`, named in `encoders/registry.py`", "`tests/encoders`"),
    (
        "a rule of thresholds",
        "a function in `probes/thresholds.py`, named in `choose_thresholds`",
        "`tests/probes`, against all cuts tried",
    ),
    ("a study", "a TOML file in `lab/catalogue/`, or anywhere on your disk", "`labelcontrast study FILE DATA`"),
    ("a setting", "a field with its sentence in `settings.py`", "the test of the stage that reads it"),
)
"""Where a new thing goes, and what tests it."""


def room_of(path: Path) -> str:
    """Return the first part of a file's name below the package: ``data/official/arff.py`` is in ``data``."""
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def files() -> list[Path]:
    """List the files of the package."""
    return sorted(SOURCE.rglob("*.py"))


def imports_of(path: Path) -> list[str]:
    """List what a file imports from this package, as dotted names below the package."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "labelcontrast":
            module = (node.module or "").removeprefix("labelcontrast").lstrip(".")
            found += [f"{module}.{name.name}".lstrip(".") for name in node.names]
        elif isinstance(node, ast.Import):
            names = [name.name for name in node.names if name.name.startswith("labelcontrast.")]
            found += [name.removeprefix("labelcontrast.") for name in names]
    return found


def may_import(importer: str, imported: str) -> bool:
    """Return True within a room, for a room below, and for the exceptions."""
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    return importer == imported or floor[importer] < floor[imported] or (importer, imported) in EXCEPTIONS


def resolve(place: str) -> Any:  # noqa: ANN401
    """Import the object that ``module:name`` names, below the package."""
    module, name = place.split(":")
    return getattr(import_module(f"labelcontrast.{module}"), name)


def page() -> str:
    """Write the page."""
    parts = [HEAD, "```text", *(line for rooms in FLOORS for line in floor_lines(rooms)), "```", "", "Exceptions: "]
    parts[-1] += "; ".join(f"`{one}` may import `{other}` ({why})" for (one, other), why in EXCEPTIONS.items()) + "."
    parts += ["", "## The flow of data", "", FLOW_TEXT, "", f"![The types of a run]({DRAWING.name})", ""]
    parts += ["## A run in ten steps", "", RUN_TEXT, ""]
    parts += [f"{number}. {sentence}: {link(place)}." for number, (sentence, place) in enumerate(RUN, 1)]
    parts += ["", "## A loss in five steps", "", LOSS_TEXT, ""]
    parts += [f"{number}. {sentence}: {link(place)}." for number, (sentence, place) in enumerate(LOSS, 1)]
    parts += ["", "## Where do I add ...?", "", "| what | where | its test |", "| --- | --- | --- |"]
    parts += [f"| {what} | {where} | {test} |" for what, where, test in ADDITIONS]
    parts += ["", "## Every file", ""]
    for room in (room for floor in FLOORS for room in floor):
        inside = [path for path in files() if room_of(path) == room and ast.get_docstring(ast.parse(path.read_text()))]
        parts += [f"- `{path.relative_to(SOURCE)}`: {summary(path)}" for path in inside]
    return "\n".join([*parts, ""])


def floor_lines(rooms: tuple[str, ...]) -> list[str]:
    """Write a floor of the tree: each room with its sentence, behind a bar where several stand on one floor."""
    paths = [SOURCE / room / "__init__.py" if (SOURCE / room).is_dir() else SOURCE / f"{room}.py" for room in rooms]
    bar = "|" if len(rooms) > 1 else " "
    return [f"{bar} {room:<12} {summary(path)}" for room, path in zip(rooms, paths, strict=True)]


def link(place: str) -> str:
    """Write the name of an object as a link to its file."""
    module, name = place.split(":")
    file = f"{module.replace('.', '/')}.py"
    return f"[`{name}`](../src/labelcontrast/{file}) in `{file}`"


def summary(path: Path) -> str:
    """Return the first sentence of a file."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]


def flow() -> list[tuple[str, str, str]]:
    """List the edges ``(from, function, to)``; a dataclass that holds another type gives one without a function."""
    kinds = [place.split(":")[1] for place in FLOW]
    edges = []
    for place in FLOW:
        kind = resolve(place)
        fields = get_type_hints(kind) if is_dataclass(kind) else {}
        held = {one for hint in fields.values() for one in names_in(hint)} & set(kinds)
        edges += [(one, "", kind.__name__) for one in sorted(held, key=kinds.index) if one != kind.__name__]
    for place in STEPS:
        hints = get_type_hints(resolve(place))
        made = set(names_in(hints.pop("return", None))) & set(kinds)
        taken = {one for hint in hints.values() for one in names_in(hint)} & set(kinds)
        source = "settings" if hints.get("settings") is RunSettings else "run folder" if "run" in hints else "files"
        edges += [
            (one, place.split(":")[1], other) for one in sorted(taken, key=kinds.index) or [source] for other in made
        ]
    return edges


def names_in(hint: object) -> Iterator[str]:
    """Yield the names of the classes in an annotation."""
    if inspect.isclass(hint):
        yield hint.__name__
    for inner in get_args(hint):
        yield from names_in(inner)


def draw(edges: list[tuple[str, str, str]]) -> str:
    """Draw the types from top to bottom, each with what makes it, and an arrow from what it holds or is made of."""
    kinds = [place.split(":")[1] for place in FLOW]
    left, box, step, lane = 20, 150, 66, 480
    middle = {kind: 30 + step * number for number, kind in enumerate(kinds)}
    lines = []
    for kind, y in middle.items():
        lines.append(
            f'<rect x="{left}" y="{y - 16}" width="{box}" height="32" rx="6" fill="#eef3fa" stroke="#4a6a94"/>'
        )
        lines.append(f'<text x="{left + box / 2:g}" y="{y + 5}" text-anchor="middle" font-weight="bold">{kind}</text>')
        makers = [f"{by}({one})" for one, by, other in edges if other == kind and by]
        lines.append(
            f'<text x="{left + box + 12}" y="{y + 5}" font-family="monospace" fill="#333">{", ".join(makers)}</text>'
        )
    for one, other in dict.fromkeys((one, other) for one, _, other in edges if one in middle):
        start, end = middle[one], middle[other]
        if end - start == step:
            path = f"M{left + box / 2:g} {start + 16}V{end - 17}"
        else:
            path = f"M{left + box} {start + 10}H{lane}V{end - 10}H{left + box + 2}"
            lane += 24
        lines.append(f'<path d="{path}" fill="none" stroke="#4a6a94" marker-end="url(#tip)"/>')
    width, height = lane + 10, step * len(kinds)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            'font-family="sans-serif" font-size="14" role="img">',
            "<title>The types that flow through a run, and the functions that make them</title>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
            '<path d="M0 0 8 4 0 8z" fill="#4a6a94"/></marker></defs>',
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            *lines,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page())
    DRAWING.write_text(draw(flow()))
