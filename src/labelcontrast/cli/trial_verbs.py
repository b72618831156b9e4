"""The verbs that run many trials and report them: ``compare``, ``study``, ``search`` and ``rank``."""

from pathlib import Path
from typing import Annotated

import typer

from labelcontrast.cli import options
from labelcontrast.cli.options import (
    build_settings,
    complete_losses,
    complete_studies,
    in_home,
    number_of_runs,
    read_values,
)
from labelcontrast.cli.output import say


def compare(
    data: options.DataOrConfig = None,
    *,
    out: options.Out,
    losses: Annotated[
        str,
        typer.Option(
            help="Losses, separated by commas, as in bce,reg:alpha=1:temperature=0.2,zlpr+0.5*reg.",
            autocompletion=complete_losses,
        ),
    ] = "bce,zlpr,reg",
    plugins: options.Plugins = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Runs of each loss, or of each fold.", show_default="3, with folds 1")
    ] = None,
    folds: options.Folds = None,
    baseline: Annotated[
        bool,
        typer.Option(help="Add a linear SVM on TF-IDF or vectors, and logistic regression on a frozen encoder."),
    ] = True,
    encoder: options.Encoder = None,
    config: options.Config = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    precision: options.Precision = None,
    assignments: options.Assignments = None,
    keep_weights: Annotated[
        bool, typer.Option("--keep-weights", help="Save the models, not only the results.")
    ] = False,
    jobs: options.Jobs = 1,
    ray: options.Ray = None,
    resume: options.Resume = False,
    force: options.Force = False,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Train several losses on DATA and print one table.

    All losses have the same splits, seeds and settings.
    """
    from labelcontrast.run.validation import validate_settings, with_recorded
    from labelcontrast.settings import parse_losses

    settings = build_settings(
        config,
        assignments,
        data=data,
        plugins=plugins,
        folds=folds,
        encoder=encoder,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        precision=precision,
    )
    if resume:
        settings = with_recorded(settings, out / "compare.toml")
    entries = parse_losses(losses)
    for entry in entries:
        validate_settings(settings.model_copy(update={"loss": entry}))
    from labelcontrast.cli.trial_printing import print_comparison, print_planned_comparison
    from labelcontrast.lab.pipeline import Options

    runs = number_of_runs(seeds, folds) or 3
    if dry_run:
        print_planned_comparison(settings, entries, out, seeds=runs, jobs=jobs, as_json=as_json)
        return
    print_comparison(
        settings,
        entries,
        out,
        Options(jobs=jobs, ray=ray, resume=resume, force=force),
        seeds=runs,
        baseline=baseline,
        keep_weights=keep_weights,
        as_json=as_json,
    )


def study(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A name of 'labelcontrast studies', or a TOML file.", autocompletion=complete_studies
        ),
    ],
    data: Annotated[list[str], typer.Argument(metavar="DATA", help="Files or folders of examples.")],
    *,
    out: options.Out,
    losses: Annotated[
        str | None,
        typer.Option(
            help="Losses, written as in compare.", show_default="those of the study", autocompletion=complete_losses
        ),
    ] = None,
    plugins: options.Plugins = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Runs of each combination, or of each fold.", show_default="as in the study"),
    ] = None,
    folds: options.Folds = None,
    jobs: options.Jobs = 1,
    ray: options.Ray = None,
    store: options.Store = None,
    config: options.Config = None,
    assignments: options.Assignments = None,
    resume: options.Resume = False,
    force: options.Force = False,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Run a grid of trials on DATA that answers one question.

    It writes a table, figures and a report.
    """
    from labelcontrast.lab.study import find_study, plan_study
    from labelcontrast.run.validation import plugins_to_resume_with

    chosen = find_study(name).with_changes(
        losses=losses, seeds=number_of_runs(seeds, folds), assignments=assignments or []
    )
    shared = [one for one in assignments or [] if not chosen.varies(one)]
    settings = read_values(config, shared, folds=folds, plugins=plugins)
    if "loss" in settings and not any(one.startswith("loss.") for one in shared):
        say(f"the loss in {config} is left out: the study {chosen.name} has its own losses")
        del settings["loss"]
    if resume and (found := plugins_to_resume_with(settings.get("plugins", ()), out / "study.json")):
        settings["plugins"] = list(found)
    planned = plan_study(chosen, data, settings)
    from labelcontrast.cli.trial_printing import print_planned_study, print_study
    from labelcontrast.lab.pipeline import Options

    if dry_run:
        print_planned_study(planned, out, store=store, jobs=jobs, as_json=as_json)
        return
    how = Options(jobs=jobs, ray=ray, resume=resume, force=force)
    print_study(chosen, data, settings, out, how, store=store, as_json=as_json)


def search(
    data: options.DataOrConfig = None,
    *,
    out: options.Out,
    losses: Annotated[
        str | None,
        typer.Option(
            help="Losses, written as in compare; each is searched separately.",
            show_default="reg",
            autocompletion=complete_losses,
        ),
    ] = None,
    plugins: options.Plugins = None,
    study: Annotated[
        str | None,
        typer.Option(
            help="Use the losses, ranges and settings of this study: a name or a TOML file.",
            autocompletion=complete_studies,
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Runs of each loss.")] = 20,
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--range",
            metavar="KEY=LOW:HIGH[:log]",
            help="A setting to vary; repeatable.",
            show_default="learning rate, temperature, alpha and joint weight",
        ),
    ] = None,
    encoder: options.Encoder = None,
    config: options.Config = None,
    assignments: options.Assignments = None,
    jobs: options.Jobs = 1,
    ray: options.Ray = None,
    store: options.Store = None,
    resume: options.Resume = False,
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Search for the settings with the best validation mAP.

    The best settings are written to OUT/best.toml, a file for train --config.
    """
    from labelcontrast.lab.search_space import plan_search
    from labelcontrast.lab.study import find_study
    from labelcontrast.run.validation import with_recorded
    from labelcontrast.settings import EMBEDDED, RunSettings, parse_losses

    values = read_values(config, assignments, data=data, encoder=encoder, plugins=plugins)
    if study:
        declared = find_study(study)
        values, losses = declared.with_protocol(values), losses or ",".join(declared.losses)
        ranges = ranges or [f"{key}={ends}" for key, ends in declared.search.items()]
    settings = RunSettings.build(values).with_defaults({"encoder.name": EMBEDDED})
    if resume:
        settings = with_recorded(settings, out / "search.json")
    searched = plan_search(settings, parse_losses(losses or "reg"), ranges or [])
    from labelcontrast.cli.trial_printing import print_search
    from labelcontrast.lab.pipeline import Options

    how = Options(jobs=jobs, ray=ray, resume=resume, force=force)
    print_search(settings, searched, out, how, trials=trials, store=store, as_json=as_json)


def rank(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER", help="Comparisons or studies of the same losses.")],
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="HTML file to write.", callback=in_home)
    ] = Path("ranks.html"),
    as_json: options.AsJson = False,
) -> None:
    """Rank losses over several data sets, with significance."""
    from labelcontrast.cli.trial_printing import print_ranks

    print_ranks(folders, out, as_json=as_json)
