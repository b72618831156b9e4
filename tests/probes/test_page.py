"""The page on evaluation: its tables are those of the results, and what it names is there."""

import json
import re
from pathlib import Path

from labelcontrast.settings import EvaluationSettings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "evaluation.md").read_text()


def test_every_table_of_results_is_one_of_its_file() -> None:
    tables = re.findall(r"<!-- (benchmarks/results/\S+) -->\n\n((?:\|.*\n)+)", PAGE)
    assert len(tables) == PAGE.count("<!-- ") == 6
    for path, table in tables:
        assert table in (ROOT / path).read_text() + "\n", path


def test_the_seconds_are_those_of_the_results() -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / "probe_speed.json").read_text())["found"]
    column = r" ([\d.]*) ?\|"
    shown = re.findall(rf"^\| .* \| ([\d.]+) \|{column}{column}$", PAGE[: PAGE.index("## From scores")], re.MULTILINE)
    assert sorted(float(seconds) for seconds, _, _ in shown) == sorted(found["seconds"].values())
    for place, name in ((1, "times the sweep"), (2, "times the sweep in bf16")):
        times = sorted(float(row[place]) for row in shown if row[place])
        assert times == sorted(value for value in found[name].values() if value != 1.0), name


def test_the_effect_of_bf16_is_that_of_the_results() -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / "probe_precision.json").read_text())["found"]
    for row in found.values():
        cells = [f"{row['seconds'][kind]}" for kind in ("32", "bf16")]
        for measure in ("micro-F1", "macro-F1", "mAP"):
            one = row[measure]
            cells.append(f"{one['32']:.2f} ± {one['deviation over seeds']:.2f}")
            cells.append(f"{one['difference']:+.2f} ± {one['interval']:.2f}")
        assert f"| {' | '.join(cells)} |" in PAGE


def test_every_setting_it_names_is_one() -> None:
    named = set(re.findall(r"`evaluation\.(\w+)", PAGE))
    assert named == EvaluationSettings.model_fields.keys() - {"map"}


def test_its_python_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    data: dict = {}
    exec(code, data)
    assert data["predicted"].shape == data["val_y"].shape == (100, 3)
    assert (data["predicted"] == data["val_y"]).mean() > 0.9
