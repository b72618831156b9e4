"""The losses as the papers print them: loops over i and j in float64, autograd for the gradient, and nothing clever."""

from collections.abc import Callable
from math import log
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Sets = list[set[int]]


def similarities(rows: Tensor, others: Tensor, temperature: float) -> Tensor:
    return F.normalize(rows, dim=-1) @ F.normalize(others, dim=-1).T / temperature


def log_p(s: Tensor, i: int, j: int, candidates: list[int], prior: Callable[[int], float] = lambda k: 1.0) -> Tensor:
    """The log of the share of j among all candidates of i."""
    return s[i, j] - torch.stack([s[i, k] + log(prior(k)) for k in candidates]).logsumexp(0)


def label_sets(labels: Tensor) -> Sets:
    return [{c for c, there in enumerate(row) if there} for row in labels.tolist()]


def mean_valid(losses: dict[int, Tensor], zero: Tensor) -> Tensor:
    """Over the anchors that have a positive: the keys."""
    return torch.stack(list(losses.values())).mean() if losses else zero


def simclr(z: Tensor, y: Tensor, c: Tensor, *, temperature: float, **_: Any) -> Tensor:
    """``z`` is [batch, views, dim]; the positives are the other views."""
    flat, who = z.flatten(0, 1), [i for i in range(z.shape[0]) for _ in range(z.shape[1])]
    s, losses = similarities(flat, flat, temperature), {}
    for i in range(len(flat)):
        others = [k for k in range(len(flat)) if k != i]
        views = [k for k in others if who[k] == who[i]]
        if views:
            losses[i] = -sum(log_p(s, i, j, others) for j in views) / len(views)
    return mean_valid(losses, z.sum() * 0)


def supcon(z: Tensor, y: Tensor, c: Tensor, *, temperature: float, positives: str = "any", stop: float = 0) -> Tensor:
    """With ``stop`` the regulariser of Eq. 25: the clamp is held constant."""
    s, sets, losses = similarities(z, z, temperature), label_sets(y), {}
    for i in range(len(z)):
        others = [k for k in range(len(z)) if k != i]
        related = [j for j in others if sets[i] and (sets[i] & sets[j] if positives == "any" else sets[i] == sets[j])]
        if related:
            losses[i] = -sum(log_p(s, i, j, others) for j in related) / len(related)
            for j in related:
                excess = (log_p(s, i, j, others).exp() - 1 / len(related)).clamp(min=0).detach()
                losses[i] = losses[i] - stop * excess * s[i, j]
    return mean_valid(losses, z.sum() * 0)


def base(z: Tensor, y: Tensor, c: Tensor, *, temperature: float) -> Tensor:
    """Eq. 1, with the divisor of its code."""
    s, sets, losses = similarities(z, z, temperature), label_sets(y), {}
    for i in range(len(z)):
        others = [k for k in range(len(z)) if k != i]
        jaccard = {j: len(sets[i] & sets[j]) / len(sets[i] | sets[j]) for j in others if sets[i] & sets[j]}
        if jaccard:
            losses[i] = -sum(w * log_p(s, i, j, others) for j, w in jaccard.items()) / sum(jaccard.values())
    return mean_valid(losses, z.sum() * 0)


def jscl(z: Tensor, y: Tensor, c: Tensor, *, temperature: float) -> Tensor:
    """Section 3.8 of the specification, without the floor."""
    s, sets, losses = similarities(z, z, temperature), label_sets(y), {}
    for i in range(len(z)):
        others = [k for k in range(len(z)) if k != i]
        jaccard = {k: len(sets[i] & sets[k]) / len(sets[i] | sets[k]) for k in others if sets[i] & sets[k]}
        if jaccard:
            normaliser = torch.stack([s[i, k] + log(w) for k, w in jaccard.items()]).logsumexp(0)
            losses[i] = -sum(s[i, j] - normaliser for j in others) / len(others)
    return mean_valid(losses, z.sum() * 0)


