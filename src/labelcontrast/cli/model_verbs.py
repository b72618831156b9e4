"""The verbs that use a trained model: ``evaluate``, ``predict``, ``explain``, ``export``, ``serve`` and others."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from labelcontrast.cli import options
from labelcontrast.cli.options import in_home
from labelcontrast.errors import ConfigError


def evaluate(
    run: options.Run,
    data: options.Data,
    *,
    split: Annotated[
        Literal["train", "val", "test"], typer.Option(help="Split to evaluate on, when DATA has splits.")
    ] = "test",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="With --shards: what is measured.", callback=in_home),
    ] = None,
    shards: options.Shards = False,
    jobs: options.ShardJobs = 1,
    ray: options.Ray = None,
    resume: options.Resume = False,
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Evaluate a trained model on labelled examples.

    Those of a folder of many files are evaluated as predict does it.
    """
    if shards or jobs > 1 or ray or resume or force:
        how = {"jobs": jobs, "ray": ray, "resume": resume, "force": force}
        _run_shards("evaluate", run, data, out, how, split=split, as_json=as_json)
        return
    if out is not None:
        message = "--out is a folder for --shards; the metrics of one file are printed."
        raise ConfigError(message)
    from labelcontrast.cli.printing import print_evaluation

    print_evaluation(run, data, split, as_json=as_json)


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
    shards: options.Shards = False,
    jobs: options.ShardJobs = 1,
    ray: options.Ray = None,
    resume: options.Resume = False,
    force: options.Force = False,
) -> None:
    """Predict label sets with scores, as JSON Lines.

    A folder of many files is predicted a file at a time, on several processes or machines, and continued after a kill.
    """
    if shards or jobs > 1 or ray or resume or force:
        how = {"jobs": jobs, "ray": ray, "resume": resume, "force": force}
        _run_shards("predict", run, source, out, how, top=top)
        return
    from labelcontrast.cli.printing import write_predictions

    write_predictions(run, source, out, top=top)


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


def embed(
    run: options.Run,
    source: options.Input,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Parquet file to write.", callback=in_home)],
    shards: options.Shards = False,
    jobs: options.ShardJobs = 1,
    ray: options.Ray = None,
    resume: options.Resume = False,
    force: options.Force = False,
) -> None:
    """Compute embeddings and write them as Parquet.

    Those of a folder of many files are computed as predict does it.
    """
    if shards or jobs > 1 or ray or resume or force:
        how = {"jobs": jobs, "ray": ray, "resume": resume, "force": force}
        _run_shards("embed", run, source, out, how)
        return
    if out.suffix != ".parquet":
        message = f"--out must be a name that ends in .parquet. Got {out}."
        raise ConfigError(message)
    from labelcontrast.cli.printing import write_embeddings

    write_embeddings(run, source, out)


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
    data: options.RunData = None,
    as_json: options.AsJson = False,
) -> None:
    """Write a trained model in a format of other libraries.

    ONNX, sentence-transformers, or a folder for the hub of Hugging Face.
    """
    from labelcontrast.cli.printing import print_export

    print_export(run, out, to=to, int8=int8, data=data, as_json=as_json)


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


def _run_shards(
    verb: Literal["evaluate", "predict", "embed"],
    run: Path,
    source: str,
    out: Path | None,
    how: dict[str, Any],
    *,
    as_json: bool = False,
    **rows: Any,  # noqa: ANN401
) -> None:
    """Run a verb on each file of a folder."""
    if out is None:
        message = "--shards needs --out FOLDER."
        raise ConfigError(message)
    from labelcontrast.cli.trial_printing import print_shards
    from labelcontrast.lab.pipeline import Options
    from labelcontrast.lab.shards import ShardRunner

    print_shards(ShardRunner(run, verb, **rows), source, out, Options(**how), as_json=as_json)
