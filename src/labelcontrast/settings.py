"""Settings of a run: sections with their defaults, TOML files, dotted names, and losses written in one line."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import not_
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

from labelcontrast.errors import ConfigError, RunError, nearest
from labelcontrast.files import checksum_of_text, read_json, write_text
from labelcontrast.losses.registry import check_loss

Scalar = bool | int | float | str
FIRST_LINE = "# checksum of the below: "
"""The beginning of the first line of a TOML file that is sealed."""
EMBEDDED = "embedded"
EMBEDDED_ENCODERS = (EMBEDDED, "lsa", "hashed", "convnet", "mlp")
"""Encoders that are trained from scratch."""
AUTO = "auto"
Effort = Literal["quick", "standard", "best"]
LOSSES_ALONE = {"evaluation.views": "probe", "encoder.name": EMBEDDED, "training.epochs": 10}
"""What comparisons and studies of losses set, unless they are told otherwise."""
VIEWS = ("probe", "neighbours", "words", "trees")
"""Scorers of all labels that a trained model can blend."""


class Settings(BaseModel):
    """Base of all sections: frozen, and an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ColumnSettings(Settings):
    """Names of the columns of a table; a column that is not named is found by its content, and a run remembers it."""

    text: str | None = None
    """The column of the texts."""
    image: str | None = None
    """The column of the pictures' paths."""
    labels: str | tuple[str, ...] | None = None
    """The column of the labels; or, if each label has a column of its own, their names, as a list or with commas."""
    separator: str | None = None
    """The text between the labels of a cell; empty if a cell is one label."""
    multi_hot: int | None = Field(default=None, ge=0)
    """The length of the lists if they hold a value for each label; 0 if they hold names or numbers of labels."""


class EncoderSettings(Settings):
    """The encoder, which maps an input to an embedding."""

    name: str = AUTO
    """``auto`` (installed, or else ``embedded``), ``lsa``, a hub id, a folder, ``pkg:...`` or ``timm:...``."""
    pooling: Literal["cls", "mean"] | None = None
    """How token vectors are pooled; by default as in the pretraining of the model."""
    max_length: int | None = Field(default=None, ge=2)
    """Longest text in tokens; by default the model's own limit, 256 at most."""
    image_size: int | None = Field(default=None, ge=8)
    """Side of a picture in pixels; by default the model's own."""
    pretrained: bool = Field(default=True, exclude_if=bool)
    """False starts the architecture of a pretrained encoder from random weights."""
    frozen: bool | None = None
    """Train only a small network on the features of a pretrained encoder; by default if ``auto`` finds the encoder."""
    adapter: bool = Field(default=True, exclude_if=bool)
    """False leaves that network out: the embedding is the feature vector, a control for which nothing is trained."""


def share_or_names(given: object) -> float | tuple[str, ...]:
    """Return a share from 0 to below 1, or a tuple of names; a single name need not be in a list."""
    if isinstance(given, (int, float)) and not isinstance(given, bool) and 0 <= given < 1:
        return float(given)
    names = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    if names and all(isinstance(name, str) for name in names):
        return names
    raise PydanticCustomError("share_or_names", "a share from 0 to below 1, or names")


def auto_or_views(given: object) -> str | tuple[str, ...]:
    """Return ``auto``, or a tuple of distinct views; they may be given as one text with commas."""
    if given in (AUTO, [AUTO]):
        return AUTO
    names = [name.strip() for name in given.split(",")] if isinstance(given, str) else given
    if isinstance(names, (list, tuple)) and all(name in VIEWS for name in names) and 0 < len(names) == len(set(names)):
        return tuple(names)
    raise PydanticCustomError("auto_or_views", f"{AUTO}, or some of {', '.join(VIEWS)}")