def proto(z: Tensor, y: Tensor, c: Tensor, *, temperature: float, denominator: str = "all") -> Tensor:
    """Eq. 2; and as Gupta et al. have it, contrasted with the prototypes of other labels alone."""
    s, sets, losses = similarities(z, c, temperature), label_sets(y), {}
    for i in range(len(z)):
        against = [k for k in range(len(c)) if denominator == "all" or k not in sets[i]]
        if sets[i] and against:
            losses[i] = -sum(log_p(s, i, j, against) for j in sets[i]) / len(sets[i])
        elif sets[i]:
            losses[i] = z.sum() * 0
    return mean_valid(losses, z.sum() * 0)


def mulsupcon(z: Tensor, y: Tensor, c: Tensor, *, temperature: float) -> Tensor:
    """Eq. 3."""
    s, sets, total = similarities(z, z, temperature), label_sets(y), z.sum() * 0
    for i in range(len(z)):
        others = [k for k in range(len(z)) if k != i]
        for label in sets[i]:
            same = [j for j in others if label in sets[j]]
            if same:
                total = total - sum(log_p(s, i, j, others) for j in same) / len(same)
    return total / max(sum(len(labels) for labels in sets), 1)


def msc(z: Tensor, y: Tensor, c: Tensor, *, temperature: float, alpha: float = 1.0, beta: float = 0.1) -> Tensor:
    """The equation after Eq. 3, with Eq. 4 and 5."""
    n, sets, losses = len(z), label_sets(y), {}
    s = similarities(z, torch.cat([z, c]), temperature)

    def prior(k: int) -> float:
        return beta if k < n else 1.0

    for i in range(n):
        others = [k for k in range(n + len(c)) if k != i]
        for label in sets[i]:
            weights = {j: alpha / len(sets[i] | sets[j]) for j in range(n) if j != i and label in sets[j]} | {
                n + label: 1.0
            }
            loss = -sum(w * log_p(s, i, j, others, prior) for j, w in weights.items()) / sum(weights.values())
            losses[i] = losses.get(i, 0) + loss / len(sets[i])
    return mean_valid(losses, z.sum() * 0)


def wo_reg(z: Tensor, y: Tensor, c: Tensor, *, temperature: float, alpha: float = 0.0, stop: float = 0.0) -> Tensor:
    """Eq. 16 to 19, prototypes being examples with one label; with ``stop`` also Eq. 11."""
    rows, sets, losses = torch.cat([z, c]), label_sets(y) + [{label} for label in range(len(c))], {}
    s = similarities(rows, rows, temperature)

    def f(i: int, j: int) -> float:
        share = len(sets[i] & sets[j]) / len(sets[j])
        return share**alpha if alpha >= 0 else float(share == 1)

    for i in range(len(rows)):
        others = [k for k in range(len(rows)) if k != i]
        weights: dict[int, float] = {}
        for label in sets[i]:
            same = {j: f(i, j) for j in others if label in sets[j]}
            for j, affinity in same.items():
                if affinity:
                    weights[j] = weights.get(j, 0) + affinity / sum(same.values()) / len(sets[i])
        if weights:
            losses[i] = -sum(w * log_p(s, i, j, others) for j, w in weights.items())
            for j, w in weights.items():
                losses[i] = losses[i] - stop * (log_p(s, i, j, others).exp() - w).clamp(min=0).detach() * s[i, j]
    return mean_valid(losses, z.sum() * 0)


def reg(z: Tensor, y: Tensor, c: Tensor, *, temperature: float, alpha: float = 0.0) -> Tensor:
    return wo_reg(z, y, c, temperature=temperature, alpha=alpha, stop=1.0)


def sincere(z: Tensor, y: Tensor, c: Tensor, *, temperature: float, positives: str = "any") -> Tensor:
    """Eq. 5 of arXiv 2309.14277, of the positives that supcon has."""
    s, sets, losses = similarities(z, z, temperature), label_sets(y), {}
    for i in range(len(z)):
        others = [k for k in range(len(z)) if k != i]
        related = [j for j in others if sets[i] and (sets[i] & sets[j] if positives == "any" else sets[i] == sets[j])]
        negatives = [k for k in others if k not in related]
        if related:
            losses[i] = -sum(log_p(s, i, j, [j, *negatives]) for j in related) / len(related)
    return mean_valid(losses, z.sum() * 0)


