"""Every loss of the library, as a row of data.

A contrastive loss is a choice on a few axes, and one kernel computes them all: a new loss is a new row. This file, like
all that it stands on, loads without torch: the command line can list the losses and refuse a wrong name at once.
"""

from collections.abc import Mapping
from typing import Any

from labelcontrast.errors import ConfigError, nearest
from labelcontrast.losses import axes as takes
from labelcontrast.losses.affinity import (
    NAMED,
    any_shared,
    coverage,
    everyone,
    inverse_union,
    jaccard,
    named,
    similarity_dissimilarity,
)
from labelcontrast.losses.axes import SHARINGS, Contrast, LossRow, Parameter, check_values, choice, contrastive

_PAPER = "Zhang et al., Use All the Labels: A Hierarchical Multi-Label Contrastive Learning Framework, 2022"
_PENALTY = choice(
    "layer_penalty",
    "exp",
    "what a level counts, l being 1 for the deepest: e^(1/l), 2^(1/l), 1, or e^-s, s being learned",
    among=("exp", "pow", "uniform", "learned"),
)
_VARIANT = choice(
    "variant",
    "paper",
    "as printed; or as the authors' code: above each level one example goes on for all with the same labels",
    among=("paper", "released"),
)
_CONSTRAINT = choice(
    "constraint",
    "pairs",
    "whether single pairs, or as in the authors' code the losses of whole levels, are held above finer ones",
    among=("pairs", "levels"),
)

HIERARCHICAL_ROWS = (
    LossRow(
        name="himulcon",
        kind="contrastive",
        summary="SupCon at every level of a hierarchy at once, the levels weighed.",
        equation=r"-\sum_l \frac{\lambda_l}{K} \frac{1}{|y_i^l|} \sum_{c \in y_i^l} \frac{1}{|P(c,i)|}"
        r" \sum_{j \in P(c,i)} \log p_{ij}",
        reference=f"{_PAPER}, HiMulCon",
        takes=contrastive(_PENALTY, _VARIANT),
        contrast=Contrast(affinity=any_shared, sharing="per level"),
    ),
    LossRow(
        name="hicone",
        kind="contrastive",
        summary="No positive pair of a level costs less than any pair of a finer level.",
        equation=r"\sum_l \frac{1}{K} \sum_j W^l_{ij} \max(-\log p_{ij}, M_{l+1}), \;"
        r" M_l = \max(M_{l+1}, \max_{ij} -\log p^l_{ij})",
        reference=f"{_PAPER}, HiConE",
        takes=contrastive(_VARIANT, _CONSTRAINT),
        contrast=Contrast(affinity=any_shared, sharing="per level", constrained=True),
    ),
    LossRow(
        name="himulcone",
        kind="contrastive",
        summary="HiConE with the levels weighed as in HiMulCon.",
        equation=r"\sum_l \frac{\lambda_l}{K} \sum_j W^l_{ij} \max(-\log p_{ij}, M_{l+1})",
        reference=f"{_PAPER}, HiMulConE",
        takes=contrastive(_PENALTY, _VARIANT, _CONSTRAINT),
        contrast=Contrast(affinity=any_shared, sharing="per level", constrained=True),
    ),
)


def loss_catalogue() -> list[LossRow]:
    """List every loss, with its equation, its reference, and its parameters with their defaults.

    Example:
        >>> [row.name for row in loss_catalogue() if row.kind == "logit"]
        ['bce', 'focal', 'asl', 'lsep', 'zlpr']
    """
    return list(_ROWS)


def loss_row(name: str) -> LossRow:
    """Find a loss by its name.

    Raises:
        ConfigError: there is none of this name; it tells the nearest one.
    """
    rows = {row.name: row for row in _ROWS}
    if name not in rows:
        raise ConfigError(f"there is no loss {name!r}{nearest(name, rows)}. There are: {', '.join(rows)}.")
    return rows[name]


