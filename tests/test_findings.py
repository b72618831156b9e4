"""docs/findings.md says what the committed results say: its numbers, its claims, its tables and its links."""

import csv
import importlib.util
import json
import re
import shlex
from pathlib import Path
from statistics import fmean, stdev
from types import ModuleType

import pytest

from labelcontrast.cli import trial_printing
from labelcontrast.cli.verbs import app
from labelcontrast.lab.study import GridTrial

ROOT = Path(__file__).parents[1]
DOCS, STUDIES = ROOT / "docs", ROOT / "results" / "studies"
PAGE = DOCS / "findings.md"


@pytest.fixture
def maker() -> ModuleType:
    """Return the script that makes the page."""
    spec = importlib.util.spec_from_file_location("make_findings", DOCS / "make_findings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells(study: str) -> list[dict[str, str]]:
    """The rows of a committed table, without the bold of the best."""
    head, _, *rows = (STUDIES / study / "table.md").read_text().strip().replace("**", "").splitlines()
    return [
        dict(zip(*([cell.strip() for cell in line.split("|")] for line in (head, row)), strict=True)) for row in rows
    ]


def test_the_page_is_made_from_the_results(maker: ModuleType) -> None:
    assert PAGE.read_text() == maker.page(), "run python docs/make_findings.py"
    assert maker.COMMANDS.read_text() == maker.reproduce(), "run python docs/make_findings.py"


def test_every_result_of_a_benchmark_has_its_command(maker: ModuleType) -> None:
    """A result file is named as the benchmark that made it, or by it in its first lines."""
    commands = maker.COMMANDS.read_text()
    results = {*(ROOT / "benchmarks" / "results").glob("*.json")}
    results.remove(ROOT / "benchmarks" / "results" / "house.json")  # of other benchmarks, before and after a change
    for path in results:
        maker_of = [one for one in (ROOT / "benchmarks").glob("*.py") if path.stem.startswith(one.stem)]
        assert any(f"[{one.name}]" in commands for one in maker_of), path


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*/study.json")), ids=lambda path: path.parent.name)
def test_the_command_of_a_study_still_plans_its_trials(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[GridTrial] = []
    monkeypatch.setattr(trial_printing, "print_planned_study", lambda trials, *_, **__: planned.extend(trials))
    monkeypatch.chdir(ROOT)
    written = json.loads(path.read_text())
    words = shlex.split(written["origin"]["command"])[1:]
    app([*words, "--dry-run"], standalone_mode=False)
    assert len(planned) == len(written["trials"])


def test_no_measured_number_is_written_by_hand(maker: ModuleType) -> None:
    """Beside the expressions there are names, and in backticks settings."""
    by_hand = re.sub(r"<%.*?%>|\{\{.*?\}\}|`[^`]*`|\]\([^)]*\)", "", maker.TEXT.read_text(), flags=re.DOTALL)
    assert re.findall(r"(?<![\w-])[-+]?\d+(?:\.\d+)?(?![\w-]).*", by_hand) == []


@pytest.mark.parametrize("study", sorted(path.name for path in STUDIES.glob("losses-*")))
def test_means_and_deviations_are_those_of_the_tables(maker: ModuleType, study: str) -> None:
    for row in cells(study):
        for metric, title in {
            "micro_f1": "micro-F1 (%)",
            "macro_f1": "macro-F1 (%)",
            "hamming_loss": "Hamming loss (%)",
        }.items():
            mean, deviation = (one(study, row["loss"], metric) for one in (maker.mean, maker.deviation))
            assert f"{mean:.2f} ± {deviation:.2f}" == row[title]
            assert str(mean) == f"{float(mean):.1f}"


def test_an_axis_is_named_by_the_end_of_its_setting(maker: ModuleType) -> None:
    for row in cells("temperature-prr-corel5k"):
        share = maker.mean(
            "temperature-prr-corel5k", "reg", "positives_pushed_away", temperature=float(row["temperature"])
        )
        assert row["positives pushed more than pulled (%)"].startswith(f"{share:.2f} ±")
    with pytest.raises(LookupError, match="has no run of reg"):
        maker.mean("temperature-prr-corel5k", "reg", temperature=3)


def test_pairs_of_runs_have_the_same_seed(maker: ModuleType) -> None:
    rows = csv.DictReader((STUDIES / "regulariser-aapd2k" / "results.csv").read_text().splitlines())
    chosen = [one for one in rows if (one["loss"], one["loss.temperature"]) == ("wo_reg", "0.05")]
    found = {(one["loss.stop_repulsion"], one["seed"]): 100 * float(one["micro_f1"]) for one in chosen}
    expected = [found["1.0", seed] - found["0.0", seed] for seed in "012"]
    studies, ends = ["regulariser-aapd2k"], (1.0, 0.0)
    got = maker.seed_by_seed(studies, "wo_reg", "micro_f1", "stop_repulsion", ends, temperature=0.05)
    assert got == pytest.approx(expected)
    half = 4.302653 * stdev(expected) / 3**0.5  # the quantile of Student's t with two degrees of freedom
    cell = f"{fmean(expected):+.1f} ({fmean(expected) - half:+.1f} to {fmean(expected) + half:+.1f})"
    assert f"| 0.05 | {cell} |" in maker.strength_table(studies, "wo_reg", ["micro_f1"], ends)


def test_what_is_as_good_as_the_best_is_bold(maker: ModuleType) -> None:
    for row in (STUDIES / "losses-corel5k" / "table.md").read_text().splitlines()[2:]:
        _, loss, _, macro, *_ = (cell.strip() for cell in row.split("|"))
        assert maker.as_good("losses-corel5k", loss) == macro.startswith("**")


def test_mean_ranks_are_those_of_the_page_of_ranks(maker: ModuleType) -> None:
    drawn = re.findall(
        r"Mean rank, 1 is best: ([^\"<]*?)\. Critical difference ([\d.]+)\.", (STUDIES / "ranks.html").read_text()
    )
    made = [maker.ranking(metric) for metric in maker.METRICS if metric in {"micro_f1", "macro_f1", "map_macro"}]
    shown = [
        (", ".join(f"{loss} {rank:.2f}" for loss, rank in one.ranks.items()), f"{one.critical_difference:.2f}")
        for one in made
    ]
    assert set(shown) <= set(drawn)
    assert all(
        line in PAGE.read_text() for line in maker.ranks_table(["micro_f1", "macro_f1", "map_macro"]).splitlines()
    )


def test_a_claim_that_no_longer_holds_stops_the_page(maker: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """``bce`` with the best macro-F1 of Corel5k."""
    committed = maker.trials

    def trials(study: str) -> list[dict[str, str]]:
        better = {"macro_f1": "0.9"} if study == "losses-corel5k" else {}
        return [one | better if one["loss"] == "bce" else one for one in committed(study)]

    monkeypatch.setattr(maker, "trials", trials)
    with pytest.raises(AssertionError):
        maker.page()


@pytest.mark.parametrize(
    "page", [PAGE, *sorted((ROOT / "results").rglob("*.md"))], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_link_has_a_target(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        path, _, place = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE) if place else []
        assert place in {"", *(re.sub(r"[^\w -]", "", one).strip().lower().replace(" ", "-") for one in headings)}, link