class HierarchySettings(Settings):
    """The hierarchy over the labels, and how it is used; see ``docs/hierarchy.md``."""

    file: str = "auto"
    """A ``.json``, ``.csv``, ``.txt`` or ``.paths`` file; ``auto`` looks in and beside the data; ``none`` uses none."""
    same_name: Literal["refuse", "path"] = "refuse"
    """How a name under two parents in indented text is read: ``path`` names each such node by its whole path."""
    closure: bool = False
    """Add to every example all ancestors of its labels: for training, the probe and all metrics, under any loss."""
    train_on: Literal["all", "lowest"] = "all"
    """The labels of an example that the encoder is trained on: all, or those without a descendant among them."""
    consistency: Literal["none", "max", "product", "projection"] = "none"
    """How scores are changed so that no label has a higher one than its parent; before thresholds are chosen."""
    decoding: Literal["each", "all_paths", "best_path"] = "each"
    """Each label by its threshold; only with all its ancestors; or the one path to the leaf with the best score."""
    hold_out: Annotated[float | tuple[str, ...], BeforeValidator(share_or_names)] = 0.0
    """Leaves to keep out of training: a share, drawn with ``split_seed``, or their names or paths."""
    hold_out_level: int | None = Field(default=None, ge=0)
    """Hold out leaves on this level only, counted from 0 at the roots; by default on any."""


class NamedLoss(BaseModel):
    """The name of a loss and its parameters, as listed by ``labelcontrast losses``."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)
    __pydantic_extra__: dict[str, Scalar]

    name: str = "reg"
    """A name of ``labelcontrast losses``."""

    @property
    def parameters(self) -> dict[str, Scalar]:
        """The parameters of the loss that are set."""
        return dict(self.__pydantic_extra__)

    @property
    def title(self) -> str:
        """The name and the parameters that are set: ``reg alpha=1``."""
        return " ".join([self.name, *(f"{name}={value}" for name, value in self.parameters.items())])


class JointSettings(NamedLoss):
    """A contrastive loss beside a logit loss, on the same encoder."""

    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Factor of this loss in the sum."""


class LossSettings(NamedLoss):
    """The training loss: one loss, or a logit loss and a contrastive one beside it."""

    joint: JointSettings | None = None
    """A contrastive loss that is added to a logit loss: a table with its ``name``, ``weight`` and parameters."""

    @property
    def title(self) -> str:
        """The names and the parameters that are set: ``reg alpha=1``, ``zlpr+0.5*reg``."""
        return f"{super().title}+{self.joint.weight:g}*{self.joint.title}" if self.joint else super().title


