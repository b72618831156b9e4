"""A million texts with a thousand labels: `describe` and `train` with the hashed encoder, in bounded memory.

    python benchmarks/size.py make FOLDER                     # FOLDER/lines, FOLDER/parquet and FOLDER/saved
    python benchmarks/size.py all FOLDER > benchmarks/results/size.md
    python benchmarks/size.py all FOLDER --datasets PYTHON    # with an interpreter that has `datasets`, to compare

Each figure is of a process of its own: seconds of the processor, since the machine may be busy, and the peak of its
resident memory (VmHWM); pages of a mapped file count there, though they can be given back at any time.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

SIZES = {"train": 1_000_000, "validation": 10_000, "test": 10_000}
LABELS, WORDS, VOCABULARY = 1000, 10, 50_000
Work = Callable[[], dict[str, float]]
FORMS = {"lines": "JSON Lines", "parquet": "Parquet", "saved": "Arrow, as `datasets` saves it"}


def make(folder: Path) -> None:
    """Write texts of 10 words with 3 of 1,000 labels, each of which has a word of its own; in three forms."""
    random = np.random.default_rng(0)
    shares = 1 / np.arange(5, LABELS + 5)
    words = np.array([f"word{number}" for number in range(VOCABULARY)])
    for split, size in SIZES.items():
        labels = [sorted(set(held)) for held in random.choice(LABELS, (size, 3), p=shares / shares.sum()).tolist()]
        drawn = random.integers(0, VOCABULARY, (size, WORDS))
        for row, held in enumerate(labels):
            drawn[row, : len(held)] = held
        texts = [" ".join(line) for line in words[drawn].tolist()]
        named = [[f"label {label}" for label in held] for held in labels]
        for form in FORMS:
            (folder / form).mkdir(parents=True, exist_ok=True)
        with (folder / "lines" / f"{split}.jsonl").open("w") as file:
            rows = zip(texts, named, strict=True)
            file.writelines(json.dumps({"text": text, "labels": held}) + "\n" for text, held in rows)
        table = pa.table({"text": texts, "labels": named})
        pq.write_table(table, folder / "parquet" / f"{split}.parquet")
        save(folder / "saved" / split, table)
    (folder / "saved" / "dataset_dict.json").write_text(json.dumps({"splits": list(SIZES)}))


def save(folder: Path, table: pa.Table) -> None:
    """Write a split as ``save_to_disk`` of `datasets` does."""
    folder.mkdir(exist_ok=True)
    with pa.ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=1000)
    value = {"dtype": "string", "_type": "Value"}
    features = {"text": value, "labels": {"feature": value, "_type": "List"}}
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_fingerprint": "0", "_split": folder.name}
    state |= dict.fromkeys(["_format_columns", "_format_type"]) | {"_format_kwargs": {}, "_output_all_columns": False}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))


def describe(folder: Path) -> Work:
    """Run the command, in this process."""
    from labelcontrast.cli.verbs import app

    def work() -> dict[str, float]:
        app(["describe", str(folder)], standalone_mode=False)
        return {}

    return work


def train(folder: Path) -> Work:
    """Do all of `labelcontrast train` with one epoch of the hashed encoder: training, evaluation, and the page."""
    from labelcontrast.experiment import run_experiment
    from labelcontrast.settings import RunSettings

    training = {"epochs": 1, "batch_size": 512}
    settings = RunSettings.build({"data": str(folder), "loss": {"name": "bce"}, "training": training})

    def work() -> dict[str, float]:
        with TemporaryDirectory() as run:
            result = run_experiment(settings, Path(run) / "run")
        return {"score": round(result["metrics"]["test"]["map_macro"], 3)}

    return work


def read(folder: Path) -> Work:
    """Read all training texts and label sets, as the verbs do."""
    from labelcontrast.data.splits import load_splits

    def work() -> dict[str, float]:
        train = load_splits(folder, seed=0).train
        return {"rows": sum(1 for _ in zip(train.inputs, train.label_sets or [], strict=True))}

    return work


def parse(folder: Path) -> Work:
    """Do the minimum work: parse the lines with ``json``, or read the table and convert it to Python objects."""

    def work() -> dict[str, float]:
        if folder.name == "lines":
            lines = chain.from_iterable((folder / f"{split}.jsonl").open("rb") for split in SIZES)
            return {"rows": sum(1 for line in lines if json.loads(line))}
        tables = [
            pq.read_table(folder / f"{split}.parquet") if folder.name == "parquet" else mapped(folder / split)
            for split in SIZES
        ]
        return {"rows": sum(len(some.to_pylist()) for table in tables for some in table.to_batches(1000))}

    return work


def mapped(folder: Path) -> pa.Table:
    """Map a saved split into memory."""
    return pa.ipc.open_stream(pa.memory_map(str(folder / "data-00000-of-00001.arrow"))).read_all()


def theirs(folder: Path) -> Work:
    """Let `datasets` load everything, its cache empty, and go through all rows as Python objects, a thousand a time."""
    from datasets import load_dataset, load_from_disk

    form, end = {"lines": ("json", "jsonl"), "parquet": ("parquet", "parquet"), "saved": ("", "")}[folder.name]
    files = {split: str(folder / f"{split}.{end}") for split in SIZES}

    def work() -> dict[str, float]:
        with TemporaryDirectory() as cache:
            found = load_dataset(form, data_files=files, cache_dir=cache) if form else load_from_disk(str(folder))
            return {"rows": sum(len(some["text"]) for part in found.values() for some in part.iter(batch_size=1000))}

    return work


VERBS: dict[str, Callable[[Path], Work]] = {
    "describe": describe, "train": train, "read": read, "parse": parse, "theirs": theirs,
}  # fmt: skip


def measured(python: str, verb: str, folder: Path) -> dict[str, Any]:
    """Do one thing in a process of its own."""
    done = subprocess.run([python, __file__, verb, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def everything(folder: Path, datasets: str | None) -> None:
    """Measure everything, and print the page."""
    print("# A million texts with a thousand labels\n")
    print(f"{SIZES['train']:,} texts of {WORDS} words for training, {SIZES['test']:,} each for validation and test; "
          f"{LABELS:,} labels, 3 a text at most. Made by `benchmarks/size.py`. Seconds are of the processor, GiB the "
          "peak of resident memory (VmHWM), each of a process of its own. Train is all of `labelcontrast train "
          "--loss bce --epochs 1 --batch-size 512`, with evaluation and page; the score is macro average precision on "
          "test.\n")  # fmt: skip
    print("| form | MB | `describe`, s | GiB | `train`, s | GiB | score |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for form, title in FORMS.items():
        size = sum(path.stat().st_size for path in (folder / form).rglob("*") if path.is_file()) / 1e6
        described, trained = (measured(sys.executable, verb, folder / form) for verb in ("describe", "train"))
        cells = [title, f"{size:.0f}", described["seconds"], described["peak"]]
        cells += [trained[name] for name in ("seconds", "peak", "score")]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
    print("\nReading alone: *parser* makes Python objects of the rows and nothing else; *ours* are checked examples "
          "with label sets; *datasets* loads with an empty cache, and goes through its rows.\n")  # fmt: skip
    print("| form | parser, s | GiB | ours, s | GiB | `datasets`, s | GiB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for form, title in FORMS.items():
        rows = [measured(sys.executable, verb, folder / form) for verb in ("parse", "read")]
        rows.append(measured(datasets, "theirs", folder / form) if datasets else {"seconds": "-", "peak": "-"})
        cells = [title, *(row[name] for row in rows for name in ("seconds", "peak"))]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


def main() -> None:
    """Do one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["make", "all", *VERBS])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--datasets", help="a Python interpreter that has `datasets`")
    arguments = parser.parse_args()
    if arguments.verb == "make":
        make(arguments.folder)
    elif arguments.verb == "all":
        everything(arguments.folder, arguments.datasets)
    else:
        work = VERBS[arguments.verb](arguments.folder)
        start = time.process_time()
        result = work()
        seconds = round(time.process_time() - start, 1)
        status = Path("/proc/self/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024**2
        print(json.dumps({"seconds": seconds, "peak": round(peak, 2), **result}))


if __name__ == "__main__":
    main()
