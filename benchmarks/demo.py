"""Whether what the demo shows holds over seeds: losses, each with its probe or head alone and blended with neighbours.

    python benchmarks/demo.py [--seeds 5]

Two amounts of training pictures: those of the demo, and all. What has been measured is kept in
``benchmarks/results/demo.json`` and not measured again; ``demo.md`` shows the means over seeds.
"""

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import labelcontrast as lc
from labelcontrast.data.digits import write_digits
from labelcontrast.files import read_json, write_json, write_text
from labelcontrast.lab.comparison import DEMO_LOSSES, DEMO_SETTINGS
from labelcontrast.run.machine import describe_origin
from labelcontrast.settings import parse_loss

RESULTS = Path(__file__).parent / "results"
AMOUNTS: dict[str, Mapping[str, Any]] = {
    "the demo: 300 pictures, 40 epochs, 20 pixels": DEMO_SETTINGS,
    "all 1,500 pictures, 8 epochs, 40 pixels": {
        "encoder": {"name": "convnet", "image_size": 40},
        "training": {"epochs": 8, "batch_size": 32, "learning_rate": 0.004},
    },
}
MEASURES = {"micro_f1": "micro-F1", "macro_f1": "macro-F1", "map_macro": "mAP"}
KEY = ("amount", "seed", "loss")
MADE = """Made by `python benchmarks/demo.py`: means and standard deviations over seeds on 800 test pictures,
in percent, with a threshold for each label. A seed also draws its own 300 pictures. Alone is the probe on the
embedding (bce and zlpr: the trained head), blended is that with the nearest training pictures. Wins of reg: the seeds
in which reg alone is ahead of the loss alone."""


def measure(data: Path, amount: str, seed: int, loss: str) -> dict[str, Any]:
    """Train once, and measure the probe or head alone and blended with the nearest neighbours."""
    views = {"evaluation": {"views": ["probe", "neighbours"]}}
    chosen = {
        "data": str(data),
        "seed": seed,
        "split_seed": seed,
        "loss": parse_loss(loss).model_dump(exclude_none=True),
    }
    with tempfile.TemporaryDirectory() as folder:
        result = lc.run_experiment(lc.RunSettings.build({**AMOUNTS[amount], **views, **chosen}), Path(folder) / "run")
    assert result.views is not None
    found = {"alone": result.views["probe"]["test"], "blended": result.metrics["test"]}
    values = {title: {name: one[name] for name in MEASURES} for title, one in found.items()}
    return {**dict(zip(KEY, (amount, seed, loss), strict=True)), **values}


def as_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Tabulate each amount of pictures: a line for each loss, with the seeds in which reg is ahead of it."""
    lines = ["# The demo over seeds", "", MADE, ""]
    for amount in AMOUNTS:
        runs = {
            loss: {one["seed"]: one for one in rows if (one["amount"], one["loss"]) == (amount, loss)}
            for loss in DEMO_LOSSES
        }
        heads = [f"{title}, {part}" for part in ("alone", "blended") for title in MEASURES.values()]
        lines += [
            f"## {amount}",
            "",
            f"| loss | seeds | {' | '.join(heads)} | wins of reg: {', '.join(MEASURES.values())} |",
        ]
        lines += ["| --- |" + " ---: |" * (len(heads) + 2)]
        for loss, by_seed in runs.items():
            if not by_seed:
                continue
            cells = []
            for part in ("alone", "blended"):
                for name in MEASURES:
                    values = [100 * one[part][name] for one in by_seed.values()]
                    cells.append(f"{np.mean(values):.1f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.1f}")
            both = sorted(by_seed.keys() & runs["reg"].keys()) if loss != "reg" else []
            wins = [
                f"{sum(runs['reg'][seed]['alone'][name] > by_seed[seed]['alone'][name] for seed in both)}/{len(both)}"
                for name in MEASURES
            ]
            lines.append(f"| {loss} | {len(by_seed)} | {' | '.join(cells)} | {', '.join(wins) if both else ''} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing, and write the results after every run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    path = RESULTS / "demo.json"
    kept = read_json(path)["rows"] if path.exists() else []
    done = {tuple(row[name] for name in KEY) for row in kept}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        data = write_digits("digits")
        for amount in AMOUNTS:
            for seed in range(given.seeds):
                for loss in DEMO_LOSSES:
                    if (amount, seed, loss) not in done:
                        kept.append(measure(data, amount, seed, loss))
                        write_json(path, {"origin": describe_origin(), "rows": kept})
                        write_text(RESULTS / "demo.md", as_table(kept))


if __name__ == "__main__":
    main()
