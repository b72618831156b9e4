"""The command ``labelcontrast``: its verbs in the order of its help, its own options, and how it ends."""

import codecs
import inspect
import os
import platform
import signal
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from importlib.metadata import PackageNotFoundError, version
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer

from labelcontrast.cli import label_verbs, list_verbs, model_verbs, train_verbs, trial_verbs
from labelcontrast.cli.options import Quiet, Verbose
from labelcontrast.cli.output import VERBOSITY, show_progress
from labelcontrast.errors import LabelContrastError
from labelcontrast.progress import shown_by
from labelcontrast.reports.tables import printable

NAME = "labelcontrast"
BARS = "█▉▊▋▌▍▎▏"
RESUME = "--resume continues a run, comparison, study or search."
VERBS: tuple[Callable[..., None], ...] = (
    train_verbs.demo,
    train_verbs.describe,
    train_verbs.init,
    train_verbs.train,
    model_verbs.evaluate,
    model_verbs.predict,
    model_verbs.explain,
    model_verbs.neighbours,
    model_verbs.embed,
    model_verbs.export,
    model_verbs.serve,
    trial_verbs.compare,
    trial_verbs.study,
    trial_verbs.search,
    trial_verbs.rank,
    list_verbs.report,
    list_verbs.losses,
    list_verbs.studies,
    list_verbs.settings,
    list_verbs.cache,
)
LABEL_VERBS: tuple[Callable[..., None], ...] = (
    label_verbs.add,
    label_verbs.remove,
    label_verbs.rename,
    label_verbs.merge,
    label_verbs.thresholds,
    label_verbs.log,
    label_verbs.undo,
)

app = typer.Typer(
    pretty_exceptions_enable=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001  as typer calls it
    if wanted:
        typer.echo(f"{NAME} {version(NAME)} (Python {platform.python_version()}, torch {_version_of('torch')})")
        raise typer.Exit


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


@app.callback()
def _command(
    *,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Multi-label contrastive learning: from a file of examples to a trained, evaluated and explained model."""


def with_verbosity(verb: Callable[..., None]) -> Callable[..., None]:
    """Add ``-q`` and ``-v`` to a verb, and bars; under ``-v`` a refusal comes with the place it was raised at."""

    @wraps(verb)
    def run(*arguments: object, quiet: bool = False, verbose: bool = False, **options: object) -> None:
        before = VERBOSITY.set(verbose - quiet)
        try:
            with shown_by(show_progress):
                verb(*arguments, **options)
        except LabelContrastError:
            if verbose:
                traceback.print_exc()
            raise
        finally:
            VERBOSITY.reset(before)

    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in {"quiet": Quiet, "verbose": Verbose}.items()
    ]
    signature = inspect.signature(verb)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *added])  # type: ignore[attr-defined]
    return run


labels = typer.Typer(help="Change the labels of a trained model, without training.")
app.add_typer(labels, name="labels")
for _verb in VERBS:
    app.command()(with_verbosity(_verb))
for _verb in LABEL_VERBS:
    labels.command()(with_verbosity(_verb))


class Terminated(KeyboardInterrupt):
    """The process is asked to end (SIGTERM)."""


def main() -> None:
    """Run the command line; a refusal is one line on standard error and exit code 1."""
    _let_threads_sleep()
    command = typer.main.get_command(app)
    if f"_{NAME.upper()}_COMPLETE" in os.environ:  # a shell asks for completions
        command.main(prog_name=NAME)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a redirected stream of Windows lacks most letters
            stream.reconfigure(errors="escape")
    signal.signal(signal.SIGTERM, _terminate)
    try:
        with command.make_context(NAME, sys.argv[1:] or ["--help"]) as context:
            command.invoke(context)
        sys.stdout.flush()
        code = 0
    except typer.Exit as end:
        code = end.exit_code
    except LabelContrastError as error:
        code = _refuse(str(error))
    except typer.TyperException as error:
        code = _refuse(error.format_message().replace("Value error, ", ""))
    except KeyboardInterrupt as end:
        how, number = ("terminated", signal.SIGTERM) if isinstance(end, Terminated) else ("interrupted", signal.SIGINT)
        code = _refuse(f"{how}; {RESUME}", code=128 + number)
    except BrokenPipeError:  # the reader of the pipe has left
        _drop_output()
        code = 0
    except OSError as error:  # the machine refuses: permissions, a full disk, a file that is gone
        _drop_output()
        code = _refuse(f"{error.filename or 'the output'}: {error.strerror or error}.")
    sys.exit(code)


def _let_threads_sleep() -> None:
    """Let the threads of torch sleep while they wait; where other jobs run, threads that spin are four times slower.

    Those of a server spin for a moment: it has its processors to itself, as a rule, and requests would wait for them.
    """
    if sys.argv[1:2] != ["serve"]:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


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
    typer.echo(f"{NAME}: {printable(' '.join(message.split()))}", err=True)
    return code
