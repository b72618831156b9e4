"""The catalogue: every loss of this package as a row of data.

A contrastive loss is a choice on a few axes, and one kernel computes them all, so a new loss is a new row. This file
loads without torch: the command line lists the losses and refuses a wrong name at once.
"""

from collections.abc import Callable, Mapping
from typing import Any

from labelcontrast.errors import ConfigError
from labelcontrast.losses.affinity import (
    AFFINITIES,
    Affinity,
    any_shared,
    coverage,
    discounted_overlap,
    everyone,
    inverse_union,
    jaccard,
    jaccard_above,
    scaled,
    shared_labels,
)
from labelcontrast.losses.axes import (
    SHARINGS,
    Contrast,
    LossRow,
    Parameter,
    RowKind,
    Sharing,
    choice,
    contrastive,
    factor,
    flag,
    log_odds,
    number,
    optional_number,
)

_PROTOTYPES = (
    choice(
        "prototype_update",
        "learned",
        "whether prototypes are learned, stay as they begin, or follow the mean projection of their label's examples",
        among=("learned", "fixed", "means"),
    ),
    number("prototype_momentum", 0.9, "share of a prototype that stays in a step towards that mean", low=0.0, high=1.0),
)
"""Parameters of the losses that have prototypes."""


def contrastive_row(
    name: str,
    summary: str,
    equation: str = "",
    reference: str = "",
    *,
    contrast: Callable[..., Contrast],
    takes: tuple[Parameter, ...] = (),
    stop_repulsion: float = 0.0,
) -> LossRow:
    """Return the row of a loss on the axes: its parameters are those in ``takes``, and those that all have."""
    usual = contrast(**{parameter.name: parameter.default for parameter in takes})
    if "prototypes" in usual.candidates or any(parameter.name == "candidates" for parameter in takes):
        takes = (*takes, *(own for own in _PROTOTYPES if own.name not in {one.name for one in takes}))
    return LossRow(
        name=name,
        kind="contrastive",
        summary=summary,
        equation=equation,
        reference=reference,
        takes=contrastive(*takes, averaging=usual.averaging, stop_repulsion=stop_repulsion),
        contrast=contrast,
    )


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


def _coverage_per_label(
    alpha: float,
    prototype_anchors: bool,  # noqa: FBT001
    instance_attraction: float,
    instance_repulsion: float,
) -> Contrast:
    own = coverage(alpha)
    return _weighted(own, "per_label", "both", prototype_anchors, instance_attraction, instance_repulsion)


