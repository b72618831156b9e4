"""The axes of a contrastive loss, the parameters of any loss, and the row of the catalogue that holds both.

This file loads without torch.
"""

import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from math import inf, log
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from labelcontrast.errors import ConfigError, nearest
from labelcontrast.losses.affinity import Affinity

LossKind = Literal["logit", "contrastive"]
RowKind = Literal["instances", "prototypes"]
Sharing = Literal["per_anchor", "per_label", "per_positive", "per_level", "none"]
SHARINGS: tuple[Sharing, ...] = ("per_anchor", "per_label", "per_positive")
"""Values of ``Sharing`` that a parameter can choose."""
Averaging = Literal["mean_valid", "mean_all", "label_count", "mean_kinds"]
CandidatePrior = Literal["equal", "label_mean", "label_frequency"]
SIZES = ("num_labels", "dim", "generator", "hierarchy")
"""Arguments of a loss that are not parameters: they come from the data, not from the settings."""
SETTINGS_KEYS = frozenset(("name", "weight", "joint"))
"""Keys of a loss in the settings beside its parameters."""
MODULE_ATTRIBUTES = frozenset(
    """
    function name num_labels settings T_destination add_module apply bfloat16 buffers call_super_init children compile
    cpu cuda double dump_patches eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule
    half ipu load_state_dict modules mtia named_buffers named_children named_modules named_parameters parameters
    register_backward_hook register_buffer register_forward_hook register_forward_pre_hook register_full_backward_hook
    register_full_backward_pre_hook register_load_state_dict_post_hook register_load_state_dict_pre_hook
    register_module register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_
    set_extra_state set_submodule share_memory state_dict to to_empty train training type xpu zero_grad
    """.split()  # noqa: SIM905  sixty lines as a list
)
"""Attributes of any loss module; listed here, as torch is not imported."""
CONTRASTIVE_ATTRIBUTES = frozenset(
    "bias closure contrast dim log_scales of_level pair_weights per_anchor prototypes queue repulsion steps".split()  # noqa: SIM905
)
"""Further attributes of a loss on the axes."""
LARGEST = 1e300
"""Numbers are below it, so that an integer is one in the range of floats."""
_COLLECTING = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A contrastive loss as one choice on every axis.

    Attributes:
        affinity: How similar two label sets are, from the counts of their labels.
        sharing: How an anchor's attraction is divided among its positives; ``"per_level"`` needs a hierarchy.
        averaging: Weights of the anchors in the average of their losses.
        denominator: What a positive competes with: ``"all"`` candidates, itself and the ``"negatives"``, the
            ``"negatives_alone"``, or nothing, for ``"each_pair"`` is a binary classification of its own.
        anchors: Rows that have a loss.
        candidates: Rows that attract and repel the anchors.
        prototype_affinity: Another affinity for prototypes as candidates.
        pair_prior: Factors of the pairs in the denominator, symmetric; an anchor whose factors are all 0 has no loss.
        instance_prior: Factor of the instances in the denominator, beside prototypes.
        candidate_prior: Further factors in the denominator: ``"label_mean"`` makes of it a sum over labels of the mean
            over the candidates with the label (those without any are one label more); ``"label_frequency"`` weighs the
            prototypes by the frequency of their labels among the candidates.
        between_kinds: Instances meet prototypes only, and prototypes instances only.
        views_only: The positives of an example are its other views, regardless of labels.
        bias: Initial log-odds of a pair of similarity 0, which are learned; for ``"each_pair"``.
        layer_penalty: How the levels of a hierarchy are weighted: by l, 1 for the deepest, or by learned weights.
        constrained: No pair that shares a label costs less than one that shares a label of a finer level.
        level_means: Sum the mean losses of the levels instead of the losses of single pairs.
        representatives: Above each level only one example of those with equal labels remains.

    Raises:
        ConfigError: A value is not one of its axis, an affinity is no function, or prototypes are anchors where not
            both prototypes and instances are candidates.
    """

    affinity: Affinity
    sharing: Sharing = "per_anchor"
    averaging: Averaging = "mean_valid"
    denominator: Literal["all", "negatives", "negatives_alone", "each_pair"] = "all"
    anchors: tuple[RowKind, ...] = ("instances",)
    candidates: tuple[RowKind, ...] = ("instances",)
    prototype_affinity: Affinity | None = None
    pair_prior: Affinity | None = None
    instance_prior: float = 1.0
    candidate_prior: CandidatePrior = "equal"
    between_kinds: bool = False
    views_only: bool = False
    bias: float = 0.0
    layer_penalty: Literal["exp", "pow", "uniform", "learned"] = "uniform"
    constrained: bool = False
    level_means: bool = False
    representatives: bool = False

    def __post_init__(self) -> None:
        for axis in fields(self):
            if get_origin(axis.type) is Literal:
                choice(axis.name, "", "", among=get_args(axis.type)).read(getattr(self, axis.name))
        self._check_rows()
        for name in ("affinity", "prototype_affinity", "pair_prior"):
            affinity = getattr(self, name)
            if not callable(affinity) and (affinity is not None or name == "affinity"):
                raise ConfigError(f"{name} must be a function of three counts. Got {affinity!r}.")
        factor("instance_prior", 1.0, "").read(self.instance_prior)
        log_odds("bias", 0.0, "").read(self.bias)
        if self.views_only and (self.candidates != ("instances",) or self.sharing in {"per_label", "per_level"}):
            message = "where views alone are positives, candidates must be instances and sharing without labels"
            raise ConfigError(f"{message}. Got {self.candidates!r} and {self.sharing!r}.")
        for name, neutral in {"instance_prior": 1, "candidate_prior": "equal"}.items():
            value = getattr(self, name)
            if value != neutral and self.denominator != "all":
                raise ConfigError(f'{name} must be {neutral} where the denominator is not "all". Got {value!r}.')

    def _check_rows(self) -> None:
        for name in ("anchors", "candidates"):
            rows, kinds = getattr(self, name), get_args(RowKind)
            if not isinstance(rows, tuple) or not rows or any(row not in kinds for row in rows):
                raise ConfigError(f"{name} must be a tuple of {' and '.join(kinds)}. Got {rows!r}.")
        if set(self.anchors) != {"instances"} and not set(self.anchors) == set(self.candidates) == {*get_args(RowKind)}:
            message = "anchors must be instances alone, or both kinds where both are candidates"
            raise ConfigError(f"{message}. Got {self.anchors!r}.")
        if self.between_kinds and len(self.anchors) == 1:
            raise ConfigError(f"where instances meet prototypes only, both must be anchors. Got {self.anchors!r}.")

    @property
    def log_factor(self) -> float:
        """Largest logarithm of what multiplies an exponential: the priors of both rows, and the odds."""
        of_soft_label = 40.0 if self.candidate_prior == "label_mean" else 0.0  # of one of 1e-12 among 1e4 others
        return 2 * abs(log(self.instance_prior)) + abs(self.bias) + of_soft_label


@dataclass(frozen=True)
class Parameter:
    """A parameter of a loss: its default, its meaning, and the values that it accepts."""

    name: str
    default: object
    meaning: str
    expected: str
    accepts: Callable[[object], bool]
    real: bool = False

    def read(self, value: object) -> object:
        """Return the value, a real number as a float; raise ConfigError where it is not accepted."""
        if not self.accepts(value):
            raise ConfigError(f"{self.name} must be {self.expected}. Got {shown(value)}.")
        return float(value) if self.real and isinstance(value, int) else value


@dataclass(frozen=True, kw_only=True)
class LossRow:
    """One loss of the catalogue.

    Attributes:
        name: The name that :func:`make_loss` takes.
        kind: What the loss is computed on: logits, or projections for a contrastive one.
        summary: One sentence.
        equation: In LaTeX.
        reference: Where it was published.
        takes: Its parameters.
        presets: Named sets of parameters, chosen by the parameter ``preset``.
        contrast: The choice on the axes, as a function of some of the parameters; for a loss on the axes.
        function: Computes or makes a loss that is not on the axes: see :func:`register_loss`.
    """

    name: str
    kind: LossKind
    summary: str
    equation: str = ""
    reference: str = ""
    takes: tuple[Parameter, ...] = ()
    presets: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    contrast: Callable[..., Contrast] | None = None
    function: Callable[..., Any] | None = None

    @property
    def parameters(self) -> dict[str, object]:
        """Every parameter with its default."""
        return {parameter.name: parameter.default for parameter in self.takes}

    @property
    def needs_hierarchy(self) -> bool:
        """True if the loss sums over the levels of a hierarchy."""
        contrast = self.contrast_of(self.parameters)
        return contrast is not None and contrast.sharing == "per_level"

    def contrast_of(self, settings: Mapping[str, Any]) -> Contrast | None:
        """Return the choice on the axes under these settings; None for a loss that is not on the axes."""
        if self.contrast is None:
            return None
        return self.contrast(**{name: settings[name] for name in inspect.signature(self.contrast).parameters})


def check_values(owner: str, parameters: Iterable[Parameter], values: Mapping[str, object]) -> dict[str, object]:
    """Return the values completed with the defaults.

    Raises:
        ConfigError: ``owner`` has no parameter of a name, or a parameter does not accept its value.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for name in values:
        if name not in known:
            offered = f"It has: {', '.join(known)}." if known else "It takes no parameters."
            raise ConfigError(f"{owner} has no parameter {name!r}{nearest(name, known)}. {offered}")
    return {name: parameter.read(values.get(name, parameter.default)) for name, parameter in known.items()}


