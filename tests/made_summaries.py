"""Synthetic results of a run and of a comparison on a long-tailed data set."""

import base64
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from labelcontrast.lab.comparison_report import ComparedLoss, ComparisonSummary
from labelcontrast.metrics.registry import HIERARCHICAL_METRICS, LEVEL_METRICS, METRICS, RETRIEVAL_METRICS
from labelcontrast.reports.summary import (
    EmbeddingScatter,
    HierarchySummary,
    MistakenLabel,
    RunSummary,
    ShownExamples,
)

MEASURES = [replace(metric, meaning=f"What {metric.name} means.") for metric in METRICS.values()]
SOME_NAMES = [
    "Tshirts",
    "Shirts",
    "Casual",
    "Formal",
    "Topwear",
    "Watches",
    "Heels",
    "Kurtas",
    "Backpacks",
    "Sunglasses",
    "Belts",
    "Socks",
    "Ties",
]


def made_rows(labels: int, *, seed: int = 0, lift: float = 0.0) -> list[dict[str, object]]:
    """Per-label rows with a long tail: the rarer, the worse, with noise; the last is in no training example."""
    generator = np.random.default_rng(seed)
    counts = np.round(4000 * np.arange(1, labels + 1) ** -1.35).astype(int)
    counts[-1] = 0
    names = [*SOME_NAMES, *(f"Article {number}" for number in range(labels))][:labels]
    rows = []
    for name, count in zip(names, counts, strict=True):
        f1 = float(np.clip(0.22 * np.log10(count + 1) + lift + generator.normal(0, 0.13), 0, 0.99)) if count else 0.0
        support = int(count // 10)
        rows.append(
            {
                "label": name,
                "train_count": int(count),
                "support": support,
                "precision": min(1.0, f1 * 1.05),
                "recall": f1 * 0.95,
                "f1": f1,
                "average_precision": min(1.0, f1 * 1.08) if support else float("nan"),
                "threshold": 0.378,
            }
        )
    return rows


def made_curves(*, seed: int = 0, epochs: int = 30) -> dict[str, tuple[list[float], list[float]]]:
    """Loss falling, validation rising with noise, learning rate warming up and cooling down."""
    generator = np.random.default_rng(seed)
    at = np.arange(1, epochs + 1)
    return {
        "train loss": (at.tolist(), (2.2 * np.exp(-at / 9) + 3.1 + generator.normal(0, 0.02, epochs)).tolist()),
        "validation mAP (%)": (at.tolist(), (62 * (1 - np.exp(-at / 7)) + generator.normal(0, 0.6, epochs)).tolist()),
        "learning rate": (at.tolist(), (1e-3 * np.minimum(at / 2, 0.5 + 0.5 * np.cos(np.pi * at / 30))).tolist()),
    }


def made_hierarchy() -> HierarchySummary:
    """Three levels: 40 articles, one of them below two of ten kinds, and two roots; a scatter plot per level."""
    generator = np.random.default_rng(3)
    kinds = [f"Apparel and footwear/A kind with a long name {kind}" for kind in range(10)]
    rows = [("Apparel and footwear", []), ("colour", []), *((kind, ["Apparel and footwear"]) for kind in kinds)]
    rows += [(f"{kinds[one % 10]}/Article {one}", [kinds[one % 10]]) for one in range(40)]
    rows[-1][1].append(kinds[0])
    rows += [("<b>red", ["colour"])]
    nodes = [
        {"node": name, "parents": above, "level": 0, "support": 7 * (one % 5), "f1": one % 11 / 10}
        for one, (name, above) in enumerate(rows)
    ]
    level = {"nodes": 12, "micro_f1": 0.71, "macro_f1": 0.52, "accuracy": 0.66}
    found = {"map": 0.5, "precision_at_1": 0.7, "precision_at_10": 0.6, "nmi": 0.4}
    names = ("hierarchical_f1", "tree_distance_of_errors", "violations")
    return HierarchySummary(
        source="hierarchy in hierarchy.json: 53 nodes on 3 levels (2, 11, 40)",
        measures=[replace(HIERARCHICAL_METRICS[name], meaning=f"What {name} means.") for name in names],
        metrics={part: dict(zip(names, (0.61, 2.345, 0.02), strict=True)) for part in ("val", "test")},
        level_measures=list(LEVEL_METRICS.values()),
        levels=[level, level, {**level, "accuracy": None}],
        nodes=nodes,
        scatters=[
            EmbeddingScatter(
                coordinates=generator.normal(size=(300, 2)),
                labels=[rows[place % 12][0] for place in range(300)],
                method="PCA, 31 % of the variance",
            )
        ]
        * 3,
        held_out=["Article 3", "Article 5"],
        retrieval_measures=list(RETRIEVAL_METRICS.values()),
        retrieval={"seen": [found] * 3, "unseen": [found] * 3, "unseen leaves alone": [found]},
    )


def made_examples() -> ShownExamples:
    """Eight mistakes, with a long text, a picture and names that must be escaped, and one success."""
    labels = [
        {"name": "Kurtas <b>", "probability": 0.034, "true": True, "predicted": False},
        {"name": "Topwear", "probability": 0.912, "true": False, "predicted": True},
        {"name": "Ties", "probability": 0.6, "true": None, "predicted": True},
        {"name": "Shirts", "probability": 0.98, "true": True, "predicted": True},
    ]
    file = BytesIO()
    Image.new("RGB", (90, 128), "teal").save(file, format="JPEG")
    picture = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
    inputs = [{"text": "a shirt </p><script>alert(1)</script> " + "x" * 300}, {"picture": picture}, *[{}] * 6]
    mistakes = [
        {"id": f"shop/{place}", "loss": 2.0 - place / 10, "labels": labels, "more_labels": 0, **given}
        for place, given in enumerate(inputs)
    ]
    success = {"id": "shop/9", "loss": 0.01, "labels": labels[3:], "more_labels": 2}
    return ShownExamples(examples=2800, wrong=1312, mistakes=mistakes, successes=[success])


@pytest.fixture
def run() -> RunSummary:
    """135 labels, 30 epochs, a scatter plot of 1,600 points in clusters, and names that must be escaped in HTML."""
    generator = np.random.default_rng(1)
    centres = generator.normal(size=(24, 2)) * 4
    cluster = np.minimum(generator.geometric(0.16, size=1600) - 1, 23)
    values = {"micro_f1": 0.7312, "macro_f1": 0.4127, "sample_f1": 0.7205, "hamming_loss": 0.0211}
    values |= {"map_macro": 0.5561, "map_micro": 0.7934, "lrap": 0.8466, "labels_scored": 106.0}
    return RunSummary(
        title="reg on fashion_products",
        command="labelcontrast train fashion_products --loss reg --encoder small-conv --epochs 30 --out runs/reg-0",
        measures=MEASURES,
        metrics={"validation": {name: value * 1.01 for name, value in values.items()}, "test": values},
        facts=[("loss", "reg"), ("encoder", "small-conv"), ("examples", "8,400 / 800 / 2,800"), ("labels", 135)],
        per_label=[*made_rows(134), {**made_rows(134)[60], "label": "<script>alert(1)</script> & sons"}],
        curves=made_curves(),
        embedding=EmbeddingScatter(
            coordinates=centres[cluster] + generator.normal(size=(1600, 2)),
            labels=[(*SOME_NAMES, *"abcdefghijk")[one] if one < 23 else None for one in cluster],
            method="PCA, 31 % of the variance",
            titles=[f"shop/{place}: a </title><script>alert(1)</script> shirt" for place in range(1600)],
        ),
        examples=made_examples(),
        mistaken=[
            MistakenLabel(
                label=name,
                threshold=0.378,
                right=30,
                wrong=10,
                missed=20,
                given_instead=[(SOME_NAMES[place - 1], 7), ("<b>red", 2)],
                missed_instead=[],
                curve=[(1.0, 0.1, 0.0), (0.6, 0.75, 0.4), (0.2, 1.0, 0.9)] if place else [],
            )
            for place, name in enumerate(SOME_NAMES[:12])
        ],
        hierarchy=made_hierarchy(),
        settings={"loss.name": "reg", "loss.temperature": 0.1, "training.batch_size": 256, "training.epochs": 30},
        warnings=["29 labels have no positive example in test: their F1 is 0, and they are left out of mAP."],
        versions={"labelcontrast": "0.1.0", "torch": "2.15.0", "python": "3.11.9"},
        duration=252.4,
    )


@pytest.fixture
def comparison() -> ComparisonSummary:
    """Four losses with three seeds, one of them with a run that failed, and a baseline with one run and no curves."""
    generator = np.random.default_rng(2)
    losses = []
    for place, (name, lift) in enumerate((("bce", 0.0), ("zlpr", 0.04), ("wo_reg", 0.06), ("reg", 0.08))):
        seeds = 2 if name == "zlpr" else 3
        metrics = {
            one.name: (
                (0.03 - lift / 10 if one.better == "lower" else 0.55 + lift) + generator.normal(0, 0.006, seeds)
            ).tolist()
            for one in MEASURES
        }
        losses.append(
            ComparedLoss(
                name=name,
                metrics=metrics,
                seconds=generator.uniform(200, 260, seeds).tolist(),
                per_label=made_rows(135, seed=place, lift=lift),
                curves=made_curves(seed=place),
                runs=[(f"seed {seed}", f"{name}-{seed}/report.html") for seed in range(seeds)],
                failures=["seed 2: loss became NaN at step 118"] if name == "zlpr" else [],
            )
        )
    losses.append(
        ComparedLoss(name="TF-IDF + linear SVM", metrics={"micro_f1": [0.574], "macro_f1": [0.417]}, seconds=[3.2])
    )
    return ComparisonSummary(
        title="Four losses on fashion_products",
        command="labelcontrast compare fashion_products --losses bce,zlpr,wo_reg,reg --seeds 3 --out results/fashion",
        measures=MEASURES,
        losses=losses,
        facts=[("examples", "8,400 / 800 / 2,800"), ("labels", 135), ("seeds", 3)],
        settings={"training.epochs": 30},
        versions={"labelcontrast": "0.1.0"},
        duration=2900,
    )
