"""The sections of a run's settings: frozen, complete; the defaults stand here and in the run's own, nowhere else."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt
from pydantic_core import PydanticCustomError

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


class Hierarchy(Settings):
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
