"""A run's settings: frozen, complete, and the same as a TOML file; the defaults stand here and nowhere else."""

import tomllib
from pathlib import Path
from typing import Any, Literal, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError
from pydantic.fields import FieldInfo

from labelcontrast.errors import ConfigError, nearest
from labelcontrast.files import write_text

Scalar = bool | int | float | str
EMBEDDED_ENCODERS = ("auto", "hashed", "convnet", "mlp")


class Settings(BaseModel):
    """The base of all settings: frozen, and an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Columns(Settings):
    """Which column holds what; a column that is not named is found by looking."""

    text: str | None = None
    """The column of the texts."""
    image: str | None = None
    """The column of the pictures' paths."""
    labels: str | None = None
    """The column of the labels; or, where each label has a column of its own, their names, joined by commas."""
    separator: str | None = None
    """What stands between the labels of a cell."""


class Encoder(Settings):
    """What turns an input into an embedding."""

    name: str = "auto"
    """``auto`` (hashed, convnet or mlp), a hub id, a folder, ``pkg:package/folder`` or ``timm:name``."""
    pooling: Literal["cls", "mean"] | None = None
    """How token vectors become one; by default what the model was trained with."""
    max_length: int | None = Field(default=None, ge=2)
    """Longest text in tokens; by default the model's own limit, 256 at most."""
    image_size: int | None = Field(default=None, ge=8)
    """Side of a picture in pixels; by default the model's own."""


class NamedLoss(BaseModel):
    """A loss by name, with its parameters beside it; the catalogue knows which there are."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)
    __pydantic_extra__: dict[str, Scalar]

    name: str = "reg"
    """A name of ``labelcontrast losses``."""

    @property
    def parameters(self) -> dict[str, Scalar]:
        """Everything that no field holds."""
        return dict(self.__pydantic_extra__)

    @property
    def title(self) -> str:
        """The name, and what was set on it: ``reg alpha=1``."""
        return " ".join([self.name, *(f"{name}={value}" for name, value in self.parameters.items())])


class Joint(NamedLoss):
    """A contrastive loss beside a logit loss, on the same encoder."""

    weight: float = Field(default=1.0, gt=0)
    """What it is multiplied with before it is added."""


class Loss(NamedLoss):
    """What is descended: one loss, or a logit loss and a contrastive one beside it."""

    joint: Joint | None = None
    """A contrastive loss that is added to a logit loss: a table with its ``name``, ``weight`` and parameters."""

    @property
    def title(self) -> str:
        """The name, and what was set on it: ``reg alpha=1``, ``zlpr+0.5*reg``."""
        return f"{super().title}+{self.joint.weight:g}*{self.joint.title}" if self.joint else super().title


class Training(Settings):
    """How the encoder is trained."""

    epochs: int = Field(default=10, ge=1)
    """Passes over the training examples, at most."""
    epoch_grid: tuple[PositiveInt, ...] = ()
    """Numbers of epochs to train a logit loss for, one after the other; the best on validation is kept."""
    batch_size: int = Field(default=64, ge=1)
    """Examples a step; a contrastive loss needs at least two, and likes many."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak rate of AdamW; by default 5e-5 for a pretrained encoder and 1e-3 for an embedded one."""
    head_learning_rate: float | None = Field(default=None, gt=0)
    """Peak rate of projector, linear head and prototypes; by default the same as the encoder's."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled decay of all weights but biases and norms."""
    schedule: Literal["auto", "cosine", "linear"] = "auto"
    """Decay after the warm-up; ``auto`` is cosine for a contrastive loss and linear for a logit loss."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of all steps in which the rate rises from zero."""
    clip: float = Field(default=1.0, gt=0)
    """Largest global norm of the gradient."""
    precision: Literal["auto", "32", "bf16", "16"] = "auto"
    """Arithmetic of the encoder; ``auto`` is bf16 on an accelerator that has it, else 32 bits; a loss is always 32."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many epochs without a better validation score; by default never."""
    views: int = Field(default=1, ge=1)
    """Views of each example that a contrastive loss sees: they differ by the encoder's dropout and by ``augment``."""
    augment: Literal["none", "randaugment"] = "none"
    """How a view of a picture is altered: two operations of strength 9, by kornia, which is an extra."""
    sampler: Literal["shuffled", "multilabel"] = "shuffled"
    """``multilabel`` gives every label of a batch partners, rare ones too; every example still comes once an epoch."""
    per_label: int = Field(default=2, ge=2)
    """Examples of each label that a batch is about, under the sampler ``multilabel``."""
    projection_dim: int = Field(default=256, ge=1)
    """Width of the projections that a contrastive loss sees."""
    selection_examples: int = Field(default=2000, ge=1)
    """Training examples, at most, that the validation score of a contrastive epoch is fitted on."""
    loggers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()
    """Further logs beside the CSV file; each is an extra."""


class Finetuning(Settings):
    """What follows the training of a contrastive loss: encoder and linear head under a logit loss."""

    epochs: int = Field(default=0, ge=0)
    """Passes over the training examples; with 0 the encoder stays as it is and a probe reads it off."""
    loss: str = "bce"
    """A logit loss, with the catalogue's parameters."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak rate; by default that of the training."""


