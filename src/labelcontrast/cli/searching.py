"""The verb that searches for good settings: it parses, checks, and calls."""

from typing import Annotated

import typer

from labelcontrast.cli.options import (
    Assignments,
    Config,
    Data,
    Encoder,
    Force,
    Jobs,
    Out,
    Ray,
    Resume,
    Shared,
    read_values,
)


def search(
    data: Data,
    *,
    out: Out,
    losses: Annotated[str | None, typer.Option(help="As in compare, each searched by itself; by default reg.")] = None,
    study: Annotated[
        str | None, typer.Option(help="Take losses, ranges and protocol of a study, by its name or TOML file.")
    ] = None,
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
    store: Shared = None,
    resume: Resume = False,
    force: Force = False,
) -> None:
    """Look for the settings with the best validation score on DATA, and write them as a file for train --config."""
    from labelcontrast.lab.search_space import plan_search
    from labelcontrast.lab.study import find_study
    from labelcontrast.settings import RunSettings, parse_losses

    values = read_values(config, assignments or [], {"data": data, "encoder.name": encoder})
    if study:
        declared = find_study(study)
        values, losses = declared.under_protocol(values), losses or ",".join(declared.losses)
        ranges = ranges or [f"{key}={ends}" for key, ends in declared.search.items()]
    settings = RunSettings.build(values)
    searched = plan_search(settings, parse_losses(losses or "reg"), ranges or [])
    from labelcontrast.cli.printing import pick_device, say, show
    from labelcontrast.lab.search import Options, run_search
    from labelcontrast.lab.search_report import BEST
    from labelcontrast.reports.tables import as_text
    from labelcontrast.run.folder import REPORT

    options = Options(trials=trials, jobs=jobs, ray=ray, store=store, resume=resume, force=force, device=pick_device())
    show("\n" + as_text(run_search(settings, searched, out, options, say=say)))
    show(f"\nbest settings in {out / BEST}, page in {out / REPORT}")
