"""Every contrastive loss over any anchors and candidates, with soft and unknown labels: loops in float64."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan, log
from typing import Any

import torch
from oracle_of_levels import PENALTIES
from torch import Tensor
from torch.nn import functional as F

Labels = Sequence[float]


@dataclass(frozen=True, eq=False)
class Row:
    """An anchor or candidate; one that is both is the same object, and no pair with itself."""

    z: Tensor
    y: Labels
    prototype: bool = False
    weight: float = 1.0


def known_counts(i: Labels, j: Labels) -> tuple[float, float, float]:
    """Labels in common, of i, and of j: of those that are known of both."""
    both = [(a, b) for a, b in zip(i, j, strict=True) if not isnan(a) and not isnan(b)]
    return sum(a * b for a, b in both), sum(a for a, _ in both), sum(b for _, b in both)


AFFINITIES: dict[str, Callable[[float, float, float], float]] = {
    "everyone": lambda o, i, j: 1.0,
    "any": lambda o, i, j: float(o > 0),
    "exact": lambda o, i, j: float(o > 0 and o == i == j),
    "overlap": lambda o, i, j: o,
    "jaccard": lambda o, i, j: o / (i + j - o) if o else 0.0,
    "inverse_union": lambda o, i, j: 1 / (i + j - o) if o else 0.0,
    "coverage": lambda o, i, j: o / j if o else 0.0,
    "similarity_dissimilarity": lambda o, i, j: o / i / (1 + j - o) if o else 0.0,
}


def covered(alpha: float) -> Callable[[float, float, float], float]:
    """Eq. 17; below 0 a threshold, which a soft count meets up to a millionth."""
    if alpha < 0:
        return lambda o, i, j: float(o > 0 and o / j >= 1 - 1e-6)
    return lambda o, i, j: (o / j) ** alpha if o else 0.0


def affinity_of(name: str, given: dict[str, Any]) -> Callable[[float, float, float], float]:
    """The affinity of a loss to instances."""
    if name in {"wo_reg", "reg"}:
        return covered(given.get("alpha", 0.0))
    if name == "msc":
        return lambda o, i, j: given.get("alpha", 1.0) * AFFINITIES["inverse_union"](o, i, j)
    if name == "multisupcon":
        return lambda o, i, j: (
            similar if (similar := AFFINITIES["jaccard"](o, i, j)) >= given.get("threshold", 0.5) - 1e-6 else 0.0
        )
    of_name = {
        "overlap": "overlap",
        "base": "jaccard",
        "jaccard_sigmoid": "jaccard",
        "jscl": "everyone",
        "similarity_dissimilarity": "similarity_dissimilarity",
    }
    return AFFINITIES[of_name.get(name, given.get("positives", given.get("affinity", "any")))]


def sharing_of(name: str, given: dict[str, Any]) -> str:
    if name in {"proto", "mulsupcon", "msc", "wo_reg", "reg", "bcl", "lacon"}:
        return "per_label"
    alone = {"similarity_dissimilarity": "per_positive", "multisupcon": "per_positive", "jaccard_sigmoid": "none"}
    return alone.get(name, given.get("sharing", "per_anchor"))


def shares(f: list[float], i: Labels, others: list[Labels], sharing: str) -> list[float]:
    """W of one anchor, from its affinities to the others."""
    if sharing == "none" or not any(f):
        return f
    if sharing in {"per_anchor", "per_positive"}:
        whole = sum(f) if sharing == "per_anchor" else sum(1 for value in f if value)
        return [value / whole for value in f]
    w, size = [0.0] * len(f), sum(c for c in i if not isnan(c))
    for label, of_anchor in enumerate(i):
        of_others = [value * (0.0 if isnan(y[label]) else y[label]) for value, y in zip(f, others, strict=True)]
        if of_anchor > 0 and sum(of_others) > 0:
            w = [a + of_anchor * b / sum(of_others) / size for a, b in zip(w, of_others, strict=True)]
    return w


def total_of(labels: Labels) -> float:
    """The number of labels; an unknown one is none."""
    return sum(c for c in labels if not isnan(c))


def factors_of(name: str, i: Row, others: list[Row], candidates: list[Row], given: dict[str, Any]) -> list[float]:
    """The factors g of an anchor's candidates in the denominator."""
    if name == "jscl":
        return [AFFINITIES["jaccard"](*known_counts(i.y, j.y)) for j in others]
    counts = [sum(0.0 if isnan(c) else c for c in column) for column in zip(*(j.y for j in candidates), strict=True)]
    if name == "bcl":
        without = sum(not total_of(j.y) for j in candidates)
        return [
            sum(c / n for c, n in zip(j.y, counts, strict=True) if not isnan(c) and c) if total_of(j.y) else 1 / without
            for j in others
        ]
    if name == "paco":
        return [
            sum(c * n for c, n in zip(j.y, counts, strict=True)) / sum(counts) if j.prototype else 1.0 for j in others
        ]
    of_instances = given.get("beta", 0.1) if name == "msc" else given.get("instance_repulsion", 1.0)
    return [1.0 if j.prototype else of_instances for j in others]


