"""What the published probe loses by multiplying in bf16: the same trainings in both, on the same test examples.

    python benchmarks/probe_precision.py DATA... --cache FOLDER

Features as in probe_quality.py, and the same cache. Three seeds; micro-F1, macro-F1 and mAP at one half; differences
with 1.96 deviations of 400 paired resamples of the test examples; seconds of processor time on one thread. Writes
probe_precision.json into benchmarks/results.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from probe_quality import MEASURES, RESAMPLES, RESULTS, SEEDS, Parts, load, published

from labelcontrast.metrics.measures import draw_resamples, resampled_metrics
from labelcontrast.probes.published import PROTOCOLS
from labelcontrast.run.machine import describe_origin

KINDS = ("32", "bf16")


def measure(features: Parts, labels: Parts) -> dict[str, object]:
    """Both kinds of arithmetic under every seed; each value is a mean over seeds."""
    tested = len(labels["test"])
    drawn = draw_resamples(tested, resamples=RESAMPLES, generator=np.random.default_rng(0))
    counts = np.vstack([np.ones((1, tested), int), drawn])
    found: dict[str, list[dict[str, np.ndarray]]] = {kind: [] for kind in KINDS}
    seconds = dict.fromkeys(KINDS, 0.0)
    for seed in range(SEEDS):
        for kind in KINDS:
            begun = time.process_time()
            probe = published(replace(PROTOCOLS["paper"], precision=kind))(features, labels, seed)
            seconds[kind] += (time.process_time() - begun) / SEEDS
            said = probe(features["test"])
            found[kind].append(resampled_metrics(labels["test"], said, said > 0.5, counts))
    rows: dict[str, object] = {"seconds": {kind: round(value, 1) for kind, value in seconds.items()}}
    for title, name in MEASURES.items():
        exact, rounded = (100 * np.stack([one[name] for one in found[kind]]) for kind in KINDS)
        difference = (rounded - exact).mean(0)
        rows[title] = {
            "32": round(float(exact[:, 0].mean()), 2),
            "bf16": round(float(rounded[:, 0].mean()), 2),
            "deviation over seeds": round(float(exact[:, 0].std(ddof=1)), 2),
            "difference": round(float(difference[0]), 2),
            "interval": round(float(1.96 * np.nanstd(difference[1:], ddof=1)), 2),
        }
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kept = RESULTS / "probe_precision.json"
    results: dict[str, object] = json.loads(kept.read_text())["found"] if kept.exists() else {}
    for folder in arguments.data:
        results[folder.name] = measure(*load(folder, arguments.cache)[:2])
        print(folder.name, json.dumps(results[folder.name]), flush=True)
        machine = {**describe_origin(), "threads": 1}
        kept.write_text(json.dumps({"machine": machine, "found": results}, indent=1) + "\n")