def _weighted(  # noqa: PLR0917  the parameters of a row
    affinity: str | Affinity,
    sharing: Sharing,
    candidates: str,
    prototype_anchors: bool,  # noqa: FBT001
    instance_attraction: float,
    instance_repulsion: float,
) -> Contrast:
    if candidates != "both" and (instance_attraction, instance_repulsion) != (1, 1):
        raise ConfigError(f"instances are weighed beside prototypes: candidates must be both. Got {candidates!r}.")
    both: tuple[RowKind, ...] = ("instances", "prototypes")
    own = AFFINITIES[affinity] if isinstance(affinity, str) else affinity
    return Contrast(
        affinity=scaled(own, instance_attraction),
        prototype_affinity=own,
        sharing=sharing,
        anchors=both if prototype_anchors else ("instances",),
        candidates=tuple(kind for kind in both if candidates in {kind, "both"}),
        instance_prior=instance_repulsion,
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
_BESIDE = (
    number("instance_attraction", 1.0, "weight of instances beside prototypes among the positives", low=0.0, high=1e20),
    factor("instance_repulsion", 1.0, "weight of instances beside prototypes in the denominator"),
)
_COVERAGE = (
    number(
        "alpha",
        0.0,
        "power of the share of a candidate's labels that are the anchor's; below 0 a threshold",
        low=-10.0,
        high=10.0,
    ),
    flag("prototype_anchors", "whether prototypes are anchors too", default=True),
    *_BESIDE,
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

BUILT_IN = (
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
        number("gamma", 2.0, "focusing: how fast the weight falls; 0 is binary cross-entropy", low=0.0, high=1e3),
        optional_number(
            "alpha", "weight of positive labels, 1 - alpha of negative ones; None: 1 and 1", low=1e-6, high=1.0
        ),
    ),
    _logit(
        "asl",
        "Focal, with a gamma each for positives and negatives, and easy negatives dropped.",
        r"-y (1 - p)^{\gamma_+} \log p - (1 - y) p_m^{\gamma_-} \log(1 - p_m), \; p_m = \max(p - m, 0)",
        "Ridnik et al., Asymmetric Loss For Multi-Label Classification, 2021 (arXiv 2009.14119)",
        choice("preset", "asl", "its authors' settings, or those of the study", among=("asl", "study")),
        number("gamma_neg", 4.0, "focusing of negatives", low=0.0, high=1e3),
        number("gamma_pos", 1.0, "focusing of positives", low=0.0, high=1e3),
        number("margin", 0.05, "negatives with a probability below it cost nothing", low=0.0, high=1.0),
        choice(
            "margin_on",
            "negatives",
            "what has the margin: both as Eq. 20 of the study prints it, where a positive below it has no slope",
            among=("negatives", "both"),
        ),
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
    contrastive_row(
        "simclr",
        "Augmented views of an example attract each other; labels are ignored.",
        r"-\frac{1}{|V(i)|} \sum_{j \in V(i)} \log p_{ij}",
        "Chen et al., A Simple Framework for Contrastive Learning, 2020 (arXiv 2002.05709)",
        contrast=lambda: Contrast(affinity=any_shared, views_only=True),
    ),
    contrastive_row(
        "supcon",
        "All examples that share a label, or the whole label set, attract equally.",
        r"-\frac{1}{|P(i)|} \sum_{j \in P(i)} \log p_{ij}",
        "Khosla et al., Supervised Contrastive Learning, 2020 (arXiv 2004.11362)",
        takes=(_POSITIVES,),
        contrast=lambda positives: Contrast(affinity=AFFINITIES[positives]),
    ),
    contrastive_row(
        "base",
        "Two examples attract in proportion to the Jaccard similarity of their label sets.",
        r"-\frac{1}{\sum_k J_{ik}} \sum_j J_{ij} \log p_{ij}, J_{ij} = |y_i \cap y_j| / |y_i \cup y_j|",
        f"{_STUDY}, Eq. 1",
        contrast=lambda: Contrast(affinity=jaccard),
    ),
    contrastive_row(
        "jscl",
        "All candidates attract equally, and Jaccard weighs the denominator, as coded by CL-MTC. Prefer base.",
        r"-\frac{1}{B - 1} \sum_{j \ne i} \Bigl( s_{ij} - \log \sum_{k \ne i} J_{ik} e^{s_{ik}} \Bigr)",
        "Lin et al., Effective Deployment of Contrastive Learning in Multi-label Text Classification, 2023",
        contrast=lambda: Contrast(affinity=everyone, pair_prior=jaccard),
    ),
    contrastive_row(
        "proto",
        "An example is attracted by the prototypes of its labels, and repelled by all prototypes.",
        r"-\frac{1}{|y_i|} \sum_{c \in y_i} \log p_{ic}",
        f"{_STUDY}, Eq. 2; without positives in the denominator Gupta et al., Class Prototypes based Contrastive"
        " Learning for Classifying Multi-Label and Fine-Grained Educational Videos, 2023",
        takes=(
            choice(
                "denominator",
                "all",
                "all prototypes, or as first published those of the labels that the example has not",
                among=("all", "negatives"),
            ),
        ),
        contrast=lambda denominator: Contrast(
            affinity=any_shared,
            sharing="per_label",
            candidates=("prototypes",),
            denominator="all" if denominator == "all" else "negatives_alone",
        ),
    ),
    contrastive_row(
        "mulsupcon",
        "Every label of an example is an anchor of its own, so examples with many labels weigh more.",
        r"-\sum_{c \in y_i} \frac{1}{|P(c,i)|} \sum_{j \in P(c,i)} \log p_{ij} \;\Big/\; \sum_k |y_k|",
        "Zhang and Wu, Multi-Label Supervised Contrastive Learning, 2024 (arXiv 2402.01613)",
        contrast=lambda: Contrast(affinity=any_shared, sharing="per_label", averaging="label_count"),
    ),
    contrastive_row(
        "msc",
        "Each label attracts equally, rare or frequent; prototypes help the rare, beta reduces the repulsion.",
        _PER_LABEL + r" \frac{\alpha}{|y_i \cup y_j|} \log p_{ij}, \; g = \beta \text{ on instances}",
        "Audibert et al., Exploring Contrastive Learning for Long-Tailed Text Classification, 2024",
        takes=(
            number("alpha", 1.0, "weight of instances beside prototypes among the positives", low=0.0, high=1e20),
            factor("beta", 0.1, "weight of instances beside prototypes in the denominator"),
        ),
        contrast=lambda alpha, beta: Contrast(
            affinity=inverse_union(alpha),
            sharing="per_label",
            candidates=("instances", "prototypes"),
            prototype_affinity=any_shared,
            instance_prior=beta,
        ),
    ),
    contrastive_row(
        "wo_reg",
        "Each label of an example attracts equally, among instances and prototypes.",
        _PER_LABEL + r" f_{ij} \log p_{ij}, \; f_{ij} = (|y_i \cap y_j| / |y_j|)^\alpha",
        f"{_STUDY}, Eq. 16 to 19 without Eq. 11",
        takes=_COVERAGE,
        contrast=_coverage_per_label,
    ),
    contrastive_row(
        "reg",
        "As wo_reg, and no positive is ever repelled.",
        _PER_LABEL + r" f_{ij} \log p_{ij} - \sum_{j \in P(i)} \max(0, p_{ij} - W_{ij}) s_{ij}",
        f"{_STUDY}, Eq. 11 and 14 to 19",
        takes=_COVERAGE,
        contrast=_coverage_per_label,
        stop_repulsion=1.0,
    ),
    contrastive_row(
        "sincere",
        "As supcon, but each positive competes with the negatives only, and repels no other positive.",
        r"\frac{1}{|P(i)|} \sum_{j \in P(i)} \log (e^{s_{ij}} + \sum_{k \notin P(i)} e^{s_{ik}}) - s_{ij}",
        "Feeney and Hughes, SINCERE: Supervised InfoNCE Revisited, 2023 (arXiv 2309.14277)",
        takes=(_POSITIVES,),
        contrast=lambda positives: Contrast(affinity=AFFINITIES[positives], denominator="negatives"),
    ),
    contrastive_row(
        "similarity_dissimilarity",
        "Positives are weighted by the share of the anchor's labels they have, and less for every other label.",
        r"-\frac{1}{|P(i)|} \sum_j \frac{|y_i \cap y_j|}{|y_i| (1 + |y_j \setminus y_i|)} \log p_{ij}",
        "Huang et al., Similarity-Dissimilarity Loss for Multi-label Contrast, 2024 (arXiv 2410.13439)",
        contrast=lambda: Contrast(affinity=discounted_overlap, sharing="per_positive"),
    ),
    contrastive_row(
        "jaccard_sigmoid",
        "For each pair alone, a sigmoid of the similarity predicts the Jaccard similarity of the label sets.",
        r"-\sum_{j \ne i} J_{ij} \log \sigma(s_{ij} + b) + (1 - J_{ij}) \log \sigma(-s_{ij} - b)",
        "Takahashi et al., Multi Label ECG Classification with Jaccard Sigmoid Loss, 2026 (arXiv 2602.10553)",
        takes=(log_odds("bias", -10.0, "initial value of b, which is learned; SigLIP begins at -10"),),
        contrast=lambda bias: Contrast(
            affinity=jaccard, sharing="none", averaging="mean_all", denominator="each_pair", bias=bias
        ),
    ),
    contrastive_row(
        "weighted",
        "Affinity and sharing as you choose: the axes of supcon, base and mulsupcon, in any combination.",
        r"-\sum_j W_{ij} \log p_{ij}, \; W \text{ shared out of } F_{ij} = f(|y_i \cap y_j|, |y_i|, |y_j|)",
        "none; a study can vary one axis of the published losses at a time",
        takes=(
            choice("affinity", "any", "similarity of two label sets; coverage has the power 1", among=AFFINITIES),
            choice("sharing", "per_anchor", "how an anchor's attraction is divided", among=SHARINGS),
            choice(
                "candidates", "instances", "the rows that attract and repel", among=("instances", "prototypes", "both")
            ),
            flag("prototype_anchors", "whether prototypes are anchors too, where both are candidates", default=False),
            *_BESIDE,
        ),
        contrast=_weighted,
    ),
    contrastive_row(
        "overlap",
        "Two examples attract in proportion to the number of labels that they share.",
        r"-\frac{1}{\sum_k C_{ik}} \sum_j C_{ij} \log p_{ij}, C_{ij} = |y_i \cap y_j|",
        "Su et al., Contrastive Learning-Enhanced Nearest Neighbor Mechanism for Multi-Label Text Classification, 2022,"
        " with cosines for Euclidean distances",
        contrast=lambda: Contrast(affinity=shared_labels),
    ),
    contrastive_row(
        "multisupcon",
        "Two examples attract by the Jaccard similarity of their label sets, where that reaches a threshold.",
        r"-\frac{1}{|N(i)|} \sum_{j \in N(i)} J_{ij} \log p_{ij}, N(i) = \{j \ne i : J_{ij} \ge c\}",
        "Zaigrajew and Zieba, Contrastive Learning for Multi-Label Classification, 2022, as pytorch-metric-learning"
        " documents it; but an empty label set has no positive",
        takes=(number("threshold", 0.5, "smallest Jaccard similarity c of a positive", low=0.01, high=1.0),),
        contrast=lambda threshold: Contrast(affinity=jaccard_above(threshold), sharing="per_positive"),
    ),
    contrastive_row(
        "bcl",
        "Each label attracts equally, and in the denominator every label counts as the mean of those that have it.",
        _PER_LABEL + r" \log p_{ij}, \; g_j = \sum_{c \in y_j} \frac{1}{n_c}, \; n_c \text{ with the prototype}",
        "Zhu et al., Balanced Contrastive Learning for Long-Tailed Visual Recognition, 2022, one class per example",
        contrast=lambda: Contrast(
            affinity=any_shared,
            sharing="per_label",
            candidates=("instances", "prototypes"),
            candidate_prior="label_mean",
        ),
    ),
    contrastive_row(
        "paco",
        "Prototypes attract more than instances, and repel by the frequency of their label in the batch.",
        r"-\frac{1}{\alpha |P(i)| + |y_i|} \Bigl( \alpha \sum_{j \in P(i)} \log p_{ij} + \sum_{c \in y_i} \log p_{ic}"
        r" \Bigr), \; g_c = n_c / \sum_k n_k",
        "Cui et al., Parametric Contrastive Learning, 2021 (arXiv 2107.12028), with one temperature, and for the"
        " frequencies of the training set those of the batch, one added to each",
        takes=(number("alpha", 0.05, "weight of instances beside prototypes among the positives", low=0.0, high=1e20),),
        contrast=lambda alpha: Contrast(
            affinity=scaled(any_shared, alpha),
            prototype_affinity=any_shared,
            candidates=("instances", "prototypes"),
            candidate_prior="label_frequency",
        ),
    ),
    contrastive_row(
        "lacon",
        "Examples choose among prototypes, and prototypes among examples; both means weigh the same.",
        r"-\tfrac{1}{2} \operatorname{mean}_i \frac{1}{|y_i|} \sum_{c \in y_i}"
        r" \log \frac{e^{s_{ic}}}{\sum_k e^{s_{ik}}}"
        r" - \tfrac{1}{2} \operatorname{mean}_c \frac{1}{|P(c)|} \sum_{i \in P(c)}"
        r" \log \frac{e^{s_{ci}}}{\sum_j e^{s_{cj}}}",
        "Zhang et al., Label Anchored Contrastive Learning for Language Understanding, 2022 (arXiv 2205.10227), the"
        " instance-centred loss with one head and the label-centred one, without its regulariser of label embeddings",
        contrast=lambda: Contrast(
            affinity=any_shared,
            sharing="per_label",
            averaging="mean_kinds",
            anchors=("instances", "prototypes"),
            candidates=("instances", "prototypes"),
            between_kinds=True,
        ),
    ),
    contrastive_row(
        "himulcon",
        "SupCon at every level of a hierarchy, as a weighted sum over the levels.",
        r"-\sum_l \frac{\lambda_l}{K} \frac{1}{|y_i^l|} \sum_{c \in y_i^l} \frac{1}{|P(c,i)|}"
        r" \sum_{j \in P(c,i)} \log p_{ij}",
        f"{_HIERARCHICAL}, HiMulCon",
        takes=(_PENALTY, _VARIANT),
        contrast=lambda layer_penalty, variant: _over_levels(layer_penalty, variant, None),
    ),
    contrastive_row(
        "hicone",
        "No positive pair of a level costs less than any pair of a finer level.",
        r"\sum_l \frac{1}{K} \sum_j W^l_{ij} \max(-\log p_{ij}, M_{l+1}), \;"
        r" M_l = \max(M_{l+1}, \max_{ij} -\log p^l_{ij})",
        f"{_HIERARCHICAL}, HiConE",
        takes=(_VARIANT, _CONSTRAINT),
        contrast=lambda variant, constraint: _over_levels("uniform", variant, constraint),
    ),
    contrastive_row(
        "himulcone",
        "HiConE with the levels weighted as in HiMulCon.",
        r"\sum_l \frac{\lambda_l}{K} \sum_j W^l_{ij} \max(-\log p_{ij}, M_{l+1})",
        f"{_HIERARCHICAL}, HiMulConE",
        takes=(_PENALTY, _VARIANT, _CONSTRAINT),
        contrast=_over_levels,
    ),
)
