"""The verbs that list or repeat what is there: ``losses``, ``settings``, ``studies`` and ``report``."""

from pathlib import Path
from typing import Annotated

import typer

from labelcontrast.cli import options


def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A run, a comparison, a study or a search.")],
) -> None:
    """Write the HTML report of a folder again, from its results."""
    from labelcontrast.cli.printing import print_report

    print_report(folder)


def studies() -> None:
    """List the studies and the questions they answer."""
    from labelcontrast.lab.study import study_catalogue

    for name, study in study_catalogue().items():
        lines = [study.question, f"losses  {', '.join(study.losses)}"]
        lines += [f"varies  {axis} = {', '.join(map(str, values))}" for axis, values in study.grid.items()]
        lines += [f"source  {study.source}"] if study.source else []
        typer.echo("\n    ".join([name, *lines]) + "\n")


def losses(*, plugins: options.Plugins = None) -> None:
    """List the losses with equations, parameters and sources."""
    from labelcontrast.losses.axes import contrastive
    from labelcontrast.losses.registry import loss_catalogue
    from labelcontrast.run.validation import load_plugins

    load_plugins(plugins or [])
    shared = {parameter.name for parameter in contrastive()}  # their meanings are not repeated for each loss
    for row in loss_catalogue():
        values = [f"{name}={value}" for name, value in row.parameters.items()]
        meanings = [f"{one.name}: {one.meaning}" for one in row.takes if one.meaning and one.name not in shared]
        facts = {
            "equation": row.equation,
            "parameters": ("\n" + 16 * " ").join([", ".join(values), *meanings]),
            "source": row.reference,
        }
        lines = [f"{row.name}  (on {'logits' if row.kind == 'logit' else 'projections'})", row.summary]
        lines += [f"{name:<12}{text}" for name, text in facts.items() if text]  # a registered loss may lack some
        typer.echo("\n    ".join(lines) + "\n")


def settings(*, plugins: options.Plugins = None) -> None:
    """Print every setting with its default, as TOML.

    The output is a file for --config.
    """
    from labelcontrast.run.validation import load_plugins
    from labelcontrast.settings import settings_template

    load_plugins(plugins or [])
    typer.echo(settings_template(plugins or []))
