"""docs/reliability.md says what the files of results hold; ``python tests/faults/test_page.py`` writes it anew."""

import re
from pathlib import Path
from typing import Any

from labelcontrast.files import read_json

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
RESULTS = Path(__file__).with_name("results")


def table_of(name: str, found: dict[str, Any]) -> str:
    """Tabulate a file of results."""
    if name.startswith("kill"):
        rows = [("command", "killed and survived", "had ended before", "failed")]
        rows += [
            (command, one.get("survived", 0), one.get("had ended", 0), one.get("failed", 0))
            for command, one in found["commands"].items()
        ]
    elif name == "conditions":
        rows = [("condition", "ended as on a sound machine", "refused and begun anew", "failed")]
        met = {condition for one in found["commands"].values() for condition in one if isinstance(one[condition], dict)}
        for condition in sorted(met):
            counts = [one.get(condition, {}) for one in found["commands"].values()]
            rows.append((condition, *(sum(one.get(end, 0) for one in counts) for end in ("held", "refused", "failed"))))
    elif name == "damage":
        rows = [(f"{found['folders']:,} folders", "as before", "refused", "failed")]
        rows += [
            (command, one.get("unharmed", 0), one.get("refused", 0), one.get("failed", 0))
            for command, one in found["outcomes"].items()
        ]
    else:
        inputs = found["inputs"]
        rows = [("inputs", "read", "refused", "failed")]
        rows += [
            tuple(
                f"{one:,}" for one in (sum(inputs.values()), inputs["read"], inputs["refused"], inputs.get("failed", 0))
            )
        ]
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join([lines[0], "| --- | ---: | ---: | ---: |", *lines[1:]])


def written() -> str:
    """Put the table of each file of results behind its mark."""
    page = PAGE.read_text()
    for path in sorted(RESULTS.glob("*.json")):
        mark = f"<!-- {path.name} -->"
        assert mark in page, path
        page = re.sub(
            rf"{mark}\n(\n\|.*?\n(?=\n))?", f"{mark}\n\n{table_of(path.stem, read_json(path))}\n", page, flags=re.DOTALL
        )
    return page


def test_the_page_has_the_figures_of_the_results() -> None:
    assert PAGE.read_text() == written()


if __name__ == "__main__":
    PAGE.write_text(written())
