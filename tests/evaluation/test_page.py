"""The page on evaluation: its tables are those of the results, and what it names is there."""

import json
import re
from pathlib import Path

from labelcontrast.config.sections import Evaluation

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "evaluation.md").read_text()


def test_every_table_of_results_is_one_of_its_file() -> None:
    tables = re.findall(r"<!-- (benchmarks/results/\S+) -->\n\n((?:\|.*\n)+)", PAGE)
    assert len(tables) == PAGE.count("<!-- ") == 6
    for path, table in tables:
        assert table in (ROOT / path).read_text() + "\n", path


def test_the_seconds_are_those_that_were_measured() -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / "probe_speed.json").read_text())["found"]
    shown = re.findall(r"^\| .* \| ([\d.]+) \| ([\d.]*) ?\|$", PAGE[: PAGE.index("## From scores")], re.MULTILINE)
    assert sorted(float(seconds) for seconds, _ in shown) == sorted(found["seconds"].values())
    assert sorted(float(times) for _, times in shown if times) == sorted(found["times the sweep"].values())


def test_every_setting_it_names_is_one() -> None:
    named = set(re.findall(r"`evaluation\.(\w+)", PAGE))
    assert named == Evaluation.model_fields.keys() - {"map"}
