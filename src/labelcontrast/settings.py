"""Settings of a run: sections with their defaults, TOML files, dotted names, and losses written in one line."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from labelcontrast.errors import ConfigError, nearest
from labelcontrast.files import write_text
from labelcontrast.losses.catalogue import check_loss


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


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name every field by its dotted path.

    Example:
        >>> flatten({"seed": 0, "loss": {"name": "reg"}})
        {'seed': 0, 'loss.name': 'reg'}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def read_value(text: str) -> Any:  # noqa: ANN401
    """Read a value as TOML has it, and a bare word as a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


Scalar = bool | int | float | str
EMBEDDED_ENCODERS = ("auto", "hashed", "convnet", "mlp")


class Settings(BaseModel):
    """The base of all settings: frozen, and an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ColumnSettings(Settings):
    """Which column holds what; a column that is not named is found by looking."""

    text: str | None = None
    """The column of the texts."""
    image: str | None = None
    """The column of the pictures' paths."""
    labels: str | None = None
    """The column of the labels; or, where each label has a column of its own, their names, joined by commas."""
    separator: str | None = None
    """What stands between the labels of a cell."""


class EncoderSettings(Settings):
    """What turns an input into an embedding."""

    name: str = "auto"
    """``auto`` (hashed, convnet or mlp), a hub id, a folder, ``pkg:package/folder`` or ``timm:name``."""
    pooling: Literal["cls", "mean"] | None = None
    """How token vectors become one; by default what the model was trained with."""
    max_length: int | None = Field(default=None, ge=2)
    """Longest text in tokens; by default the model's own limit, 256 at most."""
    image_size: int | None = Field(default=None, ge=8)
    """Side of a picture in pixels; by default the model's own."""
    frozen: bool = False
    """Leave a pretrained encoder as it is, and train a small network on its features, which are computed once."""


def share_or_names(given: object) -> float | tuple[str, ...]:
    """Take a share of something, or the names of some; a single name need not stand in a list."""
    if isinstance(given, (int, float)) and not isinstance(given, bool) and 0 <= given < 1:
        return float(given)
    names = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    if names and all(isinstance(name, str) for name in names):
        return names
    raise PydanticCustomError("share_or_names", "a share from 0 to below 1, or names")


class HierarchySettings(Settings):
    """The labels above labels, and what is made of them; ``docs/hierarchy.md`` has the whole of it."""

    file: str = "auto"
    """A ``.json``, ``.csv``, ``.txt`` or ``.paths`` file; ``auto`` looks in and beside the data; ``none`` uses none."""
    same_name: Literal["refuse", "path"] = "refuse"
    """What becomes of a name under two parents in indented text: ``path`` calls each such node by its whole path."""
    closure: bool = False
    """Give every example all labels above its own: for training, the probe and all metrics, under any loss."""
    train_on: Literal["all", "lowest"] = "all"
    """The labels of an example that the encoder is trained on: all, or those with no other of it below them."""
    consistency: Literal["none", "max", "product", "projection"] = "none"
    """How scores are made to fall, or stay, from a label to those below it; before thresholds are chosen."""
    decoding: Literal["each", "all_paths", "best_path"] = "each"
    """Each label by its threshold alone; only with all above it; or the one path to the leaf with the best score."""
    hold_out: Annotated[float | tuple[str, ...], BeforeValidator(share_or_names)] = 0.0
    """Leaves to keep out of training: a share, drawn with ``split_seed``, or their names or paths."""
    hold_out_level: int | None = Field(default=None, ge=0)
    """Hold out leaves of this level only, the roots being level 0; by default of any."""


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


class JointSettings(NamedLoss):
    """A contrastive loss beside a logit loss, on the same encoder."""

    weight: float = Field(default=1.0, gt=0)
    """What it is multiplied with before it is added."""


class LossSettings(NamedLoss):
    """What is descended: one loss, or a logit loss and a contrastive one beside it."""

    joint: JointSettings | None = None
    """A contrastive loss that is added to a logit loss: a table with its ``name``, ``weight`` and parameters."""

    @property
    def title(self) -> str:
        """The name, and what was set on it: ``reg alpha=1``, ``zlpr+0.5*reg``."""
        return f"{super().title}+{self.joint.weight:g}*{self.joint.title}" if self.joint else super().title


