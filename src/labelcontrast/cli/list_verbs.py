"""The verbs that list or repeat what is there: ``losses``, ``settings``, ``studies``, ``report`` and ``cache``."""

from pathlib import Path
from typing import Annotated

import typer

from labelcontrast.cli import options
from labelcontrast.cli.output import show, show_json


def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A run, a comparison, a study or a search.")],
) -> None:
    """Write the HTML report of a folder again, from its results."""
    from labelcontrast.cli.trial_printing import print_report

    print_report(folder)


def studies(*, as_json: options.AsJson = False) -> None:
    """List the studies and the questions they answer."""
    from labelcontrast.lab.study import study_catalogue

    for name, study in study_catalogue().items():
        if as_json:
            show_json(study.model_dump(mode="json"))
            continue
        lines = [study.question, f"losses  {', '.join(study.losses)}"]
        lines += [f"varies  {axis} = {', '.join(map(str, values))}" for axis, values in study.grid.items()]
        lines += [f"source  {study.source}"] if study.source else []
        show("\n    ".join([name, *lines]) + "\n")


def losses(*, plugins: options.Plugins = None, as_json: options.AsJson = False) -> None:
    """List the losses with equations, parameters and sources."""
    from labelcontrast.losses.axes import contrastive
    from labelcontrast.losses.registry import loss_catalogue
    from labelcontrast.run.validation import load_plugins

    load_plugins(plugins or [])
    shared = {parameter.name for parameter in contrastive()}  # their meanings are not repeated for each loss
    for row in loss_catalogue():
        if as_json:
            show_json(
                {name: getattr(row, name) for name in ("name", "kind", "summary", "equation", "reference")}
                | {
                    "parameters": [
                        {"name": one.name, "default": row.parameters[one.name], "meaning": one.meaning}
                        for one in row.takes
                    ]
                }
            )
            continue
        values = [f"{name}={value}" for name, value in row.parameters.items()]
        meanings = [f"{one.name}: {one.meaning}" for one in row.takes if one.meaning and one.name not in shared]
        facts = {
            "equation": row.equation,
            "parameters": ("\n" + 16 * " ").join([", ".join(values), *meanings]),
            "source": row.reference,
        }
        lines = [f"{row.name}  (on {'logits' if row.kind == 'logit' else 'projections'})", row.summary]
        lines += [f"{name:<12}{text}" for name, text in facts.items() if text]  # a registered loss may lack some
        show("\n    ".join(lines) + "\n")


def settings(*, plugins: options.Plugins = None) -> None:
    """Print every setting with its default, as TOML.

    The output is a file for --config.
    """
    from labelcontrast.run.validation import load_plugins
    from labelcontrast.settings import settings_template

    load_plugins(plugins or [])
    show(settings_template({"plugins": plugins or []}))


def cache(
    *,
    unused: Annotated[
        float | None,
        typer.Option("--unused", metavar="DAYS", min=0, help="Remove files that were not used for so many days."),
    ] = None,
    max_size: Annotated[
        float | None,
        typer.Option(
            "--max-size", metavar="GB", min=0, help="Remove those used least recently, down to so many gigabytes."
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show the size of the cache, or remove files from it.

    It holds token ids of texts and the features of frozen encoders, which are computed again when they are needed. It
    is the folder that LABELCONTRAST_CACHE names. "--unused 0" removes everything.
    """
    from labelcontrast.encoders.cache import KINDS, cached_files, prune_cache
    from labelcontrast.files import cache_folder
    from labelcontrast.reports.tables import Cell, Table, as_text

    folder = cache_folder()
    removed = prune_cache(folder, days=unused, size=None if max_size is None else round(max_size * 1e9))
    files = cached_files(folder)
    rows = {
        kind: {
            "files": len(own := [file for file in files if file.kind == kind]),
            "bytes": sum(file.size for file in own),
            "unused_days": round(max((file.unused for file in own), default=0.0), 2),
        }
        for kind in KINDS
    }
    freed = sum(file.size for file in removed)
    if as_json:
        show_json({"folder": str(folder), **rows, "removed": {"files": len(removed), "bytes": freed}})
        return
    cells = [
        (Cell(kind), Cell(f"{row['files']:,}"), Cell(f"{row['bytes'] / 1e6:,.1f}"), Cell(f"{row['unused_days']:.1f}"))
        for kind, row in rows.items()
    ]
    show(f"{folder}\n" + as_text(Table(("", "files", "MB", "unused for days, at most"), tuple(cells))))
    if removed:
        show(f"\n{len(removed):,} files removed, {freed / 1e6:,.1f} MB")