class TrainingSettings(Settings):
    """How the encoder is trained."""

    epochs: int = Field(default=10, ge=1)
    """Passes over the training examples, at most; 5 by default for an encoder of texts that learns from scratch."""
    epoch_grid: tuple[PositiveInt, ...] = ()
    """Numbers of epochs to train a logit loss for, one after the other; the best on validation is kept."""
    batch_size: int = Field(default=64, ge=1)
    """Examples a step; a contrastive loss needs at least two, and profits from many."""
    chunk: int = Field(default=0, ge=0, exclude_if=not_)
    """Examples of a batch that the encoder holds in memory at once, for a batch that does not fit; 0 for all."""
    accumulate: int = Field(default=1, ge=1, exclude_if=lambda steps: steps == 1)
    """Batches whose gradients are averaged for a step, under a logit loss; ``chunk`` is for any loss."""
    momentum: float = Field(default=0.0, ge=0, lt=1, exclude_if=not_)
    """Of the average of the encoder that makes a contrastive loss's keys (MoCo), such as 0.999; 0 for no keys."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    """``sgd`` has a momentum of 0.9, and needs a larger learning rate."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak learning rate of the encoder; by default 5e-5 if it is pretrained, 1e-3 if it is from scratch or frozen."""
    head_learning_rate: float | None = Field(default=None, gt=0)
    """Peak learning rate of projector and linear head, and of prototypes; by default that of the encoder."""
    prototype_learning_rate: float | None = Field(default=None, gt=0, exclude_if=lambda rate: rate is None)
    """Peak learning rate of what the loss itself learns, such as prototypes; by default that of the head."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Weight decay of all weights but biases and norms; decoupled from the gradient under AdamW."""
    schedule: Literal["auto", "cosine", "linear"] = "auto"
    """Learning-rate decay after the warm-up; ``auto`` is cosine for contrastive losses and linear for logit losses."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of all steps in which the learning rate rises from zero."""
    clip: float = Field(default=1.0, gt=0)
    """Largest global norm of the gradient; a longer one is scaled to it."""
    precision: Literal["auto", "32", "bf16", "16"] = "auto"
    """Arithmetic of the encoder; ``auto`` is bf16 on an accelerator that has it, else 32 bits; losses use 32."""
    keep: Literal["best", "micro_f1", "last"] = "best"
    """The epoch whose weights are kept: that of the best validation mAP, the best micro-F1 at one half, or the last."""
    patience: int | None = Field(default=None, ge=1)
    """Epochs without a better validation score after which training stops; by default it does not."""
    checkpoint_minutes: float = Field(default=10.0, ge=0)
    """Minutes, at least, between checkpoints within an epoch, from which a killed run resumes."""
    views: int = Field(default=1, ge=1)
    """Views of each example under a contrastive loss, which differ by the encoder's dropout and by ``augment``."""
    augment: Literal["none", "randaugment"] = "none"
    """Augmentation of pictures: RandAugment with two operations of strength 9, by kornia, which is an extra."""
    sampler: Literal["shuffled", "multilabel", "hierarchical"] = "shuffled"
    """``multilabel`` puts positives of every label into a batch, ``hierarchical`` of every level of a hierarchy too."""
    per_label: int = Field(default=2, ge=2)
    """Examples of each label that is drawn for a batch, under samplers other than ``shuffled``."""
    projection_dim: int = Field(default=256, ge=1)
    """Width of the projections that a contrastive loss takes."""
    repulsion: bool = False
    """After every epoch measure the repulsion of positives and the angles of steps, on the ``selection_examples``."""
    selection_examples: int = Field(default=2000, ge=1)
    """Training examples, at most, on which the probe of the validation score of a contrastive loss is fitted."""
    loggers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()
    """Loggers beside the CSV file; each is an extra."""


class FinetuningSettings(Settings):
    """Fine-tuning after the training of a contrastive loss: encoder and linear head under a logit loss."""

    epochs: int = Field(default=0, ge=0)
    """Passes over the training examples; 0 for a probe on the unchanged encoder instead."""
    loss: str = "bce"
    """A logit loss, with its default parameters."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak learning rate; by default that of the training."""


class EvaluationSettings(Settings):
    """How scores are computed from embeddings, and label sets from scores."""

    classifier: Literal["auto", "probe"] = Field(default="auto", exclude_if=lambda name: name == "auto")
    """``auto`` is the head that a logit loss trained, and a probe under other losses; ``probe`` is one under all."""
    probe: Literal["newton", "paper", "released"] = "newton"
    """The probe on the embeddings: the optimum for each label; as published; or as in the released code."""
    probe_rates: tuple[PositiveFloat, ...] = ()
    """Peak learning rates that a published probe selects from for each label; by default those of its protocol."""
    probe_decays: tuple[NonNegativeFloat, ...] = ()
    """Weight decays that a published probe selects from; by default those of its protocol."""
    probe_optimiser: Literal["adamw", "adam", "rmsprop"] = Field(
        default="adamw", exclude_if=lambda name: name == "adamw"
    )
    """Optimiser of a published probe; under ``adam`` and ``rmsprop`` the weight decay is part of the gradient."""
    probe_batch_size: int | None = Field(default=None, ge=1)
    """Examples a step of a published probe; by default 256, as in its protocol."""
    probe_precision: Literal["32", "bf16"] = "32"
    """Arithmetic of a published probe; bf16 is less exact, and twice as fast on a processor that has it."""
    views: Annotated[str | tuple[str, ...], BeforeValidator(auto_or_views)] = AUTO
    """Scorers to blend, as in ``probe,words``; ``auto`` is the probe, with words for texts and trees for vectors."""
    calibration: Literal["none", "temperature", "isotonic"] = "none"
    """Calibration of the probabilities of each label, fitted on validation; before thresholds are chosen."""
    threshold: Literal["global", "fixed", "per_label", "per_level", "top_k", "expected_f1"] = "per_label"
    """``fixed`` is 0.5; ``global``, ``per_label`` and ``per_level`` are tuned on validation; the others are not."""
    top_k: int = Field(default=3, ge=1)
    """Number of labels of each example under the threshold ``top_k``."""
    empty: Literal["allow", "best"] = "allow"
    """If no label exceeds its threshold: ``allow`` the empty set, or predict the ``best`` label."""
    neighbours: int = Field(default=0, ge=0)
    """Nearest neighbours, at most, for an evaluation of the embeddings without a probe; 0 for none, as it is slow."""
    examples: int = Field(default=24, ge=0)
    """Mistakes on test, at most, that the page shows, with a few successes; 0 copies no input into the run folder."""
    map: Literal["pca", "umap"] = "pca"
    """Projection of the embeddings in the report's scatter plot; UMAP is an extra."""