class Evaluation(Settings):
    """How embeddings become scores, and scores label sets."""

    probe: Literal["newton", "paper", "released"] = "newton"
    """How embeddings are read off: at the optimum a label; as published; or as the released code does it."""
    calibration: Literal["none", "temperature", "isotonic"] = "none"
    """How probabilities are mapped, for each label, to how often they are right on validation; before thresholds."""
    threshold: Literal["global", "fixed", "per_label", "top_k", "expected_f1"] = "global"
    """``fixed`` is one half; ``global`` and ``per_label`` are the best on validation; the others need none."""
    top_k: int = Field(default=3, ge=1)
    """Labels of each example under the threshold ``top_k``."""
    empty: Literal["allow", "best"] = "allow"
    """Where no label passes: ``allow`` the empty set, or take the ``best`` label."""
    neighbours: int = Field(default=0, ge=0)
    """Nearest neighbours, at most, that embeddings are judged by too; 0 is not to, since all examples are compared."""
    map: Literal["pca", "umap"] = "pca"
    """The projection of the report's map of embeddings; UMAP is an extra."""


class RunSettings(Settings):
    """All of a run; ``config.toml`` in the run folder is this, resolved."""

    data: str
    """A file or a folder in any known format."""
    seed: int = Field(default=0, ge=0)
    """Seed of the initial weights, the order of the examples and dropout."""
    split_seed: int = Field(default=0, ge=0)
    """Seed of the split where the data come as one file; runs with other seeds are measured on the same examples."""
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2)
    """Shares of training, validation and test where the data come as one file."""
    protocol: Literal["official", "paper", "paper-small"] = "official"
    """The split of an official distribution: its own; the paper's halves; or those with a fifth of train."""
    difficult: Literal["count", "leave_out"] = "count"
    """Whether objects that PASCAL VOC marks difficult give a picture their label."""
    train_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the training examples to train on; nested, so that 0.05 lies in 0.1, and stratified by label."""
    columns: Columns = Columns()
    encoder: Encoder = Encoder()
    loss: Loss = Loss()
    training: Training = Training()
    finetuning: Finetuning = Finetuning()
    evaluation: Evaluation = Evaluation()

    @property
    def learning_rate(self) -> float:
        """The peak rate, resolved."""
        default = 1e-3 if self.encoder.name in EMBEDDED_ENCODERS else 5e-5
        return self.training.learning_rate or default

    @classmethod
    def build(cls, values: dict[str, Any]) -> Self:
        """Check the values of a run.

        Raises:
            ConfigError: the first thing that is wrong, in one line, with the nearest known name for an unknown key.

        Example:
            >>> RunSettings.build({"data": "reviews.jsonl", "training": {"epochs": 3}}).training.epochs
            3
            >>> RunSettings.build({"data": "reviews.jsonl", "training": {"epoch": 3}})
            Traceback (most recent call last):
            labelcontrast.errors.ConfigError: unknown setting "training.epoch" (did you mean "training.epochs"?).
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(_first_line(error)) from None

    def write(self, path: Path) -> None:
        """Write the settings as TOML, whole or not at all."""
        write_text(path, tomli_w.dumps(self.model_dump(mode="json", exclude_none=True)))


def read_settings(path: Path) -> dict[str, Any]:
    """Read a TOML file of settings, unchecked.

    Raises:
        ConfigError: when the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        message = f"{path}: no such file; expected a TOML file of settings."
        raise ConfigError(message) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path}: not a TOML file: {error}."
        raise ConfigError(message) from None


def override(values: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """Set single fields by ``KEY=VALUE``, the key dotted and the value as TOML has it; a bare word is a string.

    Raises:
        ConfigError: when an assignment has no ``=``.

    Example:
        >>> override({"loss": {"name": "reg"}}, ["loss.temperature=0.05", "encoder.name=hashed"])
        {'loss': {'name': 'reg', 'temperature': 0.05}, 'encoder': {'name': 'hashed'}}
    """
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            message = f'"{assignment}" is not an assignment; expected KEY=VALUE, as in loss.temperature=0.05.'
            raise ConfigError(message)
        values = put(values, key.strip(), read_value(text.strip()))
    return values


def put(values: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    """Set one field by its dotted key, in a copy.

    Raises:
        ConfigError: when a part of the key is a value and not a section.
    """
    section, dot, rest = key.partition(".")
    if not dot:
        return values | {key: value}
    inner = values.get(section, {})
    if not isinstance(inner, dict):
        message = f'"{section}" in "{key}" is a value, not a section.'
        raise ConfigError(message)
    return values | {section: put(inner, rest, value)}


def read_value(text: str) -> Any:  # noqa: ANN401
    """Read a value as TOML has it, and a bare word as a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def is_section(field: FieldInfo) -> bool:
    """Say whether a field is a table of its own in the TOML file."""
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _first_line(error: ValidationError) -> str:
    """Say the first thing that is wrong in one line."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    name = ".".join(place)
    if first["type"] == "extra_forbidden":
        return f'unknown setting "{name}"{nearest(name, _known_settings())}.'
    if first["type"] == "missing":
        return f'the setting "{name}" is needed.'
    expected = first["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"{name} must be {expected}. Got {first['input']!r}."


def _known_settings() -> list[str]:
    """List every field by its dotted name."""
    known = []
    for name, field in RunSettings.model_fields.items():
        if field.annotation and is_section(field):
            known += [f"{name}.{inner}" for inner in field.annotation.model_fields]
        known.append(name)
    return known