def check_loss(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the parameters of a loss with its defaults, without loading torch.

    Args:
        name: one of the catalogue's.
        parameters: those that are to differ from the defaults.

    Raises:
        ConfigError: no such loss, no such parameter of it, or a value that the parameter does not accept.

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


def _reduction(default: str) -> Parameter:
    """How the losses of the rows or labels become one number, for the losses on logits."""
    return takes.choice("reduction", default, "mean, sum, or none of both", among=("mean", "sum", "none"))


_COVERAGE = takes.number(
    "alpha", 0.0, "power of the share of a candidate's labels that are the anchor's; below 0 a threshold"
)
_POSITIVES = takes.choice("positives", "any", "share any label, or exactly all", among=("any", "exact"))
_ANCHORS = takes.flag("prototype_anchors", "whether prototypes are anchors too", default=True)
_STUDY = "Audibert et al., Multi-Label Contrastive Learning: A Comprehensive Study, 2024 (arXiv 2412.00101)"
_PER_LABEL = Contrast(
    affinity=coverage,
    tuned_by="alpha",
    sharing="per label",
    anchors=("instances", "prototypes"),
    candidates=("instances", "prototypes"),
)
_PULL = r"-\frac{1}{|y_i|} \sum_{c \in y_i} \frac{1}{N_{ic}} \sum_{j \in P(c,i)}"

_ROWS = (
    LossRow(
        name="bce",
        kind="logit",
        summary="Binary cross-entropy of every label.",
        equation=r"-y \log \sigma(x) - (1 - y) \log \sigma(-x)",
        reference="the maximum likelihood of independent labels",
        takes=(_reduction("mean"),),
    ),
    LossRow(
        name="focal",
        kind="logit",
        summary="Binary cross-entropy that turns from the labels it already has right.",
        equation=r"-\alpha_t (1 - p_t)^\gamma \log p_t",
        reference="Lin et al., Focal Loss for Dense Object Detection, 2017 (arXiv 1708.02002)",
        takes=(
            takes.number("gamma", 2.0, "how fast it turns away", low=0.0),
            takes.optional_number(
                "alpha", "weight of positive labels, 1 - alpha of negative ones; None: 1 and 1", high=1.0
            ),
            _reduction("mean"),
        ),
    ),
    LossRow(
        name="asl",
        kind="logit",
        summary="Focal, with a gamma each for positives and negatives, and easy negatives dropped.",
        equation=r"-y (1 - p)^{\gamma_+} \log p - (1 - y) p_m^{\gamma_-} \log(1 - p_m), \; p_m = \max(p - m, 0)",
        reference="Ridnik et al., Asymmetric Loss For Multi-Label Classification, 2021 (arXiv 2009.14119)",
        takes=(
            takes.choice("preset", "asl", "its authors' settings, or those of the study", among=("asl", "study")),
            takes.number("gamma_neg", 4.0, "focusing of negatives", low=0.0),
            takes.number("gamma_pos", 1.0, "focusing of positives", low=0.0),
            takes.number("margin", 0.05, "negatives with a probability below it count nothing", low=0.0),
            takes.flag("detach_focus", "hold the focusing factors constant in the gradient", default=True),
            _reduction("sum"),
        ),
        presets={
            "study": {"gamma_neg": 1.0, "gamma_pos": 0.0, "margin": 0.0, "detach_focus": False, "reduction": "mean"}
        },
    ),
    LossRow(
        name="lsep",
        kind="logit",
        summary="Log-sum-exp of all wrongly ranked pairs of labels.",
        equation=r"\log(1 + \sum_{u \in y} \sum_{v \notin y} e^{x_v - x_u})",
        reference="Li et al., Improving Pairwise Ranking for Multi-label Image Classification, 2017 (arXiv 1704.03135)",
        takes=(_reduction("mean"),),
    ),
    LossRow(
        name="zlpr",
        kind="logit",
        summary="Positives above 0, negatives below, in one softmax a side.",
        equation=r"\log(1 + \sum_{u \in y} e^{-x_u}) + \log(1 + \sum_{v \notin y} e^{x_v})",
        reference="Su et al., ZLPR: A Novel Loss for Multi-label Classification, 2022 (arXiv 2208.02955)",
        takes=(_reduction("mean"),),
    ),
    LossRow(
        name="simclr",
        kind="contrastive",
        summary="Augmented views of one example attract; labels are not looked at.",
        equation=r"-\frac{1}{|V(i)|} \sum_{j \in V(i)} \log p_{ij}",
        reference="Chen et al., A Simple Framework for Contrastive Learning, 2020 (arXiv 2002.05709)",
        takes=contrastive(),
        contrast=Contrast(affinity=any_shared, views_only=True),
    ),
    LossRow(
        name="supcon",
        kind="contrastive",
        summary="All that share a label, or the whole label set, attract alike.",
        equation=r"-\frac{1}{|P(i)|} \sum_{j \in P(i)} \log p_{ij}",
        reference="Khosla et al., Supervised Contrastive Learning, 2020 (arXiv 2004.11362)",
        takes=contrastive(_POSITIVES),
        contrast=Contrast(affinity=named, tuned_by="positives"),
    ),
    LossRow(
        name="base",
        kind="contrastive",
        summary="The larger the Jaccard similarity of two label sets, the more they attract.",
        equation=r"-\frac{1}{\sum_k J_{ik}} \sum_j J_{ij} \log p_{ij}, J_{ij} = |y_i \cap y_j| / |y_i \cup y_j|",
        reference=f"{_STUDY}, Eq. 1",
        takes=contrastive(),
        contrast=Contrast(affinity=jaccard),
    ),
    LossRow(
        name="jscl",
        kind="contrastive",
        summary="As coded by CL-MTC, to compare with: all attract alike, Jaccard weighs the denominator. Prefer base.",
        equation=r"-\frac{1}{B - 1} \sum_{j \ne i} \Bigl( s_{ij} - \log \sum_{k \ne i} J_{ik} e^{s_{ik}} \Bigr)",
        reference="Lin et al., Effective Deployment of Contrastive Learning in Multi-label Text Classification, 2023",
        takes=contrastive(),
        contrast=Contrast(affinity=everyone, pair_prior=jaccard),
    ),
    LossRow(
        name="proto",
        kind="contrastive",
        summary="An example is attracted by the prototypes of its labels, and pushed from all prototypes.",
        equation=r"-\frac{1}{|y_i|} \sum_{c \in y_i} \log p_{ic}",
        reference=f"{_STUDY}, Eq. 2",
        takes=contrastive(),
        contrast=Contrast(affinity=any_shared, sharing="per label", candidates=("prototypes",)),
    ),
    LossRow(
        name="mulsupcon",
        kind="contrastive",
        summary="Every label of an example is an anchor of its own; many labels, much weight.",
        equation=r"-\sum_{c \in y_i} \frac{1}{|P(c,i)|} \sum_{j \in P(c,i)} \log p_{ij} \;\Big/\; \sum_k |y_k|",
        reference="Zhang and Wu, Multi-Label Supervised Contrastive Learning, 2024 (arXiv 2402.01613)",
        takes=contrastive(averaging="label_count"),
        contrast=Contrast(affinity=any_shared, sharing="per label", averaging="label_count"),
    ),
    LossRow(
        name="msc",
        kind="contrastive",
        summary="Each label attracts alike, rare or frequent; prototypes help the rare, beta tames the repulsion.",
        equation=_PULL + r" \frac{\alpha}{|y_i \cup y_j|} \log p_{ij}, \; g = \beta \text{ on instances}",
        reference="Audibert et al., Exploring Contrastive Learning for Long-Tailed Text Classification, 2024",
        takes=contrastive(
            takes.number("alpha", 1.0, "weight of instances beside prototypes among the positives", low=0.0),
            takes.number("beta", 0.1, "weight of instances beside prototypes in the denominator", low=0.0, above=True),
        ),
        contrast=Contrast(
            affinity=inverse_union,
            tuned_by="alpha",
            sharing="per label",
            candidates=("instances", "prototypes"),
            prototype_affinity=any_shared,
            instance_prior="beta",
        ),
    ),
    LossRow(
        name="wo_reg",
        kind="contrastive",
        summary="Each label of an example attracts alike, among instances and prototypes.",
        equation=_PULL + r" f_{ij} \log p_{ij}, \; f_{ij} = (|y_i \cap y_j| / |y_j|)^\alpha",
        reference=f"{_STUDY}, Eq. 16 to 19 without Eq. 11",
        takes=contrastive(_COVERAGE, _ANCHORS),
        contrast=_PER_LABEL,
    ),
    LossRow(
        name="reg",
        kind="contrastive",
        summary="As wo_reg, and no positive is ever pushed away.",
        equation=_PULL + r" f_{ij} \log p_{ij} - \sum_{j \in P(i)} \max(0, p_{ij} - W_{ij}) s_{ij}",
        reference=f"{_STUDY}, Eq. 11 and 14 to 19",
        takes=contrastive(_COVERAGE, _ANCHORS, stop_repulsion=1.0),
        contrast=_PER_LABEL,
    ),
    LossRow(
        name="sincere",
        kind="contrastive",
        summary="As supcon, but each positive has only the negatives to win against, and pushes no other positive.",
        equation=r"\frac{1}{|P(i)|} \sum_{j \in P(i)} \log (e^{s_{ij}} + \sum_{k \notin P(i)} e^{s_{ik}}) - s_{ij}",
        reference="Feeney and Hughes, SINCERE: Supervised InfoNCE Revisited, 2023 (arXiv 2309.14277)",
        takes=contrastive(_POSITIVES),
        contrast=Contrast(affinity=named, tuned_by="positives", rivals="negatives"),
    ),
    LossRow(
        name="similarity_dissimilarity",
        kind="contrastive",
        summary="Positives weigh by the share of the anchor's labels they have, and less for every label beyond them.",
        equation=r"-\frac{1}{|P(i)|} \sum_j \frac{|y_i \cap y_j|}{|y_i| (1 + |y_j \setminus y_i|)} \log p_{ij}",
        reference="Huang et al., Similarity-Dissimilarity Loss for Multi-label Contrast, 2024 (arXiv 2410.13439)",
        takes=contrastive(),
        contrast=Contrast(affinity=similarity_dissimilarity, sharing="per positive"),
    ),
    LossRow(
        name="jaccard_sigmoid",
        kind="contrastive",
        summary="Each pair by itself: its similarity is to tell the Jaccard similarity of the label sets; no softmax.",
        equation=r"-\sum_{j \ne i} J_{ij} \log \sigma(s_{ij} + b) + (1 - J_{ij}) \log \sigma(-s_{ij} - b)",
        reference="Takahashi et al., Multi Label ECG Classification with Jaccard Sigmoid Loss, 2026 (arXiv 2602.10553)",
        takes=contrastive(
            takes.number("bias", -10.0, "where b, which is learned, begins; -10 is where SigLIP begins"),
            averaging="mean_all",
        ),
        contrast=Contrast(affinity=jaccard, sharing="none", averaging="mean_all", rivals="none"),
    ),
    LossRow(
        name="weighted",
        kind="contrastive",
        summary="Affinity and sharing as you choose: the axes of supcon, base and mulsupcon, in any combination.",
        equation=r"-\sum_j W_{ij} \log p_{ij}, \; W \text{ shared out of } F_{ij} = f(|y_i \cap y_j|, |y_i|, |y_j|)",
        reference="no method of its own: it is there so that a study can vary one axis of the published ones alone",
        takes=contrastive(
            takes.choice("affinity", "any", "how alike two label sets are; coverage has the power 1", among=NAMED),
            takes.choice("sharing", "per_anchor", "how an anchor's attraction is split", among=SHARINGS),
        ),
        contrast=Contrast(affinity=named, tuned_by="affinity", sharing_by="sharing"),
    ),
    *HIERARCHICAL_ROWS,
)