class TrainingSettings(Settings):
    """How the encoder is trained."""

    epochs: int = Field(default=10, ge=1)
    """Passes over the training examples, at most."""
    epoch_grid: tuple[PositiveInt, ...] = ()
    """Numbers of epochs to train a logit loss for, one after the other; the best on validation is kept."""
    batch_size: int = Field(default=64, ge=1)
    """Examples a step; a contrastive loss needs at least two, and likes many."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    """``sgd`` has a momentum of 0.9, and wants a larger learning rate."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak rate; by default 5e-5 for a pretrained encoder, 1e-3 for an embedded one or on a frozen one."""
    head_learning_rate: float | None = Field(default=None, gt=0)
    """Peak rate of projector, linear head and prototypes; by default the same as the encoder's."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decay of all weights but biases and norms; decoupled from the gradient under AdamW."""
    schedule: Literal["auto", "cosine", "linear"] = "auto"
    """Decay after the warm-up; ``auto`` is cosine for a contrastive loss and linear for a logit loss."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of all steps in which the rate rises from zero."""
    clip: float = Field(default=1.0, gt=0)
    """Largest global norm of the gradient."""
    precision: Literal["auto", "32", "bf16", "16"] = "auto"
    """Arithmetic of the encoder; ``auto`` is bf16 on an accelerator that has it, else 32 bits; a loss is always 32."""
    keep: Literal["best", "last"] = "best"
    """Whose weights are kept: those of the epoch with the best validation score, or of the last one."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many epochs without a better validation score; by default never."""
    checkpoint_minutes: float = Field(default=10.0, ge=0)
    """Time, at least, between the checkpoints within an epoch that a killed run goes on from."""
    views: int = Field(default=1, ge=1)
    """Views of each example that a contrastive loss sees: they differ by the encoder's dropout and by ``augment``."""
    augment: Literal["none", "randaugment"] = "none"
    """How a view of a picture is altered: two operations of strength 9, by kornia, which is an extra."""
    sampler: Literal["shuffled", "multilabel", "hierarchical"] = "shuffled"
    """``multilabel`` gives every label of a batch partners, ``hierarchical`` every level of a hierarchy too."""
    per_label: int = Field(default=2, ge=2)
    """Examples of each label that a batch is about, under the other samplers than ``shuffled``."""
    projection_dim: int = Field(default=256, ge=1)
    """Width of the projections that a contrastive loss sees."""
    repulsion: bool = False
    """Measure after every epoch how far positives are pushed apart, by frequency, on the ``selection_examples``."""
    selection_examples: int = Field(default=2000, ge=1)
    """Training examples, at most, that the validation score of a contrastive epoch is fitted on."""
    loggers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()
    """Further logs beside the CSV file; each is an extra."""


class FinetuningSettings(Settings):
    """What follows the training of a contrastive loss: encoder and linear head under a logit loss."""

    epochs: int = Field(default=0, ge=0)
    """Passes over the training examples; with 0 the encoder stays as it is and a probe reads it off."""
    loss: str = "bce"
    """A logit loss, with the catalogue's parameters."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak rate; by default that of the training."""


class EvaluationSettings(Settings):
    """How embeddings become scores, and scores label sets."""

    probe: Literal["newton", "paper", "released"] = "newton"
    """How embeddings are read off: at the optimum a label; as published; or as the released code does it."""
    probe_rates: tuple[PositiveFloat, ...] = ()
    """Peak rates that a published probe chooses from for each label; by default those of its protocol."""
    probe_decays: tuple[NonNegativeFloat, ...] = ()
    """Weight decays that it chooses from; by default those of its protocol."""
    probe_batch_size: int | None = Field(default=None, ge=1)
    """Examples a step of it; by default as its protocol has it, 256."""
    probe_precision: Literal["32", "bf16"] = "32"
    """What it multiplies: numbers of 32 bits, or bf16: less exact, and twice as fast where a processor has it."""
    calibration: Literal["none", "temperature", "isotonic"] = "none"
    """How probabilities are mapped, for each label, to how often they are right on validation; before thresholds."""
    threshold: Literal["global", "fixed", "per_label", "per_level", "top_k", "expected_f1"] = "global"
    """``fixed`` is one half; ``global`` and ``per_`` are the best on validation; the others need none."""
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
    columns: ColumnSettings = ColumnSettings()
    hierarchy: HierarchySettings = HierarchySettings()
    encoder: EncoderSettings = EncoderSettings()
    loss: LossSettings = LossSettings()
    training: TrainingSettings = TrainingSettings()
    finetuning: FinetuningSettings = FinetuningSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

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


def settings_template() -> str:
    r"""Write every setting with its sentence and its default as TOML; what has no default is commented out.

    Example:
        >>> print(settings_template().partition("\n\n")[0])
        # A file or a folder in any known format.
        # data =
    """
    fields = {name: field for name, field in RunSettings.model_fields.items() if not is_section(field)}
    sections = {name: field.annotation for name, field in RunSettings.model_fields.items() if is_section(field)}
    parts = [_template(fields)]
    parts += [f"[{name}]\n{_template(section.model_fields)}" for name, section in sections.items() if section]
    return "\n".join(parts)


def _template(fields: dict[str, FieldInfo]) -> str:
    """Write fields as TOML, each below its sentence."""
    lines = []
    for name, field in fields.items():
        optional = field.is_required() or field.default is None
        value = f"# {name} =" if optional else tomli_w.dumps({name: field.default}).strip()
        lines.append(f"# {(field.description or '').replace('``', '')}\n{value}\n")
    return "\n".join(lines)


