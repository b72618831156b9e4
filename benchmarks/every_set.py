"""Every data set of a folder through the real commands: described, looked at by the doctor, and trained on for a while.

    python benchmarks/every_set.py ../shared/data --out results/every_set [--only NAME ...]

It writes ``table.md`` (figures beside the published ones, and what the short training came to), ``doctor.md`` (places,
counts and labels; no text of the data is repeated) and ``sets.json`` (both, with the commands and their seconds). A set
that is in ``sets.json`` already is not run again unless it is named.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from labelcontrast.data.description import describe
from labelcontrast.data.splits import Splits, load_splits
from labelcontrast.files import write_text

TABULAR = ("emotions", "scene", "yeast", "birds", "enron", "bibtex", "delicious")
EPOCHS = {"text": 3, "image": 3, "vector": 10}
COUNTED = {
    "labels each": r"Labels per row, all splits together: ([\d.]+)",
    "density": r"density ([\d.]+)",
    "IRmax": r"IRmax = ([\d.]+)",
    "mean IRLbl": r"mean IRLbl = ([\d.]+)",
}
"""What the DATASET.md of a folder says of it, counted by others with other code."""
METRICS = ("micro_f1", "macro_f1", "map_macro")


def sets(root: Path) -> Iterator[Path]:
    """List the data sets: a folder each, but a file each of the vectors."""
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        yield from [folder / f"{name}.npz" for name in TABULAR] if folder.name == "tabular" else [folder]


def labelcontrast(*arguments: str) -> tuple[str, float]:
    """Run the command, and return what it printed and the seconds it took."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "labelcontrast", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"labelcontrast {' '.join(arguments)}\n{done.stderr}")
    return done.stdout, round(time.perf_counter() - start, 1)


def figures(splits: Splits) -> dict[str, Any]:
    """Count what is in a set, and put beside it what was published and what the DATASET.md of its folder says."""
    description = describe(splits)
    parts = description.splits.values()
    mean = float(np.average([part.labels_mean for part in parts], weights=[part.examples for part in parts]))
    found = {
        "labels each": mean,
        "density": mean / len(splits.vocabulary),
        "IRmax": description.imbalance.largest,
        "mean IRLbl": description.imbalance.mean,
    }
    beside = Path(splits.train.origin).parent / "DATASET.md"
    written = beside.read_text(encoding="utf-8") if splits.train.kind != "vector" else ""
    said = {name: match[1] for name, pattern in COUNTED.items() if (match := re.search(pattern, written))}
    known = description.published
    return {
        "sizes": [part.examples for part in parts],
        "labels": len(splits.vocabulary),
        "found": found,
        "said": {name: [number, agree(number, found[name])] for name, number in said.items()},
        "published": None if known is None else {"source": known.source, "figures": [
            [figure.name, figure.published, figure.found, figure.agrees] for figure in known.figures
        ]},
    }  # fmt: skip


def agree(written: str, found: float) -> bool:
    """Say whether a number rounds to what is written."""
    return abs(float(written) - found) <= 0.5001 * 10.0 ** -len(written.partition(".")[2])


def findings(printed: str) -> list[list[str]]:
    """Take the findings out of what ``describe --doctor`` printed: a sentence each, then its examples."""
    found: list[list[str]] = []
    for line in printed.rpartition("\nDoctor\n")[2].splitlines():
        if line.startswith("  - "):
            found.append([line[4:]])
        elif re.match(r" {6}\S", line):
            found[-1].append(line.strip())
        elif found:
            found[-1][-1] += f" {line.strip()}"
    # Behind a colon stands the example itself, which is not ours to repeat.
    return [[sentence, *(one.partition(": ")[0] for one in instances)] for sentence, *instances in found]


