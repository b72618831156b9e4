"""What the verbs print that train: one model, a comparison, a study, the demo."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from labelcontrast.config.sections import Loss
from labelcontrast.config.settings import RunSettings
from labelcontrast.experiment import run_experiment
from labelcontrast.reports.hierarchical.tables import compared_table, retrieval_table
from labelcontrast.reports.tables import Cell, Table, as_text, title_of
from labelcontrast.run.folder import REPORT
from labelcontrast.run.hierarchical.showing import retrieval_groups
from labelcontrast.run.reporting import compared_losses, over_hierarchy
from labelcontrast.studies.across import rank_comparisons
from labelcontrast.studies.comparison import Options, run_comparison
from labelcontrast.studies.declared.running import Options as StudyOptions
from labelcontrast.studies.declared.running import run_study
from labelcontrast.studies.declared.study import Study, catalogue
from labelcontrast.studies.demo import EPOCHS as DEMO_EPOCHS
from labelcontrast.studies.demo import run_demo
from labelcontrast.terminal.console import listeners, metrics_table, pick_device, say, show, show_hierarchy


def print_training(settings: RunSettings, out: Path, *, resume: bool, force: bool) -> None:
    """Train one model, with a line an epoch, and print its metrics."""
    result = run_experiment(
        settings, out, resume=resume, force=force, device=pick_device(), listeners=listeners(settings.training.epochs)
    )
    show(as_text(metrics_table(result["metrics"])))
    if found := result.get("hierarchy"):
        show_hierarchy({part: found[part] for part in result["metrics"]}, levels_of="test")
        if groups := retrieval_groups(found):
            show("\n" + as_text(retrieval_table(groups)))
    show(f"\nepoch {result['best_epoch']} kept; model in {out}, page in {out / REPORT}")


def print_comparison(settings: RunSettings, losses: list[Loss], out: Path, options: Options) -> None:
    """Compare losses and print the table."""
    options = replace(options, device=pick_device())
    table = run_comparison(settings, losses, out, options, listeners=listeners(settings.training.epochs))
    show("\n" + as_text(table))
    if measures := over_hierarchy(out):
        show("\nover the hierarchy\n" + as_text(compared_table(compared_losses(out), measures)))
    show(f"\npage in {out / REPORT}")


def print_demo(out: Path, *, force: bool) -> None:
    """Run the demo and print the table and what to do next."""
    table = run_demo(out, force=force, device=pick_device(), listeners=listeners(DEMO_EPOCHS))
    show("\n" + as_text(table))
    show(f"\nThe page with figures: {out / 'comparison' / REPORT}")
    show("The same on your own file: labelcontrast compare YOUR_FILE --losses bce,zlpr,reg --out results")


def print_study(study: Study, data: list[str], settings: dict[str, Any], out: Path, options: StudyOptions) -> None:
    """Run a study under what the user has set, and print its table."""
    table = run_study(study, data, settings, out, replace(options, device=pick_device()), say=say)
    show("\n" + as_text(table))
    show(f"\npage in {out / REPORT}")


def print_studies() -> None:
    """Print a paragraph a study."""
    for name, study in catalogue().items():
        lines = [study.question, f"losses  {', '.join(study.losses)}"]
        lines += [f"varies  {axis} = {', '.join(map(str, values))}" for axis, values in study.grid.items()]
        lines += [f"after   {study.source}"] if study.source else []
        show("\n    ".join([name, *lines]) + "\n")


def print_ranks(folders: Sequence[Path], out: Path) -> None:
    """Rank losses over comparisons and print their mean ranks."""
    rankings = rank_comparisons(folders, out)
    names = list(next(iter(rankings.values())).ranks)
    rows = [(Cell(name), *(Cell(f"{ranking.ranks[name]:.2f}") for ranking in rankings.values())) for name in names]
    distance = next(iter(rankings.values())).critical_difference
    show(as_text(Table(("mean rank", *map(title_of, rankings)), tuple(rows))))
    show(f"\ncritical difference {distance:.2f}; page in {out}")
