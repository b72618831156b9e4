"""The verb that searches for good settings: it parses, checks, and calls."""

from typing import Annotated

import typer

from labelcontrast.terminal.options import (
    Assignments,
    Config,
    Data,
    Encoder,
    Force,
    Jobs,
    Out,
    Ray,
    Resume,
    build_settings,
)


def search(
    data: Data,
    *,
    out: Out,
    losses: Annotated[str, typer.Option(help="As in compare; each is searched by itself.")] = "reg",
    trials: Annotated[int, typer.Option(min=1, help="Runs a loss.")] = 20,
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--range", metavar="KEY=LOW:HIGH[:log]", help="What varies; by default the rate and what the loss has."
        ),
    ] = None,
    encoder: Encoder = None,
    config: Config = None,
    assignments: Assignments = None,
    jobs: Jobs = 1,
    ray: Ray = None,
    resume: Resume = False,
    force: Force = False,
) -> None:
    """Look for the settings with the best validation score on DATA, and write them as a file for train --config."""
    from labelcontrast.studies.grid import parse_losses
    from labelcontrast.studies.search.space import plan_search

    settings = build_settings(config, {"data": data, "encoder.name": encoder}, assignments)
    searched = plan_search(settings, parse_losses(losses), ranges or [])
    from labelcontrast.reports.tables import as_text
    from labelcontrast.run.folder import REPORT
    from labelcontrast.studies.search.page import BEST
    from labelcontrast.studies.search.searching import Options, run_search
    from labelcontrast.terminal.console import pick_device, say, show

    options = Options(trials=trials, jobs=jobs, ray=ray, resume=resume, force=force, device=pick_device())
    show("\n" + as_text(run_search(settings, searched, out, options, say=say)))
    show(f"\nbest settings in {out / BEST}, page in {out / REPORT}")