def similarity_dissimilarity(z: Tensor, y: Tensor, c: Tensor, *, temperature: float) -> Tensor:
    """The two factors of arXiv 2410.13439, weighing the terms of supcon."""
    s, sets, losses = similarities(z, z, temperature), label_sets(y), {}
    for i in range(len(z)):
        others = [k for k in range(len(z)) if k != i]
        related = [j for j in others if sets[i] & sets[j]]
        if related:
            terms = [
                len(sets[i] & sets[j]) / len(sets[i]) / (1 + len(sets[j] - sets[i])) * log_p(s, i, j, others)
                for j in related
            ]
            losses[i] = -sum(terms) / len(related)
    return mean_valid(losses, z.sum() * 0)


def jaccard_sigmoid(z: Tensor, y: Tensor, c: Tensor, *, temperature: float, bias: float = -10.0) -> Tensor:
    """The sigmoid loss of SigLIP, the target of a pair being a Jaccard similarity as in arXiv 2602.10553."""
    s, sets, total = similarities(z, z, temperature), label_sets(y), z.sum() * 0
    for i in range(len(z)):
        for j in range(len(z)):
            if i != j:
                target = len(sets[i] & sets[j]) / max(len(sets[i] | sets[j]), 1)
                logit = s[i, j] + bias
                total = total - target * F.logsigmoid(logit) - (1 - target) * F.logsigmoid(-logit)
    return total / len(z)


def overlap(z: Tensor, y: Tensor, c: Tensor, *, temperature: float) -> Tensor:
    """Eq. 4 and 5 of Su et al., with cosines: the dot products of label vectors, divided by their sum."""
    s, losses = similarities(z, z, temperature), {}
    for i in range(len(z)):
        others = [k for k in range(len(z)) if k != i]
        products = {j: float(y[i] @ y[j]) for j in others if y[i] @ y[j] > 0}
        if products:
            losses[i] = -sum(d / sum(products.values()) * log_p(s, i, j, others) for j, d in products.items())
    return mean_valid(losses, z.sum() * 0)


def multisupcon(z: Tensor, y: Tensor, c: Tensor, *, temperature: float, threshold: float = 0.5) -> Tensor:
    """As pytorch-metric-learning documents it."""
    s, sets, losses = similarities(z, z, temperature), label_sets(y), {}
    for i in range(len(z)):
        others = [k for k in range(len(z)) if k != i]
        jaccard = {j: len(sets[i] & sets[j]) / len(sets[i] | sets[j]) for j in others if sets[i] & sets[j]}
        near = {j: w for j, w in jaccard.items() if w >= threshold}
        if near:
            losses[i] = -sum(w * log_p(s, i, j, others) for j, w in near.items()) / len(near)
    return mean_valid(losses, z.sum() * 0)


def bcl(z: Tensor, y: Tensor, c: Tensor, *, temperature: float) -> Tensor:
    """Class averaging and class complement of Zhu et al.: a sum over labels of means over those that have the label."""
    rows, sets, losses = torch.cat([z, c]), label_sets(y) + [{label} for label in range(len(c))], {}
    s = similarities(rows, rows, temperature)
    groups = [[k for k in range(len(rows)) if label in sets[k]] for label in range(len(c))]
    groups.append([k for k in range(len(rows)) if not sets[k]])
    for i in range(len(z)):
        means = [
            torch.stack([s[i, k] for k in group if k != i]).logsumexp(0) - log(len(group))
            for group in groups
            if set(group) - {i}
        ]
        for label in sets[i]:
            positives = [j for j in groups[label] if j != i]
            loss = -sum(s[i, j] - torch.stack(means).logsumexp(0) for j in positives) / len(positives)
            losses[i] = losses.get(i, 0) + loss / len(sets[i])
    return mean_valid(losses, z.sum() * 0)


