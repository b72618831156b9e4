"""What the verbs take, and how settings are built of it; without torch."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labelcontrast.errors import MissingExtraError

if TYPE_CHECKING:
    from labelcontrast.settings import RunSettings

Data = Annotated[str, typer.Argument(metavar="DATA", help="A file or folder of examples, in any known format.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")]
Input = Annotated[str, typer.Argument(metavar="INPUT", help="A file, a folder of pictures, or - for standard input.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="The folder where the result goes.")]
OutFile = Annotated[Path | None, typer.Option("--out", "-o", help="The file to write; by default standard output.")]
Config = Annotated[Path | None, typer.Option(help="A TOML file of settings; what is given here goes before it.")]
Loss = Annotated[
    str | None, typer.Option(help="A name of 'labelcontrast losses'; with parameters, reg:alpha=1; two, zlpr+0.5*reg.")
]
Encoder = Annotated[
    str | None, typer.Option(help="auto, hashed, convnet, mlp; a hub id; a folder; pkg:package/folder; timm:name.")
]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training examples, at most.")]
BatchSize = Annotated[int | None, typer.Option(help="Examples a step.")]
LearningRate = Annotated[float | None, typer.Option(help="Peak rate of the optimiser.")]
Precision = Annotated[str | None, typer.Option(help="auto, 32, bf16 or 16.")]
TextColumn = Annotated[str | None, typer.Option(help="The column of the texts, where it is not found by looking.")]
ImageColumn = Annotated[str | None, typer.Option(help="The column of the pictures' paths.")]
LabelColumn = Annotated[str | None, typer.Option(help="The column of the labels.")]
Assignments = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other setting.")]
Folds = Annotated[
    int | None, typer.Option(min=2, help="Cross-validate: all parts together, divided anew; every fold is tested on.")
]
Jobs = Annotated[int, typer.Option(min=1, help="Trials at a time, each in a process of its own.")]


def _check_ray(address: str | None) -> str | None:
    """Refuse a cluster where Ray is not installed, before anything is loaded."""
    if address is not None and find_spec("ray") is None:
        purpose = "--ray"
        raise MissingExtraError(purpose, "ray")
    return address


Ray = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Run on a Ray cluster: auto, ray://HOST:PORT or local.", callback=_check_ray),
]
Shared = Annotated[
    Path | None, typer.Option("--store", help="Share trials with other studies and searches in this folder.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what is there.")]
Force = Annotated[bool, typer.Option("--force", help="Remove what a run has left there.")]


def common(
    encoder: str | None, epochs: int | None, batch_size: int | None, learning_rate: float | None, precision: str | None
) -> dict[str, Any]:
    """Name the settings that training one model and training many have in common."""
    return {
        "encoder.name": encoder,
        "training.epochs": epochs,
        "training.batch_size": batch_size,
        "training.learning_rate": learning_rate,
        "training.precision": precision,
    }


def chosen_loss(entry: str | None) -> dict[str, Any] | None:
    """Read the loss that was given, in place of all that a file says of it."""
    from labelcontrast.settings import parse_loss

    return parse_loss(entry).model_dump(exclude_none=True) if entry else None


def runs_of_each(seeds: int | None, folds: int | None) -> int | None:
    """Count the runs of a loss that are asked for: its seeds; or with folds so many of every fold, by default one."""
    return folds * (seeds or 1) if folds else seeds


def build_settings(config: Path | None, given: dict[str, Any], assignments: list[str] | None = None) -> "RunSettings":
    """Build the settings: a file, then the options given, then the single assignments."""
    from labelcontrast.settings import RunSettings

    return RunSettings.build(read_values(config, assignments or [], given))


def read_values(config: Path | None, assignments: list[str], given: dict[str, Any] | None = None) -> dict[str, Any]:
    """Read what of the settings was set, nested and unchecked: in a file, by options, by single assignments."""
    from labelcontrast.settings import override, put, read_settings

    values = read_settings(config) if config else {}
    for key, value in (given or {}).items():
        values = values if value is None else put(values, key, value)
    return override(values, assignments)