def examine(path: Path) -> dict[str, Any]:
    """Describe a set, let the doctor look at it, and train on it."""
    splits = load_splits(path, seed=0)
    epochs = EPOCHS[splits.train.kind]
    printed, describing = labelcontrast("describe", str(path), "--doctor")
    with TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        options = ["--loss", "reg", "--encoder", "embedded", "--epochs", str(epochs)]
        _, training = labelcontrast("train", str(path), *options, "--out", str(run))
        metrics = json.loads((run / "metrics.json").read_text())
    return {
        **figures(splits),
        "kind": splits.train.kind,
        "epochs": epochs,
        "seconds": {"describe --doctor": describing, "train": training},
        "test": {name: metrics["metrics"]["test"][name] for name in METRICS},
        "doctor": findings(printed),
        "date": metrics["date"],
        "versions": metrics["versions"],
    }


def table(results: dict[str, Any]) -> str:
    """Write the figures and the trainings as two tables."""
    first = ["| data | train / val / test | labels | labels each | density | IRmax | mean IRLbl | published / found |"]
    first.append("| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |")
    second = ["| data | kind | epochs | micro-F1 | macro-F1 | mAP | s, train | s, doctor | findings |"]
    second.append("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, it in results.items():
        found, said = it["found"], it["said"]
        numbers = [f"{found[key]:,.{digits}f}" for key, digits in zip(COUNTED, (3, 4, 1, 1), strict=True)]
        marks = [f" (**{said[key][0]}**)" if key in said and not said[key][1] else "" for key in COUNTED]
        cells = [f"{number}{mark}" for number, mark in zip(numbers, marks, strict=True)]
        sizes = " / ".join(f"{size:,}" for size in it["sizes"])
        first.append(f"| {' | '.join([name, sizes, str(it['labels']), *cells, beside(it['published'])])} |")
        scores = [f"{it['test'][metric]:.3f}" for metric in METRICS]
        seconds = [f"{it['seconds'][verb]:.0f}" for verb in ("train", "describe --doctor")]
        last = [name, it["kind"], str(it["epochs"]), *scores, *seconds, f"[{len(it['doctor'])}](doctor.md#{name})"]
        second.append(f"| {' | '.join(last)} |")
    return "\n".join([
        "# Every set, described and trained on\n",
        "Figures are over all parts, IRmax and mean IRLbl of the training part. A number in bold brackets is what the",
        "set's own `DATASET.md` says where that is another. Published and found figures stand as *published / found*;",
        "parts that were not published count to train.\n",
        *first,
        "\nOne short training each, with `--loss reg` and the embedded encoder of the kind: it shows that the set",
        "goes through, not how good a loss is. Scores are on test. Seconds are of the whole command, on a busy",
        "machine.\n",
        *second,
    ]) + "\n"  # fmt: skip


def beside(published: dict[str, Any] | None) -> str:
    """Write the published figures beside those found, in a cell."""
    if published is None:
        return "not known"
    cells = [
        f"{name} {one:,.6g} / {other:,.6g}{'' if agrees else ' **differs**'}"
        for name, one, other, agrees in published["figures"]
    ]
    return "; ".join(cells)


def doctor(results: dict[str, Any]) -> str:
    """Write the findings, a section a set."""
    lines = [
        "# What the doctor found",
        "",
        "`labelcontrast describe SET --doctor`; without what it quotes of the data.",
    ]
    for name, it in results.items():
        lines += ["", f"## {name}", ""]
        for sentence, *instances in it["doctor"]:
            lines += [f"- {sentence}", *(f"  - {instance}" for instance in instances)]
        lines += [] if it["doctor"] else ["Nothing was found."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Examine the sets one after the other, and write what is known after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", default=())
    arguments = parser.parse_args()
    kept = arguments.out / "sets.json"
    before = json.loads(kept.read_text()) if kept.exists() else {}
    results: dict[str, Any] = {}
    for path in sets(arguments.data):
        name = path.stem
        wanted = name in arguments.only if arguments.only else name not in before
        if wanted:
            before[name] = examine(path)
            print(name, before[name]["seconds"], flush=True)
        results |= {name: before[name]} if name in before else {}
        write_text(kept, json.dumps(results | before, indent=1, ensure_ascii=False) + "\n")
    write_text(arguments.out / "table.md", table(results))
    write_text(arguments.out / "doctor.md", doctor(results))


if __name__ == "__main__":
    main()
