"""What a row of the catalogue is made of: the parameters of a loss, and its choice on every axis; without torch."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any, Literal

from labelcontrast.errors import ConfigError, nearest
from labelcontrast.losses.affinity import Affinity

RowKind = Literal["instances", "prototypes"]
Sharing = Literal["per anchor", "per label", "per level", "per positive", "none"]
SHARINGS: dict[str, Sharing] = {"per_anchor": "per anchor", "per_label": "per label", "per_positive": "per positive"}
"""Those that a parameter can choose, in one word each."""
Negatives = Literal["all", "negatives", "none"]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a loss."""

    name: str
    default: object
    meaning: str
    expected: str
    accepts: Callable[[object], bool]
    real: bool = False

    def read(self, value: object) -> object:
        """Return the value, a real number as a float; raise ConfigError where it is not accepted."""
        if not self.accepts(value):
            raise ConfigError(f"{self.name} must be {self.expected}. Got {value!r}.")
        return float(value) if self.real and isinstance(value, int) else value


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One choice on every axis.

    Attributes:
        affinity: how alike two label sets are; or, with ``tuned_by``, what makes that out of one parameter.
        tuned_by: the name of this parameter.
        sharing: how an anchor's attraction is split among its positives; per level it needs a hierarchy.
        sharing_by: the name of the parameter that says so instead.
        averaging: what the losses of the anchors are weighed with.
        constrained: no pair that shares a label costs less than one that shares a label of a finer level.
        rivals: what a positive has to win against: all candidates, the negatives, or nobody, each pair being judged by
            itself.
        anchors: who is pulled.
        candidates: who pulls and pushes.
        prototype_affinity: another affinity, to prototypes.
        pair_prior: what each pair is multiplied with in the denominator, symmetric in the two; an anchor that it leaves
            without candidates has no loss.
        instance_prior: the name of the parameter that instances are multiplied with in the denominator.
        views_only: the positives of an example are its other views, whatever the labels.
    """

    affinity: Callable[..., Any]
    tuned_by: str | None = None
    sharing: Sharing = "per anchor"
    sharing_by: str | None = None
    averaging: Literal["mean_valid", "mean_all", "label_count"] = "mean_valid"
    constrained: bool = False
    rivals: Negatives = "all"
    anchors: tuple[RowKind, ...] = ("instances",)
    candidates: tuple[RowKind, ...] = ("instances",)
    prototype_affinity: Affinity | None = None
    pair_prior: Affinity | None = None
    instance_prior: str | None = None
    views_only: bool = False

    def affinity_for(self, settings: Mapping[str, Any]) -> Affinity:
        """Return the affinity, tuned where it is to be."""
        tuned: Affinity = self.affinity if self.tuned_by is None else self.affinity(settings[self.tuned_by])
        return tuned

    def sharing_for(self, settings: Mapping[str, Any]) -> Sharing:
        """Return the sharing, chosen where it is to be."""
        return self.sharing if self.sharing_by is None else SHARINGS[settings[self.sharing_by]]


@dataclass(frozen=True, kw_only=True)
class LossRow:
    """One loss: what it is called, takes, and computes, and where it comes from.

    Attributes:
        name: what :func:`make_loss` knows it by.
        kind: what it is computed on: ``"logit"`` or ``"contrastive"``.
        summary: one sentence.
        equation: in LaTeX.
        reference: where it was published.
        takes: its parameters.
        presets: named sets of parameters, chosen by a parameter of that name.
        contrast: the axes, of a contrastive loss.
    """

    name: str
    kind: Literal["logit", "contrastive"]
    summary: str
    equation: str
    reference: str
    takes: tuple[Parameter, ...] = ()
    presets: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    contrast: Contrast | None = None

    @property
    def needs_hierarchy(self) -> bool:
        """Whether the loss is one of levels."""
        return self.contrast is not None and self.contrast.sharing == "per level"

    @property
    def parameters(self) -> dict[str, object]:
        """Every parameter with its default."""
        return {parameter.name: parameter.default for parameter in self.takes}


def check_values(owner: str, parameters: Iterable[Parameter], values: Mapping[str, object]) -> dict[str, object]:
    """Complete the values with the defaults.

    Raises:
        ConfigError: a value for a parameter that ``owner`` does not have, or one that its parameter does not accept.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for name in values:
        if name not in known:
            raise ConfigError(f"{owner} has no parameter {name!r}{nearest(name, known)}. It has: {', '.join(known)}.")
    return {name: parameter.read(values.get(name, parameter.default)) for name, parameter in known.items()}


def number(name: str, default: float, meaning: str, *, low: float = -inf, above: bool = False) -> Parameter:
    """A finite number, from ``low`` upwards or ``above`` it."""
    words = "a finite number" if low == -inf else f"a number {'above' if above else 'from'} {low:g}"
    return Parameter(
        name, default, meaning, words, lambda value: _is_number(value, low) and not (above and value == low), real=True
    )


def optional_number(name: str, meaning: str, *, high: float = inf) -> Parameter:
    """A number above 0, up to ``high``; or None, the default, which turns the thing off."""
    words = f"a number above 0{'' if high == inf else f' and up to {high:g}'}, or None"
    return Parameter(
        name,
        None,
        meaning,
        words,
        lambda value: value is None or (_is_number(value, 0.0, high) and value != 0),
        real=True,
    )


def whole_number(name: str, default: int | None, meaning: str, *, low: int) -> Parameter:
    """A whole number from ``low`` upwards; None too, where that is the default."""
    words = f"a whole number from {low}{', or None' if default is None else ''}"
    return Parameter(
        name,
        default,
        meaning,
        words,
        lambda value: value is default or (isinstance(value, int) and _is_number(value, float(low))),
    )


def choice(name: str, default: str, meaning: str, *, among: Iterable[str]) -> Parameter:
    """One of a few words."""
    words = tuple(among)
    return Parameter(name, default, meaning, f"one of {', '.join(words)}", lambda value: value in words)


def flag(name: str, meaning: str, *, default: bool) -> Parameter:
    """True or False."""
    return Parameter(name, default, meaning, "True or False", lambda value: isinstance(value, bool))


def contrastive(*own: Parameter, averaging: str = "mean_valid", stop_repulsion: float = 0.0) -> tuple[Parameter, ...]:
    """The parameters of one contrastive loss, and those of all."""
    return (
        number("temperature", 0.1, "the similarities are divided by it", low=0.002),
        *own,
        number(
            "stop_repulsion", stop_repulsion, "share of a positive's repulsion that is stopped; 1 is L_REG", low=0.0
        ),
        choice(
            "reduction",
            averaging,
            "mean over anchors with a positive, over all, or by their number of labels; sum; or a term an anchor",
            among=("mean_valid", "mean_all", "label_count", "sum", "none"),
        ),
        optional_number("base_temperature", "multiplies the loss by temperature / base_temperature"),
        choice(
            "anchor_views", "all", "with several views, whether all are anchors or the first", among=("all", "first")
        ),
        whole_number("queue_size", 0, "how many earlier projections are candidates too", low=0),
        flag("gather", "whether the projections of all processes are candidates", default=False),
        flag("diagnostics", "whether to count, on the way, what the training can be judged by", default=False),
        whole_number("block_size", None, "rows of a block of pairs; it changes the memory, and no result", low=1),
    )


def _is_number(value: object, low: float = -inf, high: float = inf) -> bool:
    """Whether it is a finite int or float of a range; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and low <= value <= high
