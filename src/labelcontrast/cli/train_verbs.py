"""The verbs from data to a trained model: ``demo``, ``describe``, ``init`` and ``train``."""

from pathlib import Path
from typing import Annotated

import typer

from labelcontrast.cli import options
from labelcontrast.cli.options import build_settings, in_home
from labelcontrast.errors import ConfigError


def demo(*, out: options.Out = Path("demo"), force: options.Force = False) -> None:
    """Compare losses on built-in pictures, and make a model.

    It takes about two minutes and needs no download. It writes OUT/digits (the data), OUT/comparison (the results) and
    OUT/run (the model, with a page of pictures and their predicted labels).
    """
    from labelcontrast.cli.trial_printing import print_demo

    print_demo(out, force=force)


def describe(
    data: options.Data,
    *,
    encoder: options.Encoder = None,
    text_column: options.TextColumn = None,
    image_column: options.ImageColumn = None,
    label_column: options.LabelColumn = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PNG file for a histogram of the labels.", callback=in_home)
    ] = None,
    doctor: Annotated[bool, typer.Option("--doctor", help="Check for defects too; this takes longer.")] = False,
    cleanlab: Annotated[
        bool, typer.Option("--cleanlab", help="Check, and find suspicious labels with cleanlab (an extra).")
    ] = False,
    fix: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Check, and write a repaired copy of DATA to this folder.", callback=in_home
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Summarise DATA: label statistics, imbalance and problems."""
    settings = build_settings(
        None, data=data, encoder=encoder, text_column=text_column, image_column=image_column, label_column=label_column
    )
    from labelcontrast.cli.printing import print_description, print_doctor

    if doctor or cleanlab or fix:
        print_doctor(settings, plot, cleanlab=cleanlab, fix=fix, as_json=as_json)
    else:
        print_description(settings, plot, as_json=as_json)


def init(
    data: options.Data,
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="TOML file to write.", callback=in_home)
    ] = Path("labelcontrast.toml"),
    effort: options.Effort = None,
    loss: options.Loss = None,
    encoder: options.Encoder = None,
    text_column: options.TextColumn = None,
    image_column: options.ImageColumn = None,
    label_column: options.LabelColumn = None,
    assignments: options.Assignments = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Write a file of settings for DATA, with comments.

    What was found in the data is set: columns, encoder and epochs. Every other setting is there with its default and
    what it means, as a comment. Train with it: labelcontrast train --config labelcontrast.toml --out run.
    """
    from labelcontrast.run.validation import validate_settings

    settings = build_settings(
        None,
        assignments,
        data=data,
        effort=effort,
        loss=loss,
        encoder=encoder,
        text_column=text_column,
        image_column=image_column,
        label_column=label_column,
    )
    validate_settings(settings)
    if out.exists() and not force:
        message = f"{out} exists already; --force replaces it."
        raise ConfigError(message)
    from labelcontrast.cli.printing import write_fitted_settings

    write_fitted_settings(settings, out)


def train(
    data: options.DataOrConfig = None,
    *,
    out: options.Out,
    effort: options.Effort = None,
    loss: options.Loss = None,
    plugins: options.Plugins = None,
    encoder: options.Encoder = None,
    config: options.Config = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    precision: options.Precision = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of weights, order of examples and dropout.", show_default="0")
    ] = None,
    text_column: options.TextColumn = None,
    image_column: options.ImageColumn = None,
    label_column: options.LabelColumn = None,
    assignments: options.Assignments = None,
    resume: options.Resume = False,
    force: options.Force = False,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Train a model on DATA and evaluate it."""
    from labelcontrast.run.validation import validate_settings, with_recorded

    settings = build_settings(
        config,
        assignments,
        data=data,
        effort=effort,
        loss=loss,
        plugins=plugins,
        encoder=encoder,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        precision=precision,
        seed=seed,
        text_column=text_column,
        image_column=image_column,
        label_column=label_column,
    )
    if resume:
        settings = with_recorded(settings, out / "config.toml")
    validate_settings(settings)
    from labelcontrast.cli.printing import print_estimate, print_training

    if dry_run:
        print_estimate(settings, as_json=as_json)
        return
    print_training(settings, out, resume=resume, force=force, as_json=as_json)