def number(name: str, default: float, meaning: str, *, low: float, high: float) -> Parameter:
    """Describe a number from ``low`` to ``high``."""
    words = f"a number from {low:g} to {high:g}"
    return Parameter(name, default, meaning, words, lambda value: _is_number(value, low, high), real=True)


def factor(name: str, default: float, meaning: str) -> Parameter:
    """Describe a factor of an exponential, whose square and that of its inverse are in the range of float64."""
    return number(name, default, meaning, low=1e-20, high=1e20)


def log_odds(name: str, default: float, meaning: str) -> Parameter:
    """Describe the logarithm of a factor of an exponential."""
    return number(name, default, meaning, low=-50.0, high=50.0)


def optional_number(name: str, meaning: str, *, low: float, high: float) -> Parameter:
    """Describe a number from ``low`` to ``high``, or None, the default, for "off"."""
    words = f"a number from {low:g} to {high:g}, or None"
    return Parameter(name, None, meaning, words, lambda value: value is None or _is_number(value, low, high), real=True)


def whole_number(name: str, default: int | None, meaning: str, *, low: int) -> Parameter:
    """Describe a whole number from ``low`` upwards, or None, where that is the default."""
    words = f"a whole number from {low}{', or None' if default is None else ''}"
    return Parameter(
        name,
        default,
        meaning,
        words,
        lambda value: value is default or (isinstance(value, int) and _is_number(value, float(low))),
    )


