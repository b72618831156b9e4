"""What a label is worth that is added to a trained run from few examples, against training the encoder with it.

    python benchmarks/labels.py [--seeds 3]

The training and validation stories of six topics of Reuters-21578 are left out. Each topic is then added to the run
from 5, 20 and 100 of its stories, of which nothing but the text is given. Beside it stand runs that were trained with
the same stories of all six topics, and one that was trained with all of their stories. The measures are those of the
topic on the test split. What has been measured is kept in ``benchmarks/results/labels.json`` and not measured again.
"""

import argparse
import gzip
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import labelcontrast as lc
from labelcontrast.files import read_json, write_json, write_text
from labelcontrast.metrics.measures import Outputs
from labelcontrast.metrics.ranking import average_precisions
from labelcontrast.run.changes import change_labels
from labelcontrast.run.folder import OUTPUTS
from labelcontrast.run.machine import describe_origin
from labelcontrast.run.model import load
from labelcontrast.settings import LabelChange, RunSettings

RESULTS = Path(__file__).parent / "results" / "labels.json"
TABLE = RESULTS.with_suffix(".md")
SHARED = Path(os.environ.get("LABELCONTRAST_SHARED", Path(__file__).parents[2] / "shared"))
HELD = ("crude", "trade", "interest", "ship", "money-supply", "sugar")
COUNTS = (5, 20, 100)
Rows = list[dict[str, Any]]


def read_stories() -> dict[str, Rows]:
    """Read the stories of every split."""
    folder, found = SHARED / "data" / "reuters21578", {}
    for split in ("train", "val", "test"):
        with gzip.open(folder / f"{split}.jsonl.gz", "rt") as file:
            found[split] = [json.loads(line) for line in file]
    return found


def without(rows: Rows, kept: Sequence[Any] = (), *, names_only: bool = False) -> Rows:
    """Leave out the stories of the held topics but some; or only the names of these topics."""
    found = []
    for row in rows:
        held = {*row["labels"]} & {*HELD}
        if not held or row["id"] in kept:
            found.append(row)
        elif names_only:
            found.append({**row, "labels": [name for name in row["labels"] if name not in held]})
    return found


def drawn(rows: Rows, name: str, count: int, seed: int) -> Rows:
    """Draw stories of a topic; those of a smaller number are among those of a larger one."""
    of_topic = [row for row in rows if name in row["labels"]]
    return [of_topic[at] for at in np.random.default_rng(seed).permutation(len(of_topic))[:count]]


def train(folder: Path, name: str, splits: Mapping[str, Rows]) -> tuple[Path, float]:
    """Train a run with the defaults of the embedded encoder, and return it with the processor seconds."""
    data = folder / f"{name}-data"
    data.mkdir()
    for split, rows in splits.items():
        (data / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    start = time.process_time()
    settings = RunSettings.build({"data": str(data), "encoder": {"name": "embedded"}})
    lc.run_experiment(settings, folder / name)
    return folder / name, time.process_time() - start


def measure(run: Path, name: str, test: Rows) -> dict[str, float]:
    """Measure a topic on the test stories."""
    outputs, column = Outputs.load(run / OUTPUTS), load(run).vocabulary.column[name]
    truth = np.array([name in row["labels"] for row in test])
    predicted, scores = outputs.predictions[:, column], outputs.scores[:, column]
    hits = int((truth & predicted).sum())
    return {
        "f1": 2 * hits / (int(truth.sum()) + int(predicted.sum())),
        "precision": hits / max(int(predicted.sum()), 1),
        "recall": hits / int(truth.sum()),
        "average_precision": float(average_precisions(truth[:, None].astype(int), scores[:, None])[0]),
    }


def trained(folder: Path, stories: Mapping[str, Rows], seeds: int) -> Iterator[dict[str, Any]]:
    """Train with all stories, and with some of each topic, and yield what is measured."""
    kinds: list[tuple[int | None, int]] = [(None, 0), *((count, seed) for count in COUNTS for seed in range(seeds))]
    for count, seed in kinds:
        kept = [row["id"] for name in HELD for row in drawn(stories["train"], name, count or 0, seed)]
        splits = {part: rows if count is None else without(rows, kept) for part, rows in stories.items()}
        run, seconds = train(folder, f"trained-{count}-{seed}", {**splits, "test": stories["test"]})
        for name in HELD:
            yield {
                "how": "trained", "topic": name, "examples": count, "seed": seed, "processor_seconds": seconds,
                "test": measure(run, name, stories["test"]),
            }  # fmt: skip


def added(folder: Path, stories: Mapping[str, Rows], seeds: int) -> Iterator[dict[str, Any]]:
    """Train without the topics, add each of them, and yield what is measured."""
    base = {part: without(rows, names_only=part == "test") for part, rows in stories.items()}
    run, _ = train(folder, "base", base)
    for seed in range(seeds):
        for name in HELD:
            for count in COUNTS:
                file = folder / "examples.jsonl"
                texts = (json.dumps({"text": row["text"]}) + "\n" for row in drawn(stories["train"], name, count, seed))
                file.write_text("".join(texts))
                start, wall = time.process_time(), time.monotonic()
                version = change_labels(run, LabelChange(verb="add", labels=(name,), examples=str(file)))
                yield {
                    "how": "added", "topic": name, "examples": count, "seed": seed,
                    "processor_seconds": time.process_time() - start, "seconds": time.monotonic() - wall,
                    "test": measure(version.folder, name, stories["test"]),
                    "held_out": version.entry["measured"], "others": version.entry["others"],
                }  # fmt: skip
                shutil.rmtree(version.folder)


def as_table(rows: Rows) -> str:
    """Tabulate means over topics and seeds on test: F1 and average precision, added and trained, in percent."""

    def mean(how: str, count: int | None, *path: str) -> float:
        found: list[Any] = [row for row in rows if (row["how"], row["examples"]) == (how, count)]
        for name in path:
            found = [one[name] for one in found]
        return float(np.mean(found))

    def pair(how: str, count: int | None, part: str = "test") -> str:
        return " / ".join(f"{100 * mean(how, count, part, one):.1f}" for one in ("f1", "average_precision"))

    lines = ["| examples | added | as printed then | processor seconds | trained with them | processor seconds |"]
    lines += ["| ---: | ---: | ---: | ---: | ---: | ---: |"]
    for count in COUNTS:
        seconds = f"{mean('added', count, 'processor_seconds'):.1f} | {pair('trained', count)} | "
        cells = f"{pair('added', count)} | {pair('added', count, 'held_out')} | {seconds}"
        lines.append(f"| {count} | {cells}{mean('trained', count, 'processor_seconds'):.0f} |")
    lines.append(f"| all | | | | {pair('trained', None)} | {mean('trained', None, 'processor_seconds'):.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is missing, and write the results after every row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--how", default="trained,added")
    given = parser.parse_args()
    rows: Rows = read_json(RESULTS)["rows"] if RESULTS.exists() else []
    stories = read_stories()
    for how in given.how.split(","):
        if any(row["how"] == how for row in rows):
            continue
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for row in (trained if how == "trained" else added)(folder, stories, given.seeds):
                rows.append(row)
                write_json(RESULTS, {"origin": describe_origin(), "rows": rows})
                print(json.dumps({key: row[key] for key in ("how", "topic", "examples", "seed")}), flush=True)
    write_text(TABLE, as_table(rows))


if __name__ == "__main__":
    main()
