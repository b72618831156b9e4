"""The verbs of the command line. Each parses, validates, calls and prints; heavy libraries are imported inside."""

import codecs
import os
import signal
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from labelcontrast.cli import options
from labelcontrast.cli.options import build_settings, in_home, number_of_runs, read_values
from labelcontrast.errors import ConfigError, LabelContrastError
from labelcontrast.reports.tables import printable

app = typer.Typer(
    help="Multi-label contrastive learning: from a file of examples to a trained, evaluated and explained model.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


BARS = "█▉▊▋▌▍▎▏"
RESUME = "--resume continues a run, comparison, study or search."


class Terminated(KeyboardInterrupt):
    """The process is asked to end (SIGTERM)."""


def main() -> None:
    """Run the command line; a refusal is one line on standard error and exit code 1."""
    # Threads that spin while they wait take the processors from one another where other jobs run: four times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    command = typer.main.get_command(app)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a redirected stream of Windows lacks most letters
            stream.reconfigure(errors="escape")
    signal.signal(signal.SIGTERM, _terminate)
    try:
        with command.make_context("labelcontrast", sys.argv[1:] or ["--help"]) as context:
            command.invoke(context)
        sys.stdout.flush()
        code = 0
    except typer.Exit as end:
        code = end.exit_code
    except LabelContrastError as error:
        code = _refuse(str(error))
    except typer.TyperException as error:
        code = _refuse(error.format_message().replace("Value error, ", ""))
    except Terminated:
        code = _refuse(f"terminated; {RESUME}", code=128 + signal.SIGTERM)
    except KeyboardInterrupt:
        code = _refuse(f"interrupted; {RESUME}", code=128 + signal.SIGINT)
    except BrokenPipeError:  # the reader of the pipe has left
        _drop_output()
        code = 0
    except OSError as error:  # the machine refuses: permissions, a full disk, a file that is gone
        _drop_output()
        code = _refuse(f"{error.filename or 'the output'}: {error.strerror or error}.")
    sys.exit(code)


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    """Escape the letters that a stream lacks; bars are drawn with number signs."""
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    escaped = "".join("#" if one in BARS else one.encode("ascii", "backslashreplace").decode() for one in lacking)
    return escaped, error.end


codecs.register_error("escape", _escape)


def _terminate(*_: object) -> NoReturn:
    raise Terminated


def _drop_output() -> None:
    """Send what is left of standard output nowhere, so that the flush at exit does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refuse(message: str, *, code: int = 1) -> int:
    typer.echo(f"labelcontrast: {printable(' '.join(message.split()))}", err=True)
    return code


@app.command()
def demo(*, out: options.Out = Path("demo"), force: options.Force = False) -> None:
    """Compare losses on built-in pictures, and make a model.

    It takes about two minutes and needs no download. It writes OUT/digits (the data), OUT/comparison (the results) and
    OUT/run (the model, with a page of pictures and their predicted labels).
    """
    from labelcontrast.cli.printing import print_demo

    print_demo(out, force=force)


@app.command()
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
) -> None:
    """Summarise DATA: label statistics, imbalance and problems."""
    settings = build_settings(
        None, data=data, encoder=encoder, text_column=text_column, image_column=image_column, label_column=label_column
    )
    from labelcontrast.cli.printing import print_description, print_doctor

    if doctor or cleanlab or fix:
        print_doctor(settings, plot, cleanlab=cleanlab, fix=fix)
    else:
        print_description(settings, plot)


@app.command()
def train(
    data: options.Data,
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
    from labelcontrast.cli.printing import print_training

    print_training(settings, out, resume=resume, force=force)


@app.command()
def evaluate(
    run: options.Run,
    data: options.Data,
    split: Annotated[
        Literal["train", "val", "test"], typer.Option(help="Split to evaluate on, when DATA has splits.")
    ] = "test",
) -> None:
    """Evaluate a trained model on labelled examples."""
    from labelcontrast.cli.printing import print_evaluation

    print_evaluation(run, data, split)


@app.command()
def predict(
    run: options.Run,
    source: options.Input,
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="JSON Lines file to write.",
            show_default="standard output",
            callback=in_home,
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(min=1, help="Write the scores of this many best labels.", show_default="the predicted labels"),
    ] = None,
) -> None:
    """Predict label sets with scores, as JSON Lines."""
    from labelcontrast.cli.printing import write_predictions

    write_predictions(run, source, out, top=top)


@app.command()
def explain(
    run: options.Run,
    source: options.Input,
    *,
    text: options.IsText = False,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="NAME", help="A label; repeatable.", show_default="the predicted labels"),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Explain predictions by views, parts and near examples."""
    from labelcontrast.cli.printing import print_explanations

    print_explanations(run, source, text=text, labels=label or None, as_json=as_json)


@app.command()
def neighbours(
    run: options.Run,
    source: options.Input,
    *,
    text: options.IsText = False,
    k: Annotated[int, typer.Option("--k", min=1, help="Training examples for each input.")] = 10,
    as_json: options.AsJson = False,
) -> None:
    """Find the nearest training examples, with their labels."""
    from labelcontrast.cli.printing import print_neighbours

    print_neighbours(run, source, text=text, k=k, as_json=as_json)


@app.command()
def embed(
    run: options.Run,
    source: options.Input,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Parquet file to write.", callback=in_home)],
) -> None:
    """Compute embeddings and write them as Parquet."""
    if out.suffix != ".parquet":
        message = f"--out must be a name that ends in .parquet. Got {out}."
        raise ConfigError(message)
    from labelcontrast.cli.printing import write_embeddings

    write_embeddings(run, source, out)


@app.command()
def export(
    run: options.Run,
    *,
    to: Annotated[
        Literal["onnx", "sentence-transformers", "folder"],
        typer.Option(
            "--format",
            help="onnx: graph and a script without torch. sentence-transformers: the encoder. folder: for the hub.",
        ),
    ],
    out: options.Out,
    int8: Annotated[bool, typer.Option("--int8", help="Write an ONNX graph with weights of 8 bits too.")] = False,
    data: Annotated[
        str | None,
        typer.Option(help="The data of the run, to check the graph on.", show_default="where they were in training"),
    ] = None,
) -> None:
    """Write a trained model in a format of other libraries.

    ONNX, sentence-transformers, or a folder for the hub of Hugging Face.
    """
    from labelcontrast.cli.printing import print_export

    print_export(run, out, to=to, int8=int8, data=data)


@app.command()
def serve(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of finished runs.")],
    *,
    host: Annotated[
        str, typer.Option(help="Address to bind; a wider one needs a token in LABELCONTRAST_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    max_body: Annotated[int, typer.Option(min=1, help="Megabytes of a request.")] = 32,
    max_batch: Annotated[int, typer.Option(min=1, help="Examples of a request.")] = 256,
    max_text: Annotated[int, typer.Option(min=1, help="Characters of a text.")] = 100_000,
    max_pixels: Annotated[int, typer.Option(min=1, help="Millions of pixels of a picture.")] = 25,
    max_requests: Annotated[int, typer.Option(min=1, help="Requests that are open at the same time.")] = 256,
    wait: Annotated[
        float, typer.Option(min=0, max=1000, help="Milliseconds for which a batch of requests is gathered.")
    ] = 3.0,
    examples: Annotated[bool, typer.Option(help="Show examples of the data, where they still are.")] = True,
    log_content: Annotated[bool, typer.Option("--log-content", help="Log the beginning of each text, too.")] = False,
) -> None:
    """Serve trained models: an HTTP API and a web page.

    SIGTERM ends it after the open requests; SIGHUP loads the runs anew.
    """
    from labelcontrast.serving.server import check_address

    check_address(host, os.environ.get("LABELCONTRAST_TOKEN"))
    from labelcontrast.cli.printing import print_serving
    from labelcontrast.serving.gate import Limits

    limits = Limits(
        body=max_body * 2**20, batch=max_batch, text=max_text, pixels=max_pixels * 10**6, concurrency=max_requests
    )
    print_serving(
        runs, host=host, port=port, limits=limits, wait=wait / 1000, log_content=log_content, with_data=examples
    )


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A run, a comparison, a study or a search.")],
) -> None:
    """Write the HTML report of a folder again, from its results."""
    from labelcontrast.cli.printing import print_report

    print_report(folder)


@app.command()
def compare(
    data: options.Data,
    *,
    out: options.Out,
    losses: Annotated[
        str, typer.Option(help="Losses, separated by commas, as in bce,reg:alpha=1:temperature=0.2,zlpr+0.5*reg.")
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
    from labelcontrast.cli.printing import print_comparison
    from labelcontrast.lab.pipeline import Options

    print_comparison(
        settings,
        entries,
        out,
        Options(jobs=jobs, ray=ray, resume=resume, force=force),
        seeds=number_of_runs(seeds, folds) or 3,
        baseline=baseline,
        keep_weights=keep_weights,
    )


@app.command()
def study(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of 'labelcontrast studies', or a TOML file.")],
    data: Annotated[list[str], typer.Argument(metavar="DATA", help="Files or folders of examples.")],
    *,
    out: options.Out,
    losses: Annotated[
        str | None, typer.Option(help="Losses, written as in compare.", show_default="those of the study")
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
    if resume and (found := plugins_to_resume_with(settings.get("plugins", ()), out / "study.json")):
        settings["plugins"] = list(found)
    plan_study(chosen, data, settings)
    from labelcontrast.cli.printing import print_study
    from labelcontrast.lab.pipeline import Options

    print_study(chosen, data, settings, out, Options(jobs=jobs, ray=ray, resume=resume, force=force), store=store)


@app.command()
def studies() -> None:
    """List the studies and the questions they answer."""
    from labelcontrast.lab.study import study_catalogue

    for name, study in study_catalogue().items():
        lines = [study.question, f"losses  {', '.join(study.losses)}"]
        lines += [f"varies  {axis} = {', '.join(map(str, values))}" for axis, values in study.grid.items()]
        lines += [f"source  {study.source}"] if study.source else []
        typer.echo("\n    ".join([name, *lines]) + "\n")


@app.command()
def search(
    data: options.Data,
    *,
    out: options.Out,
    losses: Annotated[
        str | None,
        typer.Option(help="Losses, written as in compare; each is searched separately.", show_default="reg"),
    ] = None,
    plugins: options.Plugins = None,
    study: Annotated[
        str | None, typer.Option(help="Use the losses, ranges and settings of this study: a name or a TOML file.")
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
    from labelcontrast.cli.printing import print_search
    from labelcontrast.lab.pipeline import Options

    how = Options(jobs=jobs, ray=ray, resume=resume, force=force)
    print_search(settings, searched, out, how, trials=trials, store=store)


@app.command()
def rank(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER", help="Comparisons or studies of the same losses.")],
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="HTML file to write.", callback=in_home)
    ] = Path("ranks.html"),
) -> None:
    """Rank losses over several data sets, with significance."""
    from labelcontrast.cli.printing import print_ranks

    print_ranks(folders, out)


@app.command()
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


@app.command()
def settings(*, plugins: options.Plugins = None) -> None:
    """Print every setting with its default, as TOML.

    The output is a file for --config.
    """
    from labelcontrast.run.validation import load_plugins
    from labelcontrast.settings import settings_template

    load_plugins(plugins or [])
    typer.echo(settings_template(plugins or []))
