"""The catalogue: every loss as a row of data, and the registration of further ones.

A contrastive loss is a choice on a few axes, and one kernel computes them all, so a new loss is a new row. This file
loads without torch: the command line lists the losses and refuses a wrong name at once.
"""

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.metadata import entry_points
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from labelcontrast.errors import ConfigError, nearest
from labelcontrast.losses.affinity import (
    AFFINITIES,
    any_shared,
    coverage,
    discounted_overlap,
    everyone,
    inverse_union,
    jaccard,
)
from labelcontrast.losses.axes import (
    SHARINGS,
    SIZES,
    Contrast,
    LossKind,
    LossRow,
    Parameter,
    check_values,
    choice,
    contrastive,
    flag,
    number,
    optional_number,
    parameters_of,
)

ENTRY_POINTS = "labelcontrast.losses"
"""Group of the entry points by which an installed package offers losses."""


def loss_catalogue() -> list[LossRow]:
    """Return every loss, with its equation, its reference, and its parameters with their defaults.

    Example:
        >>> [row.name for row in loss_catalogue() if row.kind == "logit"]
        ['bce', 'focal', 'asl', 'lsep', 'zlpr']
    """
    _load_entry_points()
    return list(_ROWS.values())


def loss_row(name: str) -> LossRow:
    """Return the loss of a name.

    Raises:
        ConfigError: There is no loss of this name; the message has the nearest one.
    """
    if name not in _ROWS:
        _load_entry_points()
    if name not in _ROWS:
        raise ConfigError(f"there is no loss {name!r}{nearest(name, _ROWS)}. There are: {', '.join(_ROWS)}.")
    return _ROWS[name]


