"""The page on time and memory: its tables are those of the results."""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "scaling.md").read_text()


def results(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def table(heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading, without its header."""
    below = PAGE[PAGE.index(f"\n## {heading}\n") :]
    lines = re.search(r"((?:^\|.*\|\n)+)", below, re.MULTILINE)
    assert lines is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1].splitlines()[2:]]


def as_number(cell: str) -> float:
    return float(cell.replace(",", ""))


def test_the_seconds_and_memory_of_the_losses_are_those_of_the_results() -> None:
    found = results("losses_labels_1")["found"]
    rows = table("Labels: one step of a loss")
    assert len(rows) == len(found["seconds"])
    for name, *cells in rows:
        seconds = found["seconds"][name.strip("`")]
        for cell, value in zip(cells, seconds.values(), strict=False):
            assert abs(as_number(cell) - value) <= 0.006 * value, name


def test_the_steps_in_chunks_are_those_of_the_results() -> None:
    found = results("chunks")["steps"]
    rows = {name: cells for name, *cells in table("Batches: one step in chunks")}
    assert {name: [as_number(cell) for cell in cells] for name, cells in rows.items()} == {
        name: [step["MiB"], step["seconds"]] for name, step in found.items()
    }


def test_the_whole_runs_are_those_of_the_results() -> None:
    found = {name: one for name, one in results("many_labels").items() if "train" in one}
    rows = table("A whole run")
    assert [row[0].strip("`") for row in rows] == list(found)
    for (_, *cells), one in zip(rows, found.values(), strict=True):
        largest = one["MB of its largest files"]
        files = [
            max(size for name, size in largest.items() if not name.startswith("checkpoints")),
            max((size for name, size in largest.items() if name.startswith("checkpoints")), default=0),
        ]
        expected = [one["examples"], *one["train"].values(), *files, *one["predict 100"].values()]
        assert [as_number(cell) for cell in cells] == expected


def test_what_is_done_from_1000_labels_on_is_that_of_the_results() -> None:
    found = {name.split()[1]: one for name, one in results("many_labels").items() if "train" not in one}
    for name, *cells in table("Probe and words from 1,000 labels on"):
        data, part = name.split(", ")
        expected = [found[data][f"{part}, as with {how} labels"].values() for how in ("few", "many")]
        assert [as_number(cell) for cell in cells] == [value for one in expected for value in one]
