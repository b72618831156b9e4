"""Whether the parts that an explanation names matter: the log-odds lost without them, beside as many random parts.

    python benchmarks/faithfulness.py [--sets semeval2018_ec] [--examples 300] [--encoder auto] [--effort standard]

One run a set. Of each drawn test example with a predicted label, and for each predicted label, the
three words (cells of a picture) with the largest positive effects are removed together, and then, ten times, three
random ones. The figures are means over the pairs of an example and a label; the interval of the difference is of 95 %,
over resamples of the examples. What is measured is kept in ``benchmarks/results/faithfulness.json``.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import labelcontrast as lc
from labelcontrast.files import read_json, write_json
from labelcontrast.run.explanation import log_odds, removable_parts
from labelcontrast.run.inputs import load_data
from labelcontrast.run.machine import describe_origin
from labelcontrast.settings import RunSettings

OUT = Path(__file__).parent / "results" / "faithfulness.json"
SHARED = Path(os.environ.get("LABELCONTRAST_SHARED", Path(__file__).parents[2] / "shared"))
ENCODERS = {"FrozenEncoder": "frozen MiniLM", "HashedEncoder": "hashed words", "ConvNet": "convnet"}
REMOVED, DRAWS, RESAMPLES = 3, 10, 2000


def measure(name: str, count: int, *, encoder: str, effort: str) -> dict[str, Any]:
    """Train on one set, and compare named with random parts on some test examples."""
    random = np.random.default_rng(0)
    values = {"data": str(SHARED / "data" / name), "encoder": {"name": encoder}, "effort": effort}
    settings = RunSettings.build(values)
    with tempfile.TemporaryDirectory() as folder:
        lc.run_experiment(settings, Path(folder) / "run")
        model = lc.load(Path(folder) / "run")
    test = load_data(settings).splits.test
    pairs = []  # the example, what is lost without the named parts, and without random ones
    for row in random.permutation(len(test))[:count].tolist():
        example = test.select([row])
        names, without = removable_parts(model, example)
        if len(names) <= 2 * REMOVED:
            continue
        (explanation,) = model.explain(example, most=len(names), near=0)
        if not explanation.labels:
            continue
        drawn = [random.choice(len(names), REMOVED, replace=False).tolist() for _ in range(DRAWS)]
        named = []
        for label in explanation.labels:
            best = sorted(label.parts, key=lambda part: -part.effect)[:REMOVED]
            named.append([names.index(part.name) for part in best])
        scores = log_odds(model, example, [without(places) for places in ([], *drawn, *named)])
        lost = scores[0] - scores[1:]
        for place, label in enumerate(explanation.labels):
            column = model.labels.index(label.label)
            pairs.append((row, lost[DRAWS + place, column], lost[:DRAWS, column].mean()))
    rows, by_named, by_random = map(np.array, zip(*pairs, strict=True))
    examples = np.unique(rows)
    sums = np.array([[(by_named - by_random)[rows == one].sum(), (rows == one).sum()] for one in examples])
    drawn = random.integers(len(examples), size=(RESAMPLES, len(examples)))
    means = np.divide(*sums[drawn].sum(axis=1).T)
    return {
        "kind": test.kind,
        "encoder": model.encoder.__class__.__name__,
        "views": list(model.views),
        "examples": len(examples),
        "pairs": len(pairs),
        "removed": REMOVED,
        "lost without the named": round(float(by_named.mean()), 3),
        "lost without random ones": round(float(by_random.mean()), 3),
        "interval of the difference": np.percentile(means, (2.5, 97.5)).round(3).tolist(),
        "share of pairs that lose more without the named": round(float((by_named > by_random).mean()), 3),
    }


def table(found: dict[str, Any]) -> str:
    """Tabulate the results as docs/explain.md shows them."""
    lines = [
        "| set | encoder | examples | pairs | lost without the named | without random ones | difference, 95 % interval "
        "| pairs that lose more |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in found.items():
        encoder = ENCODERS[row["encoder"]]
        named, by_chance = row["lost without the named"], row["lost without random ones"]
        low, high = row["interval of the difference"]
        share = 100 * row["share of pairs that lose more without the named"]
        lines.append(
            f"| {name} | {encoder} | {row['examples']} | {row['pairs']} | {named:.2f} | {by_chance:.2f} "
            f"| {named - by_chance:.2f} ({low:.2f} to {high:.2f}) | {share:.1f} % |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure some sets, and keep the results of the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="semeval2018_ec")
    parser.add_argument("--examples", type=int, default=300)
    parser.add_argument("--encoder", default="auto")
    parser.add_argument("--effort", default="standard")
    given = parser.parse_args()
    for name in given.sets.split(","):
        row = measure(name, given.examples, encoder=given.encoder, effort=given.effort)
        print(name, json.dumps(row), flush=True)
        found = read_json(OUT) if OUT.exists() else {}
        write_json(OUT, {**found, name: {**row, "origin": describe_origin()}})


if __name__ == "__main__":
    main()