# The second loss begins with a letter, as the exponent of 1e+5 does not.
_JOINT = re.compile(r"(?P<first>.+?)\+((?P<weight>\d*\.?\d+(e-?\d+)?)\*)?(?P<second>[a-z]\w*(:.*)?)")
_SETTING = re.compile(r"(?P<name>[a-z_]+(\.[a-z_]+)+)=(?P<value>.*)")


@dataclass(frozen=True)
class StudyLoss:
    """What a study holds against others: a loss, and settings that go with it alone."""

    loss: LossSettings
    settings: Mapping[str, Scalar]

    @property
    def title(self) -> str:
        """The loss with its parameters, and its settings by their last names."""
        own = (f"{name.rpartition('.')[2]}={value}" for name, value in self.settings.items())
        return " ".join([self.loss.title, *own])


def parse_losses(text: str) -> list[LossSettings]:
    """Read a list of losses, separated by commas, each as ``parse_loss`` reads it.

    Raises:
        ConfigError: when one is no loss, the list is empty, or an entry stands twice.

    Example:
        >>> [(loss.name, loss.parameters) for loss in parse_losses("bce,reg:alpha=1:temperature=0.2")]
        [('bce', {}), ('reg', {'alpha': 1, 'temperature': 0.2})]
    """
    losses = [parse_loss(entry) for entry in text.split(",") if entry.strip()]
    _refuse_repeats([loss.title for loss in losses])
    return losses


def parse_study_losses(entries: Sequence[str]) -> list[StudyLoss]:
    """Read losses, of which each may have settings of its own: among its parameters, with a dot in their names.

    Raises:
        ConfigError: when one is no loss, there is none, or an entry stands twice.

    Example:
        >>> [one.title for one in parse_study_losses(["bce", "supcon:temperature=0.2:hierarchy.train_on=lowest"])]
        ['bce', 'supcon temperature=0.2 train_on=lowest']
    """
    contenders = []
    for entry in entries:
        parts = entry.replace(" ", "").split(":")
        own = [match for part in parts if (match := _SETTING.fullmatch(part))]
        loss = parse_loss(":".join(part for part in parts if not _SETTING.fullmatch(part)))
        contenders.append(StudyLoss(loss, {match["name"]: read_value(match["value"]) for match in own}))
    _refuse_repeats([one.title for one in contenders])
    return contenders


def parse_loss(entry: str) -> LossSettings:
    """Read a loss: a name with parameters behind colons, and with a plus a weighted contrastive loss beside it.

    Raises:
        ConfigError: when a parameter has no ``=``, or a weight is 0.

    Example:
        >>> loss = parse_loss("asl:margin=0.1+0.5*reg:alpha=1")
        >>> loss.parameters, loss.joint.name, loss.joint.weight, loss.joint.parameters
        ({'margin': 0.1}, 'reg', 0.5, {'alpha': 1})
    """
    entry = entry.replace(" ", "")
    match = _JOINT.fullmatch(entry)
    if match is None:
        values = _with_parameters(entry)
    else:
        joint = {**_with_parameters(match["second"]), "weight": float(match["weight"] or 1)}
        values = {**_with_parameters(match["first"]), "joint": joint}
    return RunSettings.build({"data": entry, "loss": values}).loss  # refused as in the settings of a run


def has_setting(loss: LossSettings, key: str) -> bool:
    """Say whether a loss has a setting; every loss has what is no setting of a loss.

    Example:
        >>> joint = parse_loss("zlpr+0.5*reg")
        >>> [has_setting(joint, key) for key in ("loss.joint.weight", "loss.joint.alpha", "loss.alpha", "seed")]
        [True, True, False, True]
    """
    section, _, name = key.partition(".")
    if section != "loss":
        return True
    if not name.startswith("joint."):
        return name in check_loss(loss.name, loss.parameters)
    inner = name.removeprefix("joint.")
    return loss.joint is not None and (inner == "weight" or inner in check_loss(loss.joint.name, loss.joint.parameters))


def _refuse_repeats(titles: Sequence[str]) -> None:
    """Refuse an empty list, and one in which something stands twice."""
    twice = sorted({title for title in titles if titles.count(title) > 1})
    if not titles or twice:
        message = f'"{twice[0]}" stands twice in the list of losses.' if twice else "the list of losses is empty."
        raise ConfigError(message)


def _with_parameters(entry: str) -> dict[str, Any]:
    """Read a name with its parameters."""
    name, *assignments = entry.split(":")
    values: dict[str, Any] = {"name": name.strip()}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            message = f'"{assignment}" in "{entry}" is not a parameter; expected name=value, as in reg:alpha=1.'
            raise ConfigError(message)
        values[key.strip()] = read_value(value.strip())
    return values