def choice(name: str, default: str, meaning: str, *, among: Iterable[str]) -> Parameter:
    """Describe one of a few words."""
    words = tuple(among)
    return Parameter(
        name, default, meaning, f"one of {', '.join(words)}", lambda value: isinstance(value, str) and value in words
    )


def flag(name: str, meaning: str, *, default: bool) -> Parameter:
    """Describe True or False."""
    return Parameter(name, default, meaning, "True or False", lambda value: isinstance(value, bool))


def contrastive(*own: Parameter, averaging: str = "mean_valid", stop_repulsion: float = 0.0) -> tuple[Parameter, ...]:
    """List the parameters of a contrastive loss: its own, and those that all have."""
    return (
        number("temperature", 0.1, "the similarities are divided by it", low=0.002, high=1e3),
        *own,
        number(
            "stop_repulsion",
            stop_repulsion,
            "share of a positive's repulsion that is stopped; 1 is L_REG",
            low=0.0,
            high=1e3,
        ),
        choice(
            "reduction",
            averaging,
            "mean over anchors with a positive, over all, by their number of labels, or of instances and of prototypes"
            " apart; sum; or a term for each anchor",
            among=("mean_valid", "mean_all", "label_count", "mean_kinds", "sum", "none"),
        ),
        number(
            "label_power", 0.0, "power of an anchor's number of labels that its loss is weighed by", low=-5.0, high=5.0
        ),
        optional_number(
            "base_temperature", "multiplies the loss by temperature / base_temperature", low=1e-3, high=1e3
        ),
        choice(
            "anchor_views", "all", "with several views, whether all are anchors or the first", among=("all", "first")
        ),
        whole_number("queue_size", 0, "how many earlier projections are candidates too", low=0),
        flag("gather", "whether the projections of all processes are candidates", default=False),
        flag("diagnostics", "whether to compute statistics of pairs beside the loss", default=False),
        whole_number("block_size", None, "rows of a block of pairs; it changes the memory, and no result", low=1),
    )