def check_loss(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a loss completed with its defaults, without loading torch.

    Args:
        name: A name of the catalogue.
        parameters: Those that differ from the defaults.

    Raises:
        ConfigError: There is no such loss or parameter, or the parameter does not accept the value.

    Example:
        >>> check_loss("zlpr", {})
        {'reduction': 'mean'}
        >>> check_loss("reg", {"temprature": 0.1})
        Traceback (most recent call last):
        labelcontrast.errors.ConfigError: reg has no parameter 'temprature' (did you mean "temperature"?). ...
    """
    row = loss_row(name)
    preset = row.presets.get(str(parameters.get("preset")), {})
    return check_values(row.name, row.takes, {**preset, **parameters})


def register_loss(
    name: str | LossRow,
    loss: object = None,
    *,
    kind: str | None = None,
    summary: str = "",
    equation: str = "",
    reference: str = "",
) -> None:
    """Add a loss of your own to the catalogue, for :func:`make_loss`, the settings, and ``labelcontrast.losses``.

    The command line has it too, from a file given as ``--plugin``. Registering a name again from the same module, as a
    notebook cell does that is run twice, replaces the loss.

    Args:
        name: A new name, an identifier; or a whole row.
        loss: One of three.

            - A :class:`Contrast`, or a function of parameters that returns one: a loss on the axes. It has the
              parameters of all contrastive losses beside those of the function.
            - With ``kind``, a function ``(logits or projections, labels, *, parameters) -> scalar``.
            - With ``kind``, a class or function of parameters that makes such a function or module. It is also handed
              ``num_labels``, ``dim``, ``generator`` or ``hierarchy`` where it has an argument of that name.

            Names, types and defaults of the parameters are those of the signature; ``Annotated[float, "meaning"]``
            explains one.
        kind: ``"logit"`` or ``"contrastive"``, for a loss that is not on the axes.
        summary: One sentence; by default the first line of the docstring.
        equation: In LaTeX.
        reference: Where it was published.

    Raises:
        ConfigError: The name is that of a built-in loss or was registered by another module, or is not an identifier;
            or ``loss`` is none of these.

    Example:
        >>> from labelcontrast.losses import Contrast, coverage, unregister_loss
        >>> def strict(power: float = 2.0) -> Contrast:
        ...     "A candidate with other labels attracts less."
        ...     return Contrast(affinity=coverage(power), sharing="per_label")
        >>> register_loss("strict", strict)
        >>> check_loss("strict", {"temperature": 0.2})["power"]
        2.0
        >>> unregister_loss("strict")
    """
    row = name if isinstance(name, LossRow) else _row_of(name, loss, kind)
    row = replace(
        row,
        summary=summary or row.summary,
        equation=equation or row.equation,
        reference=reference or row.reference,
    )
    _register(row, by=str(sys._getframe(1).f_globals.get("__name__")))  # noqa: SLF001


def is_built_in(name: str) -> bool:
    """Return True if a loss is one of this package, and was not registered."""
    return _ROWS.get(name) in _BUILT_IN


def unregister_loss(name: str) -> None:
    """Remove a loss that was registered.

    Raises:
        ConfigError: There is no loss of this name, or it is built in.
    """
    if name not in _REGISTERED_BY:
        raise ConfigError(f"there is no registered loss {name!r}.")
    del _ROWS[name], _REGISTERED_BY[name]


def load_plugin(path: str | Path) -> None:
    """Run a Python file that registers losses; a file that has been run before is not run again.

    Raises:
        ConfigError: The file is missing, is not Python, raises, or registers no loss.
    """
    file = Path(path).resolve()
    if file in _PLUGINS:
        return
    if not file.is_file():
        raise ConfigError(f"plugin {path}: there is no such file.")
    name = f"labelcontrast_plugin_{file.stem}_{len(_PLUGINS)}"
    rows, registered_by = dict(_ROWS), dict(_REGISTERED_BY)
    loader = SourceFileLoader(name, str(file))
    module = module_from_spec(ModuleSpec(name, loader, origin=str(file)))
    module.__file__ = str(file)
    sys.modules[name] = module  # classes that it defines can be pickled
    try:
        loader.exec_module(module)
        if all(row is rows.get(row.name) for row in _ROWS.values()):
            raise ConfigError("it registers no loss; it must call labelcontrast.register_loss.")
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        _restore(_ROWS, rows)
        _restore(_REGISTERED_BY, registered_by)
        raise ConfigError(f"plugin {path} cannot be loaded: {_one_line(error)}") from error
    _PLUGINS.add(file)


def _load_entry_points() -> None:
    """Load the losses of installed packages, once; an entry point is what ``register_loss`` takes, or a module."""
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.value in _LOADED_ENTRY_POINTS:
            continue
        _LOADED_ENTRY_POINTS.add(entry.value)
        try:
            loss = entry.load()
            if not isinstance(loss, ModuleType) and entry.name not in _ROWS:
                _register(loss if isinstance(loss, LossRow) else _row_of(entry.name, loss, None), by=entry.value)
        except Exception as error:
            raise ConfigError(f"the loss {entry.name} of {entry.value} cannot be loaded: {_one_line(error)}") from error


def _register(row: LossRow, *, by: str) -> None:
    """Add a row, or replace one that the same module registered."""
    if not isinstance(row.name, str) or not row.name.isidentifier():
        raise ConfigError(f"the name of a loss must be an identifier, as my_loss. Got {row.name!r}.")
    if row.name in _ROWS and _REGISTERED_BY.get(row.name) != by:
        raise ConfigError(f"there is already a loss {row.name!r}.")
    _ROWS[row.name] = row
    _REGISTERED_BY[row.name] = by


def _restore(table: dict[str, Any], before: Mapping[str, Any]) -> None:
    table.clear()
    table.update(before)


def _one_line(error: BaseException) -> str:
    """Return the first line of an error's message, after its type where it is not ours."""
    text = next(iter(str(error).splitlines()), "")
    return text if isinstance(error, ConfigError) else f"{type(error).__name__}: {text}".removesuffix(": ")


def _row_of(name: str, loss: object, kind: str | None) -> LossRow:
    """Describe a loss from its signature and docstring."""
    summary = next(iter((inspect.getdoc(loss) or "").splitlines()), "") if not isinstance(loss, Contrast) else ""
    if isinstance(loss, Contrast):
        return _contrastive(name, summary, contrast=lambda: loss)
    if not callable(loss):
        raise ConfigError(f"a loss must be a Contrast or a function. Got {type(loss).__name__}.")
    if kind is None:
        if computes(loss):
            message = f"{name} has two arguments without a default"
            raise ConfigError(f'{message}: give kind="logit" or kind="contrastive", or return a Contrast.')
        own = parameters_of(loss)
        if not isinstance(loss(**{one.name: one.default for one in own}), Contrast):
            raise ConfigError(f'{name} must return a Contrast; for another loss give kind="logit" or "contrastive".')
        return _contrastive(name, summary, contrast=loss, takes=own)
    kinds: dict[str, LossKind] = {"logit": "logit", "contrastive": "contrastive"}
    if kind not in kinds:
        raise ConfigError(f"kind must be one of logit, contrastive. Got {kind!r}.")
    own = parameters_of(loss, skip=2 if computes(loss) else 0)
    return LossRow(name=name, kind=kinds[kind], summary=summary, takes=own, function=loss)


def computes(function: Callable[..., Any]) -> bool:
    """Return True for a function of two tensors, False for a class or function that makes a loss of parameters."""
    arguments = [one for one in inspect.signature(function).parameters.values() if one.name not in SIZES]
    return len([one for one in arguments if one.kind is one.POSITIONAL_OR_KEYWORD and one.default is one.empty]) == 2


def _logit(
    name: str,
    summary: str,
    equation: str,
    reference: str,
    *own: Parameter,
    reduction: str = "mean",
    presets: Mapping[str, Mapping[str, object]] = {},
) -> LossRow:
    takes = (*own, choice("reduction", reduction, "mean, sum, or none of both", among=("mean", "sum", "none")))
    return LossRow(
        name=name,
        kind="logit",
        summary=summary,
        equation=equation,
        reference=reference,
        takes=takes,
        presets=presets,
    )


def _contrastive(
    name: str,
    summary: str,
    equation: str = "",
    reference: str = "",
    *,
    contrast: Callable[..., Contrast],
    takes: tuple[Parameter, ...] = (),
    stop_repulsion: float = 0.0,
) -> LossRow:
    averaging = contrast(**{parameter.name: parameter.default for parameter in takes}).averaging
    return LossRow(
        name=name,
        kind="contrastive",
        summary=summary,
        equation=equation,
        reference=reference,
        takes=contrastive(*takes, averaging=averaging, stop_repulsion=stop_repulsion),
        contrast=contrast,
    )


def _coverage_per_label(alpha: float, prototype_anchors: bool) -> Contrast:  # noqa: FBT001
    return Contrast(
        affinity=coverage(alpha),
        sharing="per_label",
        anchors=("instances", "prototypes") if prototype_anchors else ("instances",),
        candidates=("instances", "prototypes"),
    )


def _over_levels(layer_penalty: Any, variant: str, constraint: str | None) -> Contrast:  # noqa: ANN401
    return Contrast(
        affinity=any_shared,
        sharing="per_level",
        layer_penalty=layer_penalty,
        constrained=constraint is not None,
        level_means=variant == "released" or constraint == "levels" or layer_penalty == "learned",
        representatives=variant == "released",
    )


_POSITIVES = choice("positives", "any", "share any label, or exactly all", among=("any", "exact"))
_COVERAGE = (
    number("alpha", 0.0, "power of the share of a candidate's labels that are the anchor's; below 0 a threshold"),
    flag("prototype_anchors", "whether prototypes are anchors too", default=True),
)
_PENALTY = choice(
    "layer_penalty",
    "exp",
    "weight of a level, l being 1 for the deepest: e^(1/l), 2^(1/l), 1, or e^-s, s being learned",
    among=("exp", "pow", "uniform", "learned"),
)
_VARIANT = choice(
    "variant",
    "paper",
    "as printed; or as the authors' code: above each level one example remains of those with equal labels",
    among=("paper", "released"),
)
_CONSTRAINT = choice(
    "constraint",
    "pairs",
    "whether single pairs, or as in the authors' code the losses of whole levels, are held above finer ones",
    among=("pairs", "levels"),
)
_STUDY = "Audibert et al., Multi-Label Contrastive Learning: A Comprehensive Study, 2024 (arXiv 2412.00101)"
_HIERARCHICAL = "Zhang et al., Use All the Labels: A Hierarchical Multi-Label Contrastive Learning Framework, 2022"
_PER_LABEL = r"-\frac{1}{|y_i|} \sum_{c \in y_i} \frac{1}{N_{ic}} \sum_{j \in P(c,i)}"

_BUILT_IN = (
    _logit(
        "bce",
        "Binary cross-entropy of every label.",
        r"-y \log \sigma(x) - (1 - y) \log \sigma(-x)",
        "the maximum likelihood of independent labels",
    ),
    _logit(
        "focal",
        "Binary cross-entropy with less weight on labels that are already right.",
        r"-\alpha_t (1 - p_t)^\gamma \log p_t",
        "Lin et al., Focal Loss for Dense Object Detection, 2017 (arXiv 1708.02002)",
        number("gamma", 2.0, "focusing: how fast the weight falls; 0 is binary cross-entropy", low=0.0),
        optional_number("alpha", "weight of positive labels, 1 - alpha of negative ones; None: 1 and 1", high=1.0),
    ),
    _logit(
        "asl",
        "Focal, with a gamma each for positives and negatives, and easy negatives dropped.",
        r"-y (1 - p)^{\gamma_+} \log p - (1 - y) p_m^{\gamma_-} \log(1 - p_m), \; p_m = \max(p - m, 0)",
        "Ridnik et al., Asymmetric Loss For Multi-Label Classification, 2021 (arXiv 2009.14119)",
        choice("preset", "asl", "its authors' settings, or those of the study", among=("asl", "study")),
        number("gamma_neg", 4.0, "focusing of negatives", low=0.0),
        number("gamma_pos", 1.0, "focusing of positives", low=0.0),
        number("margin", 0.05, "negatives with a probability below it cost nothing", low=0.0),
        flag("detach_focus", "hold the focusing factors constant in the gradient", default=True),
        reduction="sum",
        presets={
            "study": {"gamma_neg": 1.0, "gamma_pos": 0.0, "margin": 0.0, "detach_focus": False, "reduction": "mean"}
        },
    ),
    _logit(
        "lsep",
        "Log-sum-exp of all wrongly ranked pairs of labels.",
        r"\log(1 + \sum_{u \in y} \sum_{v \notin y} e^{x_v - x_u})",
        "Li et al., Improving Pairwise Ranking for Multi-label Image Classification, 2017 (arXiv 1704.03135)",
    ),
    _logit(
        "zlpr",
        "Positives above 0, negatives below, with one softmax for each side.",
        r"\log(1 + \sum_{u \in y} e^{-x_u}) + \log(1 + \sum_{v \notin y} e^{x_v})",
        "Su et al., ZLPR: A Novel Loss for Multi-label Classification, 2022 (arXiv 2208.02955)",
    ),
    _contrastive(
        "simclr",
        "Augmented views of an example attract each other; labels are ignored.",
        r"-\frac{1}{|V(i)|} \sum_{j \in V(i)} \log p_{ij}",
        "Chen et al., A Simple Framework for Contrastive Learning, 2020 (arXiv 2002.05709)",
        contrast=lambda: Contrast(affinity=any_shared, views_only=True),
    ),
    _contrastive(
        "supcon",
        "All examples that share a label, or the whole label set, attract equally.",
        r"-\frac{1}{|P(i)|} \sum_{j \in P(i)} \log p_{ij}",
        "Khosla et al., Supervised Contrastive Learning, 2020 (arXiv 2004.11362)",
        takes=(_POSITIVES,),
        contrast=lambda positives: Contrast(affinity=AFFINITIES[positives]),
    ),
    _contrastive(
        "base",
        "Two examples attract in proportion to the Jaccard similarity of their label sets.",
        r"-\frac{1}{\sum_k J_{ik}} \sum_j J_{ij} \log p_{ij}, J_{ij} = |y_i \cap y_j| / |y_i \cup y_j|",
        f"{_STUDY}, Eq. 1",
        contrast=lambda: Contrast(affinity=jaccard),
    ),
    _contrastive(
        "jscl",
        "All candidates attract equally, and Jaccard weighs the denominator, as coded by CL-MTC. Prefer base.",
        r"-\frac{1}{B - 1} \sum_{j \ne i} \Bigl( s_{ij} - \log \sum_{k \ne i} J_{ik} e^{s_{ik}} \Bigr)",
        "Lin et al., Effective Deployment of Contrastive Learning in Multi-label Text Classification, 2023",
        contrast=lambda: Contrast(affinity=everyone, pair_prior=jaccard),
    ),
    _contrastive(
        "proto",
        "An example is attracted by the prototypes of its labels, and repelled by all prototypes.",
        r"-\frac{1}{|y_i|} \sum_{c \in y_i} \log p_{ic}",
        f"{_STUDY}, Eq. 2",
        contrast=lambda: Contrast(affinity=any_shared, sharing="per_label", candidates=("prototypes",)),
    ),
    _contrastive(
        "mulsupcon",
        "Every label of an example is an anchor of its own, so examples with many labels weigh more.",
        r"-\sum_{c \in y_i} \frac{1}{|P(c,i)|} \sum_{j \in P(c,i)} \log p_{ij} \;\Big/\; \sum_k |y_k|",
        "Zhang and Wu, Multi-Label Supervised Contrastive Learning, 2024 (arXiv 2402.01613)",
        contrast=lambda: Contrast(affinity=any_shared, sharing="per_label", averaging="label_count"),
    ),
    _contrastive(
        "msc",
        "Each label attracts equally, rare or frequent; prototypes help the rare, beta reduces the repulsion.",
        _PER_LABEL + r" \frac{\alpha}{|y_i \cup y_j|} \log p_{ij}, \; g = \beta \text{ on instances}",
        "Audibert et al., Exploring Contrastive Learning for Long-Tailed Text Classification, 2024",
        takes=(
            number("alpha", 1.0, "weight of instances beside prototypes among the positives", low=0.0),
            number("beta", 0.1, "weight of instances beside prototypes in the denominator", low=0.0, above=True),
        ),
        contrast=lambda alpha, beta: Contrast(
            affinity=inverse_union(alpha),
            sharing="per_label",
            candidates=("instances", "prototypes"),
            prototype_affinity=any_shared,
            instance_prior=beta,
        ),
    ),
    _contrastive(
        "wo_reg",
        "Each label of an example attracts equally, among instances and prototypes.",
        _PER_LABEL + r" f_{ij} \log p_{ij}, \; f_{ij} = (|y_i \cap y_j| / |y_j|)^\alpha",
        f"{_STUDY}, Eq. 16 to 19 without Eq. 11",
        takes=_COVERAGE,
        contrast=_coverage_per_label,
    ),
    _contrastive(
        "reg",
        "As wo_reg, and no positive is ever repelled.",
        _PER_LABEL + r" f_{ij} \log p_{ij} - \sum_{j \in P(i)} \max(0, p_{ij} - W_{ij}) s_{ij}",
        f"{_STUDY}, Eq. 11 and 14 to 19",
        takes=_COVERAGE,
        contrast=_coverage_per_label,
        stop_repulsion=1.0,
    ),
    _contrastive(
        "sincere",
        "As supcon, but each positive competes with the negatives only, and repels no other positive.",
        r"\frac{1}{|P(i)|} \sum_{j \in P(i)} \log (e^{s_{ij}} + \sum_{k \notin P(i)} e^{s_{ik}}) - s_{ij}",
        "Feeney and Hughes, SINCERE: Supervised InfoNCE Revisited, 2023 (arXiv 2309.14277)",
        takes=(_POSITIVES,),
        contrast=lambda positives: Contrast(affinity=AFFINITIES[positives], denominator="negatives"),
    ),
    _contrastive(
        "similarity_dissimilarity",
        "Positives are weighted by the share of the anchor's labels they have, and less for every other label.",
        r"-\frac{1}{|P(i)|} \sum_j \frac{|y_i \cap y_j|}{|y_i| (1 + |y_j \setminus y_i|)} \log p_{ij}",
        "Huang et al., Similarity-Dissimilarity Loss for Multi-label Contrast, 2024 (arXiv 2410.13439)",
        contrast=lambda: Contrast(affinity=discounted_overlap, sharing="per_positive"),
    ),
    _contrastive(
        "jaccard_sigmoid",
        "For each pair alone, a sigmoid of the similarity predicts the Jaccard similarity of the label sets.",
        r"-\sum_{j \ne i} J_{ij} \log \sigma(s_{ij} + b) + (1 - J_{ij}) \log \sigma(-s_{ij} - b)",
        "Takahashi et al., Multi Label ECG Classification with Jaccard Sigmoid Loss, 2026 (arXiv 2602.10553)",
        takes=(number("bias", -10.0, "initial value of b, which is learned; SigLIP begins at -10"),),
        contrast=lambda bias: Contrast(
            affinity=jaccard, sharing="none", averaging="mean_all", denominator="each_pair", bias=bias
        ),
    ),
    _contrastive(
        "weighted",
        "Affinity and sharing as you choose: the axes of supcon, base and mulsupcon, in any combination.",
        r"-\sum_j W_{ij} \log p_{ij}, \; W \text{ shared out of } F_{ij} = f(|y_i \cap y_j|, |y_i|, |y_j|)",
        "none; a study can vary one axis of the published losses at a time",
        takes=(
            choice("affinity", "any", "similarity of two label sets; coverage has the power 1", among=AFFINITIES),
            choice("sharing", "per_anchor", "how an anchor's attraction is divided", among=SHARINGS),
        ),
        contrast=lambda affinity, sharing: Contrast(affinity=AFFINITIES[affinity], sharing=sharing),
    ),
    _contrastive(
        "himulcon",
        "SupCon at every level of a hierarchy, as a weighted sum over the levels.",
        r"-\sum_l \frac{\lambda_l}{K} \frac{1}{|y_i^l|} \sum_{c \in y_i^l} \frac{1}{|P(c,i)|}"
        r" \sum_{j \in P(c,i)} \log p_{ij}",
        f"{_HIERARCHICAL}, HiMulCon",
        takes=(_PENALTY, _VARIANT),
        contrast=lambda layer_penalty, variant: _over_levels(layer_penalty, variant, None),
    ),
    _contrastive(
        "hicone",
        "No positive pair of a level costs less than any pair of a finer level.",
        r"\sum_l \frac{1}{K} \sum_j W^l_{ij} \max(-\log p_{ij}, M_{l+1}), \;"
        r" M_l = \max(M_{l+1}, \max_{ij} -\log p^l_{ij})",
        f"{_HIERARCHICAL}, HiConE",
        takes=(_VARIANT, _CONSTRAINT),
        contrast=lambda variant, constraint: _over_levels("uniform", variant, constraint),
    ),
    _contrastive(
        "himulcone",
        "HiConE with the levels weighted as in HiMulCon.",
        r"\sum_l \frac{\lambda_l}{K} \sum_j W^l_{ij} \max(-\log p_{ij}, M_{l+1})",
        f"{_HIERARCHICAL}, HiMulConE",
        takes=(_PENALTY, _VARIANT, _CONSTRAINT),
        contrast=_over_levels,
    ),
)
_ROWS: dict[str, LossRow] = {row.name: row for row in _BUILT_IN}
_REGISTERED_BY: dict[str, str] = {}
"""The module that registered a loss; built-in losses have none."""
_PLUGINS: set[Path] = set()
_LOADED_ENTRY_POINTS: set[str] = set()
