"""Options that several verbs share, and the settings made from them; loads without torch."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labelcontrast.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from labelcontrast.settings import RunSettings


def in_home(path: Path | None) -> Path | None:
    """Expand ``~``, which a shell leaves in ``--out=~/run``."""
    try:
        return path and path.expanduser()
    except RuntimeError:  # there is no such home
        return path


def complete_losses(incomplete: str) -> list[str]:
    """Complete the last name in a list of losses or a joint loss."""
    from labelcontrast.losses.registry import loss_catalogue

    before = re.sub(r"[^,+*]*$", "", incomplete)
    return [before + row.name for row in loss_catalogue()]


def complete_assignments() -> list[str]:
    """Complete the key of ``--set``."""
    from labelcontrast.settings import setting_names

    return [f"{name}=" for name in setting_names()]


def complete_encoders() -> list[str]:
    """Complete the encoders that need no name of a model."""
    from labelcontrast.settings import AUTO, EMBEDDED_ENCODERS

    return [AUTO, *EMBEDDED_ENCODERS]


def complete_studies() -> list[str]:
    """Complete the name of a study of the catalogue."""
    from labelcontrast.lab.study import study_catalogue

    return [*study_catalogue()]


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors, and no progress.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print the time of each step, and where errors are.")]
Data = Annotated[str, typer.Argument(metavar="DATA", help="A file or folder of examples in any known format.")]
DataOrConfig = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA", help="A file or folder of examples in any known format.", show_default="as in --config"
    ),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")]
Input = Annotated[
    str, typer.Argument(metavar="INPUT", help="A file, a picture, a folder of pictures, or - for standard input.")
]
IsText = Annotated[bool, typer.Option("--text", help="INPUT is itself the text.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
RunData = Annotated[
    str | None,
    typer.Option("--data", help="The data of the run.", show_default="where they were in training"),
]
Version = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FOLDER",
        help="Folder of the new version.",
        show_default="RUN-2, RUN-3, ..., beside the run",
        callback=in_home,
    ),
]
LabelNames = Annotated[list[str], typer.Argument(metavar="NAME", help="Labels.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder for the results.", callback=in_home)]
Config = Annotated[Path | None, typer.Option(metavar="FILE", help="TOML file of settings; other options override it.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any other setting, as in training.clip=0.5; overrides all; repeatable.",
        autocompletion=complete_assignments,
    ),
]
Loss = Annotated[
    str | None,
    typer.Option(
        help="A loss, with parameters after colons (reg:alpha=1), or a joint loss (zlpr+0.5*reg).",
        show_default="zlpr+0.5*reg",
        autocompletion=complete_losses,
    ),
]
Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="FILE", help="Python file that registers losses of your own; repeatable."),
]
Encoder = Annotated[
    str | None,
    typer.Option(
        help="auto, embedded, lsa, hashed, convnet, mlp, a hub id, a folder, pkg:PACKAGE/FOLDER, timm:NAME.",
        show_default="auto",
        autocompletion=complete_encoders,
    ),
]
Effort = Annotated[
    str | None,
    typer.Option(
        help="quick: embedded encoder, fewer epochs; best: fine-tune a pretrained one that is installed.",
        show_default="standard",
        autocompletion=lambda: ["quick", "standard", "best"],
    ),
]
Epochs = Annotated[int | None, typer.Option(help="Largest number of passes over the training set.", show_default="10")]
BatchSize = Annotated[int | None, typer.Option(help="Examples per step.", show_default="64")]
LearningRate = Annotated[
    float | None,
    typer.Option(help="Peak learning rate.", show_default="5e-5 for a fine-tuned pretrained encoder, else 1e-3"),
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="Arithmetic of the encoder: auto, 32, bf16 or 16.",
        show_default="auto",
        autocompletion=lambda: ["auto", "32", "bf16", "16"],
    ),
]
TextColumn = Annotated[str | None, typer.Option(help="Column of the texts.", show_default="detected")]
ImageColumn = Annotated[str | None, typer.Option(help="Column of the paths of pictures.", show_default="detected")]
LabelColumn = Annotated[str | None, typer.Option(help="Column of the labels.", show_default="detected")]
Folds = Annotated[
    int | None,
    typer.Option(min=2, help="Cross-validate: merge all splits, divide them into folds, and test on each fold."),
]
Jobs = Annotated[int, typer.Option(min=1, help="Number of trials that run at the same time, each in its own process.")]


def _check_ray(address: str | None) -> str | None:
    """Refuse ``--ray`` before anything is loaded when Ray is not installed."""
    if address is not None and find_spec("ray") is None:
        purpose = "--ray"
        raise MissingExtraError(purpose, "ray")
    return address


Ray = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Run on a Ray cluster: auto, ray://HOST:PORT or local.", callback=_check_ray),
]
ShardJobs = Annotated[int, typer.Option("--jobs", min=1, help="Files at the same time, each in its own process.")]
Shards = Annotated[
    bool,
    typer.Option(
        "--shards",
        help="INPUT is a folder of files, OUT a folder with an output for each. The options below imply it.",
    ),
]
Store = Annotated[
    Path | None,
    typer.Option(
        "--store", metavar="FOLDER", help="Folder of trials to share with studies and searches.", callback=in_home
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the work in the folder.")]
Force = Annotated[bool, typer.Option("--force", help="Remove earlier results from the folder first.")]

DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Train a few batches, print what would run, how long and in how much memory; write nothing."
    ),
]

KEYS = {
    "data": "data",
    "seed": "seed",
    "folds": "folds",
    "plugins": "plugins",
    "effort": "effort",
    "encoder": "encoder.name",
    "epochs": "training.epochs",
    "batch_size": "training.batch_size",
    "learning_rate": "training.learning_rate",
    "precision": "training.precision",
    "text_column": "columns.text",
    "image_column": "columns.image",
    "label_column": "columns.labels",
}
"""The setting that each option sets; ``--loss`` sets the whole section of the loss."""


def read_values(config: Path | None, assignments: list[str] | None, **options: object) -> dict[str, Any]:
    """Return the settings that the user gave, nested and unchecked.

    Args:
        config: A TOML file; options override it.
        assignments: ``KEY=VALUE``; they override both.
        options: Values by the name of the option; None where an option is not given.
    """
    from labelcontrast.settings import override, parse_loss, put, read_settings

    values = read_settings(config) if config else {}
    if (loss := options.pop("loss", None)) is not None:
        values["loss"] = parse_loss(str(loss)).model_dump(exclude_none=True)
    for name, value in options.items():
        if value is not None and value != []:
            values = put(values, KEYS[name], value)
    values = override(values, assignments or [])
    if "data" in options and not values.get("data"):
        message = "DATA is missing: a file or folder of examples, or a --config that names it as data."
        raise ConfigError(message)
    return values


def build_settings(config: Path | None, assignments: list[str] | None = None, **options: object) -> "RunSettings":
    """Build the settings of a run from what ``read_values`` returns."""
    from labelcontrast.settings import RunSettings

    return RunSettings.build(read_values(config, assignments, **options))


def two_numbers(text: str) -> tuple[float, float]:
    """Read the costs of a wrong and of a missed label."""
    try:
        first, second = map(float, text.split(":"))
    except ValueError:
        raise ConfigError(f"--cost must be two numbers, as in 1:5. Got {text}.") from None
    return first, second


def number_of_runs(seeds: int | None, folds: int | None) -> int | None:
    """Return the runs of each loss: one for each seed, and with folds one for each seed and fold."""
    return folds * (seeds or 1) if folds else seeds
