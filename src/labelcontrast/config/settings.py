"""A run's settings: its sections and what goes for all of it, the same as a TOML file."""

from pathlib import Path
from typing import Any, Literal, Self

import tomli_w
from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from labelcontrast.config.sections import (
    EMBEDDED_ENCODERS,
    Columns,
    Encoder,
    Evaluation,
    Finetuning,
    Hierarchy,
    Loss,
    Settings,
    Training,
)
from labelcontrast.errors import ConfigError, nearest
from labelcontrast.files import write_text


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
    val_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the validation examples to choose by, drawn in the same way."""
    label_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the labels to keep, drawn by the split's seed, nested; an example left without a label stays."""
    folds: int | None = Field(default=None, ge=2)
    """Put all parts together and divide them anew into so many folds, by ``split_seed``; one is tested on."""
    fold: int | None = Field(default=None, ge=0)
    """Which fold is tested on, from 0; by default seed 0 tests on the first, seed 1 on the second, and so on."""
    transfer_to: str | None = None
    """Other data of the same kind: a probe is fitted and measured on these, with the encoder that ``data`` trained."""
    columns: Columns = Columns()
    hierarchy: Hierarchy = Hierarchy()
    encoder: Encoder = Encoder()
    loss: Loss = Loss()
    training: Training = Training()
    finetuning: Finetuning = Finetuning()
    evaluation: Evaluation = Evaluation()

    @property
    def learning_rate(self) -> float:
        """The peak rate, resolved."""
        embedded = self.encoder.frozen or self.encoder.name in EMBEDDED_ENCODERS
        default = 1e-3 if embedded else 5e-5
        return self.training.learning_rate or default

    @property
    def tested_fold(self) -> int:
        """The fold that is tested on, resolved; 0 where there are none."""
        return self.seed % (self.folds or 1) if self.fold is None else self.fold

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
