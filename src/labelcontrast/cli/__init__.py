"""The command: each verb parses, calls and prints; heavy libraries are imported when a verb needs them."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from labelcontrast.cli.options import (
    Assignments,
    BatchSize,
    Config,
    Data,
    Encoder,
    Epochs,
    Folds,
    Force,
    ImageColumn,
    Input,
    Jobs,
    LabelColumn,
    LearningRate,
    Loss,
    Out,
    OutFile,
    Precision,
    Ray,
    Resume,
    Run,
    Shared,
    TextColumn,
    build_settings,
    chosen_loss,
    common,
    read_values,
    runs_of_each,
)
from labelcontrast.cli.searching import search
from labelcontrast.errors import LabelContrastError

app = typer.Typer(
    help="Multi-label contrastive learning: from a file of examples to a trained, evaluated and explained model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def demo(*, out: Out = Path("demo"), force: Force = False) -> None:
    """Do the main job on a built-in set of pictures: three losses compared, in about two minutes, with no download."""
    from labelcontrast.cli.printing import print_demo

    print_demo(out, force=force)


@app.command()
def describe(
    data: Data,
    *,
    encoder: Encoder = None,
    text_column: TextColumn = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the label histogram into this PNG file too.")] = None,
    doctor: Annotated[bool, typer.Option("--doctor", help="Look for what is wrong too; takes longer.")] = False,
    cleanlab: Annotated[bool, typer.Option("--cleanlab", help="Let cleanlab suspect labels too (extra).")] = False,
    fix: Annotated[Path | None, typer.Option(help="Write the data put right into this folder.")] = None,
) -> None:
    """Say what is in DATA: label statistics, imbalance, co-occurrence, and problems found."""
    columns = {"columns.text": text_column, "columns.image": image_column, "columns.labels": label_column}
    settings = build_settings(None, {"data": data, "encoder.name": encoder, **columns})
    from labelcontrast.cli.printing import print_description, print_doctor

    if doctor or cleanlab or fix:
        print_doctor(settings, plot, cleanlab=cleanlab, fix=fix)
    else:
        print_description(settings, plot)


@app.command()
def train(
    data: Data,
    *,
    out: Out,
    loss: Loss = None,
    encoder: Encoder = None,
    config: Config = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    precision: Precision = None,
    seed: Annotated[int | None, typer.Option(help="Of the weights, the order and the dropout.")] = None,
    text_column: TextColumn = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    assignments: Assignments = None,
    resume: Resume = False,
    force: Force = False,
) -> None:
    """Train one model on DATA and evaluate it."""
    given = common(encoder, epochs, batch_size, learning_rate, precision)
    given |= {"data": data, "seed": seed, "loss": chosen_loss(loss)}
    given |= {"columns.text": text_column, "columns.image": image_column, "columns.labels": label_column}
    settings = build_settings(config, given, assignments)
    from labelcontrast.run.validation import validate_settings

    validate_settings(settings)
    from labelcontrast.cli.printing import print_training

    print_training(settings, out, resume=resume, force=force)


@app.command()
def compare(
    data: Data,
    *,
    out: Out,
    losses: Annotated[
        str, typer.Option(help="As in bce,zlpr,reg:alpha=1:temperature=0.2,zlpr+0.5*reg.")
    ] = "bce,zlpr,reg",
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Runs a loss, 3 by default; or of every fold, 1 by default.")
    ] = None,
    folds: Folds = None,
    baseline: Annotated[bool, typer.Option(help="Add a linear SVM on TF-IDF or on the vectors as they are.")] = True,
    encoder: Encoder = None,
    config: Config = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    precision: Precision = None,
    assignments: Assignments = None,
    keep_weights: Annotated[bool, typer.Option("--keep-weights", help="Keep the models, not only results.")] = False,
    jobs: Jobs = 1,
    ray: Ray = None,
    resume: Resume = False,
    force: Force = False,
) -> None:
    """Train several losses with several seeds on DATA under one protocol, and print one table."""
    from labelcontrast.run.validation import validate_settings
    from labelcontrast.settings import parse_losses

    given = {"data": data, "folds": folds, **common(encoder, epochs, batch_size, learning_rate, precision)}
    settings = build_settings(config, given, assignments)
    entries = parse_losses(losses)
    for entry in entries:
        validate_settings(settings.model_copy(update={"loss": entry}))
    from labelcontrast.cli.printing import print_comparison
    from labelcontrast.lab.comparison import Options

    options = Options(
        seeds=runs_of_each(seeds, folds) or 3,
        baseline=baseline,
        keep_weights=keep_weights,
        jobs=jobs,
        ray=ray,
        resume=resume,
        force=force,
    )
    print_comparison(settings, entries, out, options)


@app.command()
def study(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of 'labelcontrast studies', or a TOML file.")],
    data: Annotated[list[str], typer.Argument(metavar="DATA...", help="Files or folders of examples.")],
    *,
    out: Out,
    losses: Annotated[str | None, typer.Option(help="Other losses than the study's, as in compare.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Runs of each combination; by default the study's.")] = None,
    folds: Folds = None,
    jobs: Jobs = 1,
    ray: Ray = None,
    store: Shared = None,
    config: Config = None,
    assignments: Assignments = None,
    resume: Resume = False,
    force: Force = False,
) -> None:
    """Run a grid of trials on DATA under one protocol, and draw the table and the figures of a question."""
    from labelcontrast.lab.plan import plan_study
    from labelcontrast.lab.study import find_study

    each = runs_of_each(seeds, folds)
    chosen = find_study(name).narrowed(losses=losses, seeds=each, assignments=assignments or [])
    settings = read_values(config, [one for one in assignments or [] if not chosen.varies(one)], {"folds": folds})
    plan_study(chosen, data, settings)
    from labelcontrast.cli.printing import print_study
    from labelcontrast.lab.running import Options

    print_study(chosen, data, settings, out, Options(jobs=jobs, ray=ray, store=store, resume=resume, force=force))


app.command()(search)


@app.command()
def studies() -> None:
    """List the studies, with their questions."""
    from labelcontrast.cli.printing import print_studies

    print_studies()


@app.command()
def evaluate(
    run: Run,
    data: Data,
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Which part, where DATA has parts.")] = "test",
) -> None:
    """Measure a trained model on labelled examples."""
    from labelcontrast.cli.printing import print_evaluation

    print_evaluation(run, data, split)


@app.command()
def predict(
    run: Run,
    source: Input,
    *,
    out: OutFile = None,
    top: Annotated[int | None, typer.Option(min=1, help="Give the scores of so many labels, the best first.")] = None,
) -> None:
    """Write label sets with scores as JSON Lines."""
    from labelcontrast.cli.printing import write_predictions

    write_predictions(run, source, out, top=top)


@app.command()
def embed(run: Run, source: Input, out: Annotated[Path, typer.Option("--out", "-o", help="A Parquet file.")]) -> None:
    """Write the embedding of every example as Parquet."""
    from labelcontrast.cli.printing import write_embeddings

    write_embeddings(run, source, out)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run, a comparison, a study or a search.")],
) -> None:
    """Make the HTML page of a run, a comparison, a study or a search again from what its folder holds."""
    from labelcontrast.cli.printing import print_report

    print_report(folder)


@app.command()
def rank(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Comparisons or studies of the same losses.")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("ranks.html"),
) -> None:
    """Rank the losses over several data sets, and draw which of them differ by more than chance."""
    from labelcontrast.cli.printing import print_ranks

    print_ranks(folders, out)


@app.command()
def settings() -> None:
    """Print every setting with its default, as a TOML file for --config."""
    from labelcontrast.settings import settings_template

    typer.echo(settings_template())


@app.command()
def losses() -> None:
    """List the losses, with their equations, parameters and sources."""
    from labelcontrast.cli.printing import print_catalogue

    print_catalogue()


def main() -> None:
    """Run the command; an error of our family is one line on standard error and exit code 1."""
    refusal: Any = typer.BadParameter.__mro__[2]  # the base of what the parser refuses; Typer exports its children
    try:
        code = app(standalone_mode=False)
    except LabelContrastError as error:
        code = _complain(str(error))
    except (typer.Abort, KeyboardInterrupt):
        code = _complain("interrupted; --resume goes on from the last epoch.", code=130)
    except refusal as error:
        code = _complain(error.format_message())
    except BrokenPipeError:  # the reader of a pipe has seen enough
        code = 0
    sys.exit(code or 0)


def _complain(message: str, *, code: int = 1) -> int:
    """Print one line on standard error."""
    typer.echo(f"labelcontrast: {' '.join(message.split())}", err=True)
    return code