def parameters_of(function: Callable[..., Any], *, skip: int = 0) -> tuple[Parameter, ...]:
    """Derive the parameters of a loss from the signature of a function.

    The annotation, or else the type of the default, gives the check: float, int, bool, str, ``Literal[...]``, or one of
    them or None. ``Annotated[float, "a sentence"]`` gives the meaning.

    Args:
        function: Its arguments named in ``SIZES`` are no parameters.
        skip: Number of leading arguments to leave out.

    Raises:
        ConfigError: An argument has no default, or is of another type.

    Example:
        >>> def margin(power: Annotated[float, "of the share"] = 1.0, base: Literal["any", "exact"] = "any"): ...
        >>> [(p.name, p.default, p.expected) for p in parameters_of(margin)]
        [('power', 1.0, 'a finite number'), ('base', 'any', 'one of any, exact')]
    """
    named = [one for one in inspect.signature(function).parameters.values() if one.kind not in _COLLECTING]
    arguments = [one for one in named if one.name not in SIZES][skip:]
    try:
        typed = vars(function).get("__init__", function) if isinstance(function, type) else function
        hints = get_type_hints(typed, include_extras=True)
    except (NameError, TypeError):  # annotations that are known to type checkers only
        hints = {}
    return tuple(_parameter(argument, hints.get(argument.name)) for argument in arguments)


def _parameter(argument: inspect.Parameter, hint: Any) -> Parameter:  # noqa: ANN401
    name, default = argument.name, argument.default
    if default is inspect.Parameter.empty:
        raise ConfigError(f"parameter {name} of a loss needs a default.")
    meaning = ""
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        meaning = next((note for note in notes if isinstance(note, str)), "")
    options = get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint or type(default),)
    accepted, words, kinds = [], [], [one for one in options if one is not types.NoneType]
    for one in kinds:
        accept, expected = _check_of(name, one)
        accepted.append(accept)
        words.append(expected)
    if default is None or len(kinds) < len(options):
        accepted.append(lambda value: value is None)
        words.append("None")
    parameter = Parameter(
        name, default, meaning, ", or ".join(words), lambda value: any(one(value) for one in accepted), float in kinds
    )
    parameter.read(default)
    return parameter


def _check_of(name: str, kind: object) -> tuple[Callable[[object], bool], str]:
    """Return what values of a type pass, and how to say it."""
    if get_origin(kind) is Literal:
        words = get_args(kind)
        return lambda value: value in words, f"one of {', '.join(str(word) for word in words)}"
    checks: dict[object, tuple[Callable[[object], bool], str]] = {
        float: (_is_number, "a finite number"),
        int: (lambda value: isinstance(value, int) and _is_number(value), "a whole number"),
        bool: (lambda value: isinstance(value, bool), "True or False"),
        str: (lambda value: isinstance(value, str), "a word"),
    }
    if kind not in checks:
        message = f"parameter {name} of a loss must be a float, int, bool, str or Literal"
        raise ConfigError(f"{message}. Got {getattr(kind, '__name__', kind)}.")
    return checks[kind]


def shown(value: object) -> str:
    """Return a value as it is written, on one line that is not long."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _is_number(value: object, low: float = -inf, high: float = inf) -> bool:
    """Return True for a finite int or float in the range; not for True and False."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return low <= value <= high and -LARGEST < value < LARGEST
