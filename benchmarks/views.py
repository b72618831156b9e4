"""What each view of a model is worth, alone and blended, and which rule of thresholds fits the blend.

    python benchmarks/views.py [--sets semeval2018_ec,tabular/yeast.npz] [--losses reg,zlpr] [--seeds 3]

One run a set, loss and seed; then every combination of its views is blended on validation and measured on test. What
has been measured is kept in ``benchmarks/results/views.json`` and not measured again; ``views.md`` shows the means.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

import labelcontrast as lc
from labelcontrast import metrics, probes
from labelcontrast.data.batches import dense_truth, encode_labels
from labelcontrast.files import read_json, write_json, write_text
from labelcontrast.run.inputs import load_data
from labelcontrast.run.machine import describe_origin
from labelcontrast.settings import RunSettings, parse_loss

RESULTS = Path(__file__).parent / "results"
SHARED = Path(os.environ.get("LABELCONTRAST_SHARED", Path(__file__).parents[2] / "shared"))
SETS = (
    "semeval2018_ec",
    "reuters21578",
    "hoc",
    "aapd2k",
    "tabular/emotions.npz",
    "tabular/scene.npz",
    "tabular/yeast.npz",
    "tabular/birds.npz",
    "tabular/enron.npz",
)
RULES = ("global", "per_label", "expected_f1")
MEASURES = {"micro_f1": "micro-F1", "macro_f1": "macro-F1", "sample_f1": "sample-F1", "map_macro": "mAP"}
MADE = """Made by `python benchmarks/views.py`: means over seeds on test, in percent, of micro-F1 / macro-F1 / sample-F1
under each rule of thresholds, and of macro average precision."""
BARE = "probe, not blended"
DEFAULT = RunSettings(data="").loss.title


def measure(name: str, loss: str, seed: int) -> dict[str, Any]:
    """Train on one set, and measure every combination of the views of the model."""
    values = {
        "data": str(SHARED / "data" / name),
        "loss": parse_loss(loss).model_dump(exclude_none=True),
        "seed": seed,
        "encoder": {"name": "embedded"},
        "hierarchy": {"file": "none"},
    }
    settings = RunSettings.build(values)
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        result = lc.run_experiment(settings, Path(folder) / "run")
        seconds = time.process_time() - start
        model = lc.load(Path(folder) / "run")
    splits = load_data(settings).splits
    encoded = {part: encode_labels(getattr(splits, part), splits.vocabulary) for part in ("train", "val", "test")}
    truth = {part: dense_truth(*one) for part, one in encoded.items()}
    logits = {part: model.view_logits(getattr(splits, part)) for part in ("val", "test")}
    frequency = (np.nansum(truth["train"], axis=0) + 0.5) / (len(truth["train"]) + 1)
    found = {}
    for title, scores in blended(logits, truth["val"], frequency):
        found[title] = {}
        for rule in RULES:
            predicted = probes.choose_thresholds(rule, truth["val"], scores["val"]).predict(scores["test"])
            measured = metrics.compute_metrics(truth["test"], scores["test"], predicted)
            found[title][rule] = {measure: measured[measure] for measure in MEASURES}
    return {
        "set": name,
        "loss": loss,
        "seed": seed,
        "processor_seconds": seconds,
        "stages": result.seconds,
        "by_views": found,
    }


def blended(
    logits: dict[str, dict[str, np.ndarray]], labels: np.ndarray, frequency: np.ndarray
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield the probabilities of the probe as they are, and those of every blend."""
    yield BARE, {part: 1 / (1 + np.exp(-one["probe"])) for part, one in logits.items()}
    views = list(logits["val"])
    for size in range(1, len(views) + 1):
        for chosen in combinations(views, size):
            blend = probes.fit_blend(labels, {view: logits["val"][view] for view in chosen}, frequency=frequency)
            yield " + ".join(chosen), {part: blend.probabilities(one) for part, one in logits.items()}


def as_table(rows: list[dict[str, Any]]) -> str:
    """Tabulate the means over seeds: micro-F1, macro-F1 and sample-F1 under each rule, and mAP."""
    lines = ["# Views and their blend", "", MADE, "", *ablation(rows)]
    for name, loss in dict.fromkeys((row["set"], row["loss"]) for row in rows):
        runs = [row for row in rows if (row["set"], row["loss"]) == (name, loss)]
        seconds = np.mean([row["processor_seconds"] for row in runs])
        seeds = ", ".join(str(run["seed"]) for run in runs)
        lines += [f"## {name}, {loss}", "", f"Seeds {seeds}; {seconds:.0f} processor seconds a run.", ""]
        lines += ["| views | " + " | ".join(RULES) + " | mAP |", "| --- |" + " --- |" * len(RULES) + " ---: |"]
        for title in runs[0]["by_views"]:
            cells = []
            for rule in RULES:
                means = [
                    100 * np.mean([run["by_views"][title][rule][one] for run in runs]) for one in list(MEASURES)[:3]
                ]
                cells.append(" / ".join(f"{mean:.1f}" for mean in means))
            precision = 100 * np.mean([run["by_views"][title]["global"]["map_macro"] for run in runs])
            lines.append(f"| {title} | {' | '.join(cells)} | {precision:.1f} |")
        lines.append("")
    return "\n".join(lines)


def ablation(rows: list[dict[str, Any]]) -> list[str]:
    """Tabulate what each change of the defaults brought: means over the sets on which all losses ran."""
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in rows:
        runs.setdefault(row["loss"], {}).setdefault(row["set"], []).append(row["by_views"])
    names = sorted(set.intersection(*(set(runs[loss]) for loss in ("reg", DEFAULT))))
    lines = [f"## What each default brings: means over {len(names)} sets", ""]
    lines += ["| defaults | micro-F1 | macro-F1 | sample-F1 | mAP |", "| --- |" + " ---: |" * 4]
    for title, loss, views, rule in (
        ("`reg`, the probe alone, one threshold (before)", "reg", BARE, "global"),
        ("all views of the kind, blended", "reg", None, "global"),
        (f"the loss `{DEFAULT}`", DEFAULT, None, "global"),
        ("a threshold for each label", DEFAULT, None, "per_label"),
    ):
        cells = []
        for measure in MEASURES:
            of_sets = [[run[views or list(run)[-1]][rule][measure] for run in runs[loss][name]] for name in names]
            cells.append(f"{100 * np.mean([np.mean(one) for one in of_sets]):.1f}")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return [*lines, "", "Each row adds to the one above.", ""]


def main() -> None:
    """Measure what is missing, and write the results after every run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--losses", default="reg,zlpr")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    path = RESULTS / "views.json"
    kept = read_json(path)["rows"] if path.exists() else []
    done = {(row["set"], row["loss"], row["seed"]) for row in kept}
    for seed in range(given.seeds):
        for name in given.sets.split(","):
            for loss in given.losses.split(","):
                if (name, loss, seed) in done:
                    continue
                row = measure(name, loss, seed)
                kept.append(row)
                order = {one: place for place, one in enumerate(SETS)}
                kept.sort(key=lambda one: (order.get(one["set"], len(order)), one["set"], one["loss"], one["seed"]))
                write_json(path, {"origin": describe_origin(), "rows": kept})
                write_text(RESULTS / "views.md", as_table(kept))
                print(json.dumps({key: row[key] for key in ("set", "loss", "seed", "processor_seconds")}), flush=True)


if __name__ == "__main__":
    main()