def paco(z: Tensor, y: Tensor, c: Tensor, *, temperature: float, alpha: float = 0.05) -> Tensor:
    """The loss of Cui et al. for label sets: the logits of prototypes plus a log frequency, in the denominator."""
    n, sets, losses = len(z), label_sets(y), {}
    s = similarities(z, torch.cat([z, c]), temperature)
    often = [1 + sum(label in labels for labels in sets) for label in range(len(c))]

    def prior(k: int) -> float:
        return 1.0 if k < n else often[k - n] / sum(often)

    for i in range(n):
        others = [k for k in range(n + len(c)) if k != i]
        weights = {j: alpha for j in range(n) if j != i and sets[i] & sets[j] and alpha} | {
            n + label: 1.0 for label in sets[i]
        }
        if weights:
            losses[i] = -sum(w * log_p(s, i, j, others, prior) for j, w in weights.items()) / sum(weights.values())
    return mean_valid(losses, z.sum() * 0)


def lacon(z: Tensor, y: Tensor, c: Tensor, *, temperature: float) -> Tensor:
    """The instance-centred and the label-centred loss of Zhang et al., half of each."""
    s, sets = similarities(z, c, temperature), label_sets(y)
    of_instances = {
        i: -sum(log_p(s, i, label, list(range(len(c)))) for label in sets[i]) / len(sets[i])
        for i in range(len(z))
        if sets[i]
    }
    of_labels = {}
    for label in range(len(c)):
        those = [i for i in range(len(z)) if label in sets[i]]
        if those:
            of_labels[label] = -sum(log_p(s.T, label, i, list(range(len(z)))) for i in those) / len(those)
    return (mean_valid(of_instances, z.sum() * 0) + mean_valid(of_labels, z.sum() * 0)) / 2


def weighted(
    z: Tensor, y: Tensor, c: Tensor, *, temperature: float, affinity: str = "any", sharing: str = "per_anchor"
) -> Tensor:
    """Every affinity and every sharing, by their definitions."""
    s, sets, losses = similarities(z, z, temperature), label_sets(y), {}
    affinity_of = {
        "any": lambda one, other: float(bool(one & other)),
        "exact": lambda one, other: float(bool(one) and one == other),
        "overlap": lambda one, other: float(len(one & other)),
        "jaccard": lambda one, other: len(one & other) / len(one | other),
        "inverse_union": lambda one, other: bool(one & other) / len(one | other),
        "coverage": lambda one, other: len(one & other) / len(other) if other else 0.0,
        "similarity_dissimilarity": lambda one, other: len(one & other) / len(one) / (1 + len(other - one)),
    }[affinity]
    for i in range(len(z)):
        others = [k for k in range(len(z)) if k != i]
        f = {j: affinity_of(sets[i], sets[j]) for j in others if sets[i] & sets[j]}
        f = {j: value for j, value in f.items() if value}
        if f and sharing == "per_anchor":
            w = {j: value / sum(f.values()) for j, value in f.items()}
        elif f and sharing == "per_positive":
            w = {j: value / len(f) for j, value in f.items()}
        else:
            same = {label: [j for j in f if label in sets[j]] for label in sets[i]}
            w = {j: sum(f[j] / sum(f[k] for k in same[label]) for label in sets[i] & sets[j]) / len(sets[i]) for j in f}
        if w:
            losses[i] = -sum(weight * log_p(s, i, j, others) for j, weight in w.items())
    return mean_valid(losses, z.sum() * 0)


FLAT = (simclr, supcon, base, jscl, proto, mulsupcon, msc, wo_reg, reg)
BEYOND = (sincere, similarity_dissimilarity, jaccard_sigmoid, weighted, overlap, multisupcon, bcl, paco, lacon)
ORACLES = {f.__name__: f for f in (*FLAT, *BEYOND)}
