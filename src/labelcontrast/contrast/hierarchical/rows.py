"""The hierarchical losses, as rows of the catalogue."""

from labelcontrast.contrast.rows import Contrast, LossRow, choice, contrastive
from labelcontrast.contrast.weights.affinity import any_shared

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
