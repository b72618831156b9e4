r"""Any flat contrastive loss in plain dense torch: labels make weights, embeddings make similarities, they meet once.

.. math:: s_{ij} = \langle z_i, z_j \rangle / \tau, \qquad
   \ell_i = m_i \log \sum_{j \ne i} g_{ij} e^{s_{ij}} - \sum_j W_{ij} s_{ij}, \qquad m_i = \sum_j W_{ij}, \qquad
   \ell = \sum_i a_i \ell_i \Big/ \sum_i a_i

The letters of the code are those of the equation: s the similarities, W the weights with which candidates attract an
anchor, m their sum (the anchor's attraction), g the factors of candidates in the denominator (0 for an example with
itself), and a the weights of the anchors in the average.

There are N instances: examples, times views. With L prototypes joined to them there are N or N + L anchors, and N,
N + L, or, where prototypes alone are candidates, L candidates. Instances always come before prototypes.

Read this file first. It is the specification of :class:`~labelcontrast.losses.loss.ContrastiveLoss`, which computes the
same in blocks, and the tests compare values and gradients of every flat loss of the catalogue. Use it in float64.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from labelcontrast.losses.axes import Contrast

Pairs = Float[Tensor, "anchors candidates"]


def contrastive_loss(
    contrast: Contrast,
    z: Float[Tensor, "batch *views dim"],
    y: Float[Tensor, "batch labels"] | None,
    *,
    prototypes: Float[Tensor, "labels dim"] | None = None,
    bias: Float[Tensor, ""] | None = None,
    temperature: float = 0.1,
    stop_repulsion: float = 0.0,
    label_power: float = 0.0,
) -> Float[Tensor, ""]:
    """Compute a contrastive loss from its choice on the axes.

    Args:
        contrast: The axes; any sharing but per level.
        z: Projections of any length.
        y: From 0 to 1, NaN for unknown; None where only views count.
        prototypes: One for each label, for a loss that has them as candidates.
        bias: Log-odds b of a pair of similarity 0, where each pair is a classification of its own.
        temperature: Tau.
        stop_repulsion: Lambda, the share of a positive's repulsion that is stopped; 1 is L_REG.
        label_power: Power of an anchor's number of labels that its loss is weighed by.

    Example:
        >>> from labelcontrast.losses.affinity import any_shared
        >>> contrastive_loss(Contrast(affinity=any_shared), torch.eye(3), torch.ones(3, 1))  # log of two candidates
        tensor(0.6931)
    """
    like: dict[str, Any] = {"dtype": z.dtype, "device": z.device}
    if contrast.views_only or y is None:
        y = torch.eye(len(z), **like)  # an example shares a label with its other views only
    if z.ndim == 3:
        z, y = torch.cat(z.unbind(1)), y.repeat(z.shape[1], 1)
    anchors, candidates, n = z, z, len(z)
    y_i, y_j = y, y
    if prototypes is not None and "prototypes" in contrast.candidates:  # a prototype has one label
        one = torch.eye(len(prototypes), **like)
        both, labels = torch.cat([z, prototypes]), torch.cat([y, one])
        candidates, y_j = (both, labels) if "instances" in contrast.candidates else (prototypes, one)
        anchors, y_i = (both, labels) if "prototypes" in contrast.anchors else (z, y)
    only_prototypes = "instances" not in contrast.candidates  # no candidate is an anchor itself
    others = torch.ones(len(anchors), len(candidates), **like)
    others = others if only_prototypes else others - torch.eye(*others.shape, **like)  # 0 for i = j
    instances = 0 if only_prototypes else n  # the number of candidates that are instances
    if contrast.between_kinds:
        others[:n, :n] = others[n:, n:] = 0

    # s, g, w, e: [anchors, candidates]; m, a, losses: [anchors]
    s = F.normalize(anchors, dim=1) @ F.normalize(candidates, dim=1).T / temperature
    g = factors(contrast, y_i, y_j, others, instances)
    w = pair_weights(contrast, y_i, y_j, others, instances) * (g.sum(1, keepdim=True) > 0)
    m = w.sum(1)

    e = g * s.exp()
    positive = w > 0
    if contrast.denominator == "each_pair":
        assert bias is not None
        odds = e * bias.exp()
        losses = (1 + odds).log().sum(1) - (w * (s + bias)).sum(1)
        repulsion = odds / (1 + odds)
    elif contrast.denominator == "negatives":
        share = e + (e * ~positive).sum(1, keepdim=True)  # of a positive: itself, and all negatives
        share = share.masked_fill(~positive, 1)
        losses = (w * (share.log() - s)).sum(1)
        repulsion = w * e / share
    elif contrast.denominator == "negatives_alone":
        total = (e * ~positive).sum(1, keepdim=True)
        w = w * (total > 0)
        losses = w.sum(1) * total.masked_fill(total == 0, 1)[:, 0].log() - (w * s).sum(1)
        repulsion = torch.zeros_like(w)  # of a positive
    else:
        total = e.sum(1, keepdim=True)
        total = total.masked_fill(total == 0, 1)
        losses = m * total[:, 0].log() - (w * s).sum(1)
        repulsion = m[:, None] * e / total
    stopped = ((repulsion - w).clamp(min=0) * positive).detach()
    losses = losses - stop_repulsion * (stopped * s).sum(1)

    average = anchor_weights(contrast, m, y_i, n, label_power)
    return (average * losses).sum() / average.sum().masked_fill(average.sum() == 0, 1)


def factors(
    contrast: Contrast,
    y_i: Float[Tensor, "anchors labels"],
    y_j: Float[Tensor, "candidates labels"],
    others: Pairs,
    instances: int,
) -> Pairs:
    """Compute g: the factors of the exponentials in the denominator; arguments as in :func:`pair_weights`."""
    g = others.clone()
    g[:, :instances] *= contrast.instance_prior
    if contrast.pair_prior is not None:
        g *= contrast.pair_prior(*counts(y_i, y_j))
    if contrast.candidate_prior != "equal":
        n_c, without = y_j.nan_to_num().sum(0), (y_j.nan_to_num().sum(1) == 0).to(g.dtype)
        if contrast.candidate_prior == "label_mean":
            g *= ratio(y_j.nan_to_num(), n_c).sum(1) + ratio(without, without.sum())
        else:
            g[:, instances:] *= n_c / n_c.sum()
    return g


def anchor_weights(
    contrast: Contrast, m: Float[Tensor, " anchors"], y_i: Float[Tensor, "anchors labels"], n: int, label_power: float
) -> Float[Tensor, " anchors"]:
    """Compute a: the weights of the losses of the anchors, of which the first n are instances."""
    size = y_i.nan_to_num().sum(1)
    valid = (m > 0).to(m.dtype)
    a = {"mean_valid": valid, "mean_all": torch.ones_like(m), "label_count": size, "mean_kinds": valid}
    average: Tensor = a[contrast.averaging]
    if label_power:
        average = average * (size > 0) * size.masked_fill(size == 0, 1) ** label_power
    if contrast.averaging == "mean_kinds":  # a mean over instances and one over prototypes
        average = torch.cat([ratio(kind, kind.sum()) for kind in torch.split(average, [n, len(m) - n])])
    return average


def pair_weights(
    contrast: Contrast,
    y_i: Float[Tensor, "anchors labels"],
    y_j: Float[Tensor, "candidates labels"],
    others: Pairs,
    instances: int,
) -> Pairs:
    r"""Compute W: how an anchor's attraction is shared among its positives, in proportion to the affinity F.

    .. math:: \frac{F_{ij}}{\sum_k F_{ik}} \text{ per anchor}, \qquad \frac{F_{ij}}{|\{k : F_{ik} > 0\}|} \text{ per
       positive}, \qquad \frac{1}{|y_i|} \sum_c y_{ic} \frac{F_{ij} y_{jc}}{\sum_k F_{ik} y_{kc}} \text{ per label}

    Args:
        contrast: The axes.
        y_i: Labels of the anchors.
        y_j: Labels of the candidates.
        others: 0 for the pair of an example with itself, 1 elsewhere.
        instances: Number of candidates that are no prototypes; they come first.
    """
    f: Tensor = contrast.affinity(*counts(y_i, y_j))
    if contrast.prototype_affinity is not None:
        f[:, instances:] = contrast.prototype_affinity(*counts(y_i, y_j))[:, instances:]
    f = f * others
    if contrast.sharing == "none":
        return f
    if contrast.sharing == "per_anchor":
        return ratio(f, f.sum(1, keepdim=True))
    if contrast.sharing == "per_positive":
        return ratio(f, (f > 0).to(f.dtype).sum(1, keepdim=True))
    y_i, y_j = y_i.nan_to_num(), y_j.nan_to_num()
    return f * (ratio(ratio(y_i, f @ y_j), y_i.sum(1, keepdim=True)) @ y_j.T)


def counts(y_i: Tensor, y_j: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Count, of the labels known of both, those in common, those of the anchor and those of the candidate."""
    known_i, known_j = (~y_i.isnan()).to(y_i.dtype), (~y_j.isnan()).to(y_j.dtype)
    y_i, y_j = y_i.nan_to_num(), y_j.nan_to_num()
    return y_i @ y_j.T, y_i @ known_j.T, known_i @ y_j.T


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Divide, with 0 / 0 counting as 0."""
    return numerator / denominator.masked_fill(denominator == 0, 1) * (denominator != 0)