class LabelChange(Settings):
    """A change of the labels of a trained run, made by ``labelcontrast labels``."""

    verb: Literal["add", "remove", "rename", "merge"]
    labels: tuple[str, ...]
    """The label that is added, or those that are removed, renamed or merged."""
    into: str = Field(default="", exclude_if=not_)
    """The new name of a label that is renamed, or of those that are merged."""
    examples: str = Field(default="", exclude_if=not_)
    """The file with examples of a label that is added."""
    below: str = Field(default="", exclude_if=not_)
    """The node of the hierarchy above a label that is added; by default it is a root."""


class RunSettings(Settings):
    """All settings of a run, as ``config.toml`` in the run folder holds them."""

    data: str
    """A file or a folder in any known format."""
    seed: int = Field(default=0, ge=0)
    """Seed of the initial weights, the order of the examples and dropout."""
    split_seed: int = Field(default=0, ge=0)
    """Seed of the split if the data are one file; runs with other values of ``seed`` have the same split."""
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2)
    """Shares of training, validation and test if the data are one file."""
    protocol: Literal["official", "paper", "paper-small"] = "official"
    """Split of an official distribution: its own; the paper's; or the paper's with a fifth of the training examples."""
    difficult: Literal["count", "leave_out"] = "count"
    """Whether objects that are marked difficult in PASCAL VOC count as labels of a picture."""
    train_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the training examples to train on; stratified by label, and nested: 0.05 is a subset of 0.1."""
    val_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the validation examples to use, drawn in the same way."""
    label_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the labels to keep, drawn with ``split_seed``, nested; examples without a label are kept."""
    folds: int | None = Field(default=None, ge=2)
    """Number of folds that all examples are divided into, with ``split_seed``; one fold is the test split."""
    fold: int | None = Field(default=None, ge=0)
    """The fold to test on, counted from 0; by default ``seed`` modulo ``folds``."""
    transfer_to: str | None = None
    """Other data of the same kind: a probe is fitted and measured on these, with the encoder that ``data`` trained."""
    effort: Effort = Field(default="standard", exclude_if=lambda effort: effort == "standard")
    """``quick``: embedded encoder, a few epochs; ``best``: a pretrained one is fine-tuned; settings override it."""
    plugins: tuple[str, ...] = Field(default=(), exclude_if=not_)
    """Python files that register losses of your own, each relative to the working folder as ``data`` is."""
    changes: tuple[LabelChange, ...] = Field(default=(), exclude_if=not_)
    """Changes of the labels, in their order, that ``labelcontrast labels`` made; the data are read with them."""
    columns: ColumnSettings = ColumnSettings()
    hierarchy: HierarchySettings = HierarchySettings()
    encoder: EncoderSettings = EncoderSettings()
    loss: LossSettings = LossSettings(name="zlpr", joint=JointSettings(name="reg", weight=0.5))
    training: TrainingSettings = TrainingSettings()
    finetuning: FinetuningSettings = FinetuningSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    def with_defaults(self, defaults: Mapping[str, Any]) -> Self:
        """Return the settings with other values, by dotted name, of those that are not set explicitly."""
        values = self.model_dump(exclude_unset=True)
        given = flatten(values)
        for name, value in defaults.items():
            if name not in given:
                values = put(values, name, value)
        return self.build(values)

    @property
    def learning_rate(self) -> float:
        """The peak learning rate, with its default."""
        encoder = self.encoder
        scratch = encoder.frozen or not encoder.pretrained or encoder.name in (AUTO, *EMBEDDED_ENCODERS)
        default = 1e-3 if scratch else 5e-5
        return self.training.learning_rate or default

    @property
    def tested_fold(self) -> int:
        """The fold to test on, with its default; 0 if there are no folds."""
        return self.seed % (self.folds or 1) if self.fold is None else self.fold

    @classmethod
    def build(cls, values: dict[str, Any]) -> Self:
        """Validate the values of a run.

        Raises:
            ConfigError: A value is wrong; the message names the first one, and the nearest name of an unknown key.

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

    def write(self, path: str | Path, *, sealed: bool = False) -> None:
        """Write the settings as TOML; sealed with a checksum in the first line, by which ``read_recorded`` checks them.

        A checksum in the last line would be lost where the file is cut.
        """
        text = tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))
        write_text(Path(path), f"{FIRST_LINE}{checksum_of_text(text)}\n{text}" if sealed else text)


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read a TOML file of settings without validation.

    Raises:
        ConfigError: The file is missing or is not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text())
    except FileNotFoundError:
        message = f"{path}: no such file; expected a TOML file of settings."
        raise ConfigError(message) from None
    except (ValueError, RecursionError) as error:
        message = f"{path}: not a TOML file: {error}."
        raise ConfigError(message) from None


