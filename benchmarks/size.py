"""A million texts with a thousand labels: `describe` and a training epoch of the hashed encoder, in bounded memory.

    python benchmarks/size.py make FOLDER           # writes the texts, as `datasets` would save them
    python benchmarks/size.py describe FOLDER       # each in a process of its own: the peak is that of the process
    python benchmarks/size.py epoch FOLDER
    python benchmarks/size.py read FOLDER           # rows a second: ours, and that of `datasets` where it is installed

Each prints one line of JSON: seconds, and the peak of resident memory in GiB. Pages of the mapped file count there, but
can be given back at any time; ``anonymous`` is what cannot, at the end.
"""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from labelcontrast.data.batches import prepare, training_batches
from labelcontrast.data.describe import describe
from labelcontrast.data.splitting.splits import load_splits
from labelcontrast.encoders.hashed import HashedEncoder
from labelcontrast.logit_losses import bce

SIZES = {"train": 1_000_000, "validation": 10_000, "test": 10_000}
LABELS, WORDS, VOCABULARY = 1000, 25, 50_000
BATCH = 512


def make(folder: Path) -> None:
    """Write texts of 25 words whose labels, 3 of 1,000 with a long tail, come with words of their own."""
    random = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(VOCABULARY)])
    shares = 1 / np.arange(5, LABELS + 5)
    shares /= shares.sum()
    names = [f"label {number}" for number in range(LABELS)]
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "labels": {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "List"},
    }
    schema = pa.schema([("text", pa.string()), ("labels", pa.list_(pa.int64()))])
    for split, size in SIZES.items():
        (folder / split).mkdir(parents=True)
        with pa.ipc.new_stream(str(folder / split / "data-00000-of-00001.arrow"), schema) as writer:
            for start in range(0, size, 10_000):
                rows = min(10_000, size - start)
                labels = [sorted(set(held)) for held in random.choice(LABELS, (rows, 3), p=shares).tolist()]
                drawn = random.integers(0, VOCABULARY, (rows, WORDS))
                for row, held in enumerate(labels):
                    drawn[row, : 2 * len(held)] = np.repeat(held, 2)
                texts = [" ".join(line) for line in words[drawn].tolist()]
                writer.write_table(pa.table({"text": texts, "labels": labels}, schema=schema))
        (folder / split / "state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
        (folder / split / "dataset_info.json").write_text(json.dumps({"features": features}))
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(SIZES)}))


def do_describe(folder: Path) -> dict[str, float]:
    """Describe all of it."""
    splits = load_splits(folder, seed=0)
    description = describe(splits)
    return {"examples": description.parts["train"].examples, "labels": len(description.labels)}


def epoch(folder: Path) -> dict[str, float]:
    """Train one epoch; the loss of the first and of the last hundred steps."""
    splits = load_splits(folder, seed=0)
    torch.manual_seed(0)
    encoder = HashedEncoder()
    start = time.perf_counter()
    prepared = prepare(encoder, splits.train, splits.vocabulary)
    preparing = time.perf_counter() - start
    head = torch.nn.Linear(encoder.output_dim, LABELS)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=1e-3)
    losses = []
    for inputs, labels in training_batches(prepared, batch_size=BATCH, seed=0):
        loss = bce(head(encoder(inputs)), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    return {
        "preparing": round(preparing, 1),
        "steps": len(losses),
        "first": float(np.mean(losses[:100])),
        "last": float(np.mean(losses[-100:])),
    }


def read(folder: Path) -> dict[str, float]:
    """Read all training texts and labels as Python objects, a thousand at a time."""
    splits = load_splits(folder, seed=0)
    rates = {}
    start = time.perf_counter()
    count = sum(len(text) > 0 for text in splits.train.inputs)
    rates["ours, rows a second"] = round(count / (time.perf_counter() - start))
    try:
        from datasets import load_from_disk
    except ImportError:
        return rates
    theirs = load_from_disk(str(folder))["train"].select_columns(["text"])
    start = time.perf_counter()
    count = sum(len(text) > 0 for some in theirs.iter(batch_size=1000) for text in some["text"])
    rates["datasets, rows a second"] = round(count / (time.perf_counter() - start))
    return rates


def main() -> None:
    """Do one of them."""
    verb, folder = sys.argv[1], Path(sys.argv[2])
    if verb == "make":
        make(folder)
        return
    start = time.perf_counter()
    result = {"describe": do_describe, "epoch": epoch, "read": read}[verb](folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    status = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines() if "\t" in line)
    anonymous = int(status["RssAnon"].split()[0]) / 1024**2
    seconds = round(time.perf_counter() - start, 1)
    print(
        json.dumps(
            {"verb": verb, "seconds": seconds, "peak": round(peak, 2), "anonymous": round(anonymous, 2), **result}
        )
    )


if __name__ == "__main__":
    main()