def similarity(i: Row, j: Row, temperature: float) -> Tensor:
    return F.normalize(i.z, dim=0) @ F.normalize(j.z, dim=0) / temperature


def flat(
    name: str,
    anchors: list[Row],
    candidates: list[Row],
    /,
    *,
    temperature: float,
    stop: float,
    bias: Tensor,
    **given: Any,
) -> Tensor:
    """Any loss without levels."""
    losses, factors = [], []
    affinity, sharing = affinity_of(name, given), sharing_of(name, given)
    of_instances = given.get("alpha", 0.05) if name == "paco" else given.get("instance_attraction", 1.0)
    for i in anchors:
        others = [j for j in candidates if j is not i and (name != "lacon" or j.prototype != i.prototype)]
        of_pairs = [known_counts(i.y, j.y) for j in others]
        f = [
            (AFFINITIES["any"] if j.prototype and name == "msc" else affinity)(*counts)
            * (1.0 if j.prototype else of_instances)
            for j, counts in zip(others, of_pairs, strict=True)
        ]
        g = factors_of(name, i, others, candidates, given)
        w = shares(f, i.y, [j.y for j in others], sharing) if any(g) else [0.0] * len(others)
        s = [similarity(i, j, temperature) for j in others]
        loss = 0 * i.z.sum() + sum(
            weighed(name, k, w, s, g, stop=stop, bias=bias, given=given)
            for k in range(len(others))
            if w[k] > 0 or name == "jaccard_sigmoid"
        )
        valid = float(any(w)) if name != "jaccard_sigmoid" else 1.0
        size = total_of(i.y)
        power = (size ** given["power"] if size else 0.0) if given.get("power") else 1.0
        factors.append(power * (size if name == "mulsupcon" else valid))
        losses.append(loss)
    if name == "lacon":
        kinds = [sum(f for f, i in zip(factors, anchors, strict=True) if i.prototype == kind) for kind in (False, True)]
        factors = [f / (kinds[i.prototype] or 1.0) for f, i in zip(factors, anchors, strict=True)]
    factors = [f * i.weight for f, i in zip(factors, anchors, strict=True)]
    whole = sum(f * loss for f, loss in zip(factors, losses, strict=True))
    return whole / (sum(factors) or 1.0) if losses else bias * 0


def weighed(
    name: str,
    j: int,
    w: list[float],
    s: list[Tensor],
    g: list[float],
    *,
    stop: float,
    bias: Tensor,
    given: dict[str, Any],
) -> Tensor:
    """What the pair of an anchor with candidate j costs."""
    if name == "jaccard_sigmoid":
        logit = s[j] + bias
        repulsion = logit.sigmoid()
        cost = F.softplus(logit, threshold=50) - w[j] * logit
    else:
        alone = given.get("denominator") == "negatives"
        competing = name == "sincere" or alone
        against = [k for k in range(len(s)) if g[k] and (not competing or not w[k] or (k == j and not alone))]
        if not against:
            return 0 * s[j]
        normaliser = torch.stack([s[k] + log(g[k]) for k in against]).logsumexp(0)
        whole = w[j] if name == "sincere" else sum(w)
        repulsion = whole * (s[j] + log(g[j]) - normaliser).exp() if g[j] and not alone else 0 * s[j]
        cost = w[j] * (normaliser - s[j])
    return cost - stop * (repulsion - w[j]).clamp(min=0).detach() * s[j] * (w[j] > 0)