def read_recorded(path: str | Path) -> dict[str, Any]:
    """Read the settings of an earlier run: a TOML file of them, or a JSON file with them under ``settings``.

    Raises:
        ConfigError: The file is missing or is not TOML.
        RunError: It has changed since it was written.
    """
    path = Path(path)
    values = dict(read_json(path).get("settings", {})) if path.suffix == ".json" else read_settings(path)
    first, _, text = path.read_text().partition("\n")
    if first.startswith(FIRST_LINE) and first.removeprefix(FIRST_LINE) != checksum_of_text(text):
        raise RunError(f"{path} is damaged: it has changed since it was written.")
    encoder = values.get("encoder", {})
    if encoder.get("name") == AUTO and encoder.get("frozen") is False:  # from before ``auto`` could be a pretrained one
        values["encoder"] = encoder | {"name": EMBEDDED}
    return values


def override(values: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """Set single fields by ``KEY=VALUE``, with a dotted key and a TOML value; a bare word is a string.

    Raises:
        ConfigError: An assignment has no ``=``.

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
        ConfigError: A part of the key is a value and not a section.
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
    """Return all fields by their dotted names.

    Example:
        >>> flatten({"seed": 0, "loss": {"name": "reg"}})
        {'seed': 0, 'loss.name': 'reg'}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def first_difference(before: RunSettings, now: RunSettings, *, except_for: tuple[str, ...] = ()) -> str | None:
    """Return the first setting with another value than before, as text; None if there is none.

    Args:
        before: Settings of an earlier run.
        now: Settings to compare with them.
        except_for: Prefixes of dotted names that may differ.

    Example:
        >>> first_difference(RunSettings(data="a"), RunSettings(data="a", seed=7))
        'seed = 0, not 7'
    """
    old, new = (flatten(one.model_dump(mode="json")) for one in (before, now))
    for name in [*new, *(name for name in old if name not in new)]:
        if old.get(name) != new.get(name) and not name.startswith(except_for):
            return f"{name} = {old.get(name)!r}, not {new.get(name)!r}"
    return None


def read_value(text: str) -> Any:  # noqa: ANN401
    """Parse a TOML value; a bare word is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def is_section(field: FieldInfo) -> bool:
    """Return True if a field is a table of the TOML file."""
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _first_line(error: ValidationError) -> str:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    name = ".".join(place)
    if first["type"] == "extra_forbidden":
        return f'unknown setting "{name}"{nearest(name, [*setting_names(), *_sections()])}.'
    if first["type"] == "missing":
        return f'the setting "{name}" is needed.'
    expected = first["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"{name} must be {expected}. Got {first['input']!r}."


def setting_names() -> list[str]:
    """Return the dotted name of every setting.

    Example:
        >>> setting_names()[0], [name for name in setting_names() if name.startswith("finetuning.")]
        ('data', ['finetuning.epochs', 'finetuning.loss', 'finetuning.learning_rate'])
    """
    fields, sections = RunSettings.model_fields, _sections()
    names = [name for name in fields if name not in sections]
    return names + [f"{name}.{inner}" for name, section in sections.items() for inner in type(section).model_fields]


def _sections() -> dict[str, BaseModel]:
    return {name: field.default for name, field in RunSettings.model_fields.items() if is_section(field)}


def settings_template(given: Mapping[str, Any] | None = None, *, defaults: bool = True) -> str:
    r"""Write every setting with its description as TOML; one without a value is commented out.

    Args:
        given: Values in place of defaults, nested.
        defaults: Write the defaults as settings; otherwise they are commented out, and only ``given`` is set.

    Example:
        >>> print(settings_template({"data": "a.csv"}, defaults=False)[:87])
        # A file or a folder in any known format.
        data = "a.csv"
        <BLANKLINE>
        # Seed of the initial weights
    """
    values, sections = dict(given or {}), _sections()
    fields = {name: field for name, field in RunSettings.model_fields.items() if name not in sections}
    parts = [_template(fields, {}, values, defaults=defaults)]
    for name, section in sections.items():
        own = _template(type(section).model_fields, dict(section), values.get(name, {}), defaults=defaults)
        parts.append(f"[{name}]\n{own}")
    return "\n".join(parts)


def _template(
    fields: Mapping[str, FieldInfo], section: Mapping[str, object], given: Mapping[str, object], *, defaults: bool
) -> str:
    lines = []
    for name, field in fields.items():
        value = given.get(name, section.get(name, field.default))
        mark = "" if defaults or name in given else "# "
        if value is None or (field.is_required() and name not in given):
            text = f"# {name} ="
        elif isinstance(value, BaseModel | dict):
            inner = (tomli_w.dumps({key: one}).strip() for key, one in dict(value).items())
            text = f"{mark}{name} = {{{', '.join(inner)}}}"
        else:
            text = mark + re.sub(r"(\[)\n\s*|,\n\s*(\])|\n\s*", _on_one_line, tomli_w.dumps({name: value}).strip())
        lines.append(f"# {(field.description or '').replace('``', '')}\n{text}\n")
    others = {name: value for name, value in given.items() if name not in fields and not isinstance(value, dict)}
    return "\n".join([*lines, *([tomli_w.dumps(others)] if others else [])])


def _on_one_line(gap: re.Match[str]) -> str:
    """Return what stands for a line end within a list of TOML."""
    return gap[1] or gap[2] or " "


# The second loss starts with a letter, unlike the exponent of 1e+5.
_JOINT = re.compile(r"(?P<first>.+?)\+((?P<weight>(\d+(\.\d+)?|\.\d+)(e-?\d+)?)\*)?(?P<second>[a-z]\w*(:.*)?)")
_SETTING = re.compile(r"(?P<name>[a-z_]+(\.[a-z_]+)+)=(?P<value>.*)")


@dataclass(frozen=True)
class StudyLoss:
    """A loss of a study, with settings of the run that apply to this loss alone."""

    loss: LossSettings
    settings: Mapping[str, Scalar]

    @property
    def title(self) -> str:
        """The loss with its parameters, and its settings by the last parts of their names."""
        own = (f"{name.rpartition('.')[2]}={value}" for name, value in self.settings.items())
        return " ".join([self.loss.title, *own])


def parse_losses(text: str) -> list[LossSettings]:
    """Parse a list of losses, separated by commas, each as ``parse_loss`` does.

    Raises:
        ConfigError: An entry is not a loss or occurs twice, or the list is empty.

    Example:
        >>> [(loss.name, loss.parameters) for loss in parse_losses("bce,reg:alpha=1:temperature=0.2")]
        [('bce', {}), ('reg', {'alpha': 1, 'temperature': 0.2})]
    """
    losses = [parse_loss(entry) for entry in text.split(",") if entry.strip()]
    _refuse_repeats([loss.title for loss in losses])
    return losses


def parse_study_losses(entries: Sequence[str]) -> list[StudyLoss]:
    """Parse losses, each with settings of its own among its parameters: those with a dot in their names.

    Raises:
        ConfigError: An entry is not a loss or occurs twice, or there is none.

    Example:
        >>> [one.title for one in parse_study_losses(["bce", "supcon:temperature=0.2:hierarchy.train_on=lowest"])]
        ['bce', 'supcon temperature=0.2 train_on=lowest']
    """
    losses = []
    for entry in entries:
        parts = "".join(entry.split()).split(":")
        own = [match for part in parts if (match := _SETTING.fullmatch(part))]
        loss = parse_loss(":".join(part for part in parts if not _SETTING.fullmatch(part)))
        losses.append(StudyLoss(loss, {match["name"]: read_value(match["value"]) for match in own}))
    _refuse_repeats([one.title for one in losses])
    return losses


def parse_loss(entry: str) -> LossSettings:
    """Parse a loss: a name, parameters after colons, and after a plus a weighted contrastive loss beside it.

    Raises:
        ConfigError: The text is empty, a parameter has no ``=``, a weight is 0, or more than two losses are joined.

    Example:
        >>> loss = parse_loss("asl:margin=0.1+0.5*reg:alpha=1")
        >>> loss.parameters, loss.joint.name, loss.joint.weight, loss.joint.parameters
        ({'margin': 0.1}, 'reg', 0.5, {'alpha': 1})
    """
    entry = "".join(entry.split())
    if not entry:
        message = "the loss is empty; expected a name, as in reg."
        raise ConfigError(message)
    match = _JOINT.fullmatch(entry)
    if match and (_JOINT.fullmatch(match["first"]) or _JOINT.fullmatch(match["second"])):
        message = f'"{entry}" joins more than two losses; a joint loss has two, as in zlpr+0.5*reg.'
        raise ConfigError(message)
    if match is None:
        values = _with_parameters(entry)
    else:
        joint = {**_with_parameters(match["second"]), "weight": float(match["weight"] or 1)}
        values = {**_with_parameters(match["first"]), "joint": joint}
    return RunSettings.build({"data": entry, "loss": values}).loss  # validated as in the settings of a run


def has_setting(loss: LossSettings, key: str) -> bool:
    """Return True if a setting applies to a loss; a setting outside the section ``loss`` applies to every loss.

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
    twice = sorted({title for title in titles if titles.count(title) > 1})
    if not titles or twice:
        message = f'"{twice[0]}" occurs twice in the list of losses.' if twice else "the list of losses is empty."
        raise ConfigError(message)


def _with_parameters(entry: str) -> dict[str, Any]:
    name, *assignments = entry.split(":")
    values: dict[str, Any] = {"name": name.strip()}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            message = f'"{assignment}" in "{entry}" is not a parameter; expected name=value, as in reg:alpha=1.'
            raise ConfigError(message)
        values[key.strip()] = read_value(value.strip())
    return values
