"""A million texts with a thousand labels: `describe` and a training epoch of the hashed encoder, in bounded memory.

    python benchmarks/size.py make FOLDER                     # FOLDER/lines, FOLDER/parquet and FOLDER/saved
    python benchmarks/size.py all FOLDER > benchmarks/results/size.md
    python benchmarks/size.py all FOLDER --datasets PYTHON    # with an interpreter that has `datasets`, to compare

A row of the tables is a process of its own: seconds, and the peak of its resident memory as the kernel has it (VmHWM).
Pages of a mapped file count there, though they can be given back at any time.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

SIZES = {"train": 1_000_000, "validation": 10_000, "test": 10_000}
LABELS, WORDS, VOCABULARY = 1000, 10, 50_000
FORMS = {"lines": "JSON Lines", "parquet": "Parquet", "saved": "Arrow, as `datasets` saves it"}


def make(folder: Path) -> None:
    """Write texts of 10 words whose labels, 3 of 1,000 with a long tail, come with words of their own; in three forms."""
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
            file.writelines(json.dumps(dict(text=one, labels=held)) + "\n" for one, held in zip(texts, named, strict=True))
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
    (folder / "state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))


def describe(folder: Path) -> dict[str, float]:
    """Run the command, in this process."""
    from labelcontrast.cli import app

    app(["describe", str(folder)], standalone_mode=False)
    return {}


def epoch(folder: Path) -> dict[str, float]:
    """Train the hashed encoder for one epoch, as `labelcontrast train` does; then stop."""
    from labelcontrast.config.settings import RunSettings
    from labelcontrast.run.learning import train
    from labelcontrast.run.material import Listeners, gather

    settings = RunSettings.build({"data": str(folder), "loss": {"name": "bce"}, "training": {"epochs": 1, "batch_size": 512}})
    start = time.perf_counter()
    material = gather(settings)
    prepared = time.perf_counter()
    with TemporaryDirectory() as run:
        learned = train(settings, "logit", material.lesson(Listeners()), Path(run))
    return {
        "s, reading and preparing": round(prepared - start, 1),
        "s, training": round(time.perf_counter() - prepared, 1),
        "mAP on validation": round(learned.best.score, 3),
    }


def read(folder: Path) -> dict[str, float]:
    """Read all training texts and label sets, as the verbs do."""
    from labelcontrast.data.splitting.splits import load_splits

    train = load_splits(folder, seed=0).train
    return {"rows": sum(1 for _ in zip(train.inputs, train.label_sets or [], strict=True))}


def parse(folder: Path) -> dict[str, float]:
    """Do what nobody can do without: parse the lines with ``json``, or read the table and make Python objects of it."""
    rows = 0
    for split in SIZES:
        if folder.name == "lines":
            with (folder / f"{split}.jsonl").open() as file:
                rows += sum(1 for line in file if json.loads(line))
        else:
            table = pq.read_table(folder / f"{split}.parquet") if folder.name == "parquet" else mapped(folder / split)
            rows += sum(len(batch.to_pylist()) for batch in table.to_batches(max_chunksize=1000))
    return {"rows": rows}


def mapped(folder: Path) -> pa.Table:
    """Map a saved split into memory."""
    return pa.ipc.open_stream(pa.memory_map(str(folder / "data-00000-of-00001.arrow"))).read_all()


def theirs(folder: Path) -> dict[str, float]:
    """Let `datasets` load everything, its cache empty, and go through all rows as Python objects, a thousand a time."""
    from datasets import load_dataset, load_from_disk

    with TemporaryDirectory() as cache:
        if folder.name == "saved":
            found = load_from_disk(str(folder))
        else:
            form, end = ("json", "jsonl") if folder.name == "lines" else ("parquet", "parquet")
            found = load_dataset(form, data_files={split: str(folder / f"{split}.{end}") for split in SIZES}, cache_dir=cache)
        return {"rows": sum(len(some["text"]) for part in found.values() for some in part.iter(batch_size=1000))}


VERBS: dict[str, Callable[[Path], dict[str, float]]] = {
    "describe": describe, "epoch": epoch, "read": read, "parse": parse, "theirs": theirs,
}  # fmt: skip


def measured(python: str, verb: str, folder: Path) -> dict[str, float]:
    """Do one thing in a process of its own."""
    done = subprocess.run([python, __file__, verb, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def everything(folder: Path, datasets: str | None) -> None:
    """Measure everything, and print the page."""
    print("# A million texts with a thousand labels\n")
    print(f"{SIZES['train']:,} texts of {WORDS} words for training, {SIZES['test']:,} each for validation and test; "
          f"{LABELS:,} labels, 3 a text at most. Seconds of one process, and the peak of its resident memory.\n")  # fmt: skip
    print("| form | MB | `describe`, s | GiB | epoch: reading, s | training, s | mAP | GiB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for form, title in FORMS.items():
        size = sum(path.stat().st_size for path in (folder / form).rglob("*") if path.is_file()) / 1e6
        described, trained = (measured(sys.executable, verb, folder / form) for verb in ("describe", "epoch"))
        cells = [title, f"{size:.0f}", described["seconds"], described["peak"], trained["s, reading and preparing"]]
        cells += [trained["s, training"], trained["mAP on validation"], trained["peak"]]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
    print("\nReading alone: *parser* parses and makes Python objects of the rows, nothing else; *ours* has checked "
          "examples with label sets; *datasets* loads with an empty cache and goes through its rows.\n")  # fmt: skip
    print("| form | parser, s | ours, s | GiB | `datasets`, s | GiB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for form, title in FORMS.items():
        ours = measured(sys.executable, "read", folder / form)
        other = measured(datasets, "theirs", folder / form) if datasets else {"seconds": "-", "peak": "-"}
        parser = measured(sys.executable, "parse", folder / form)["seconds"]
        cells = [title, parser, ours["seconds"], ours["peak"], other["seconds"], other["peak"]]
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
        start = time.perf_counter()
        result = VERBS[arguments.verb](arguments.folder)
        seconds = round(time.perf_counter() - start, 1)
        status = Path("/proc/self/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024**2
        print(json.dumps({"seconds": seconds, "peak": round(peak, 2), **result}))


if __name__ == "__main__":
    main()