def at_level(row: Row, depths: list[int], level: int) -> list[float]:
    return [y for y, depth in zip(row.y, depths, strict=True) if depth == level]


def by_pairs(
    anchors: list[Row],
    candidates: list[Row],
    depths: list[int],
    *,
    temperature: float,
    penalty: str,
    constrained: bool,
    zero: Tensor,
) -> Tensor:
    """Eq. 4 to 7: over levels, anchors and pairs."""
    levels, floor, losses, valid = max(depths) + 1, None, [zero for _ in anchors], set()
    for level in range(levels - 1, -1, -1):
        largest = floor
        for place, i in enumerate(anchors):
            others = [j for j in candidates if j is not i]
            s = [similarity(i, j, temperature) for j in others]
            own, theirs = at_level(i, depths, level), [at_level(j, depths, level) for j in others]
            f = [float(known_counts(own, y)[0] > 0) for y in theirs]
            for k, weight in enumerate(shares(f, own, theirs, "per_label")):
                if weight:
                    valid.add(place)
                    loss = torch.stack(s).logsumexp(0) - s[k]
                    loss = floor if constrained and floor is not None and floor >= loss else loss
                    largest = loss if largest is None or loss > largest else largest
                    losses[place] = losses[place] + PENALTIES[penalty](levels - level) / (levels + 1) * weight * loss
        floor = largest
    total = sum(anchors[place].weight for place in valid)
    return sum((anchors[place].weight * loss for place, loss in enumerate(losses)), zero) / (total or 1.0)


def by_levels(
    views: list[list[Row]],
    depths: list[int],
    *,
    temperature: float,
    penalty: str,
    constrained: bool,
    representatives: bool,
    every: bool,
    zero: Tensor,
) -> Tensor:
    """The means of the levels; ``views`` are those of each example, and every one is an anchor, or the first."""
    levels, floor, total, kept = max(depths) + 1, None, zero, list(views)
    for level in range(levels - 1, -1, -1):
        rows = [[Row(view.z, at_level(view, depths, level), weight=view.weight) for view in one] for one in kept]
        flattened = [row for one in rows for row in one]
        anchors = flattened if every else [one[0] for one in rows]
        weights = [shares_of_level(i, flattened) for i in flattened]
        if any(any(w) for w in weights):
            loss = flat("wo_reg", anchors, flattened, temperature=temperature, stop=0.0, bias=zero)
            if constrained:
                loss = loss if floor is None or loss > floor else floor
                floor = loss
            total = total + PENALTIES[penalty](levels - level) / (levels + 1) * loss
        if representatives:
            first: dict[tuple[float, ...], list[Row]] = {}
            for one in kept:
                so_far = [y for y, depth in zip(one[0].y, depths, strict=True) if depth <= level]
                first.setdefault(tuple(-1.0 if isnan(y) else y for y in so_far), one)
            kept = [first[labels] for labels in sorted(first, reverse=True)]
    return total


def shares_of_level(i: Row, rows: list[Row]) -> list[float]:
    others = [j.y for j in rows if j is not i]
    return shares([float(known_counts(i.y, y)[0] > 0) for y in others], i.y, others, "per_label")


def close(y: Labels, ancestors: Tensor) -> list[float]:
    """Add up what is below each label, to at most 1; unknown where an unknown one below could add to it."""
    closed = []
    for label in range(len(y)):
        below = [y[c] for c in range(len(y)) if ancestors[c, label]]
        whole = min(1.0, sum(c for c in below if not isnan(c)))
        closed.append(float("nan") if whole < 1 and any(isnan(c) for c in below) else whole)
    return closed
