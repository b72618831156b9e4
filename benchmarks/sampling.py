"""What the multi-label sampler changes: the share of anchors without a positive in their batch, and what it costs.

python benchmarks/sampling.py DATA_FOLDER [DATA_FOLDER ...] > benchmarks/results/sampling.md
"""

import argparse
import time
from pathlib import Path

import numpy as np

from labelcontrast.data.sampling import MultiLabelBatches, SeededBatches, ShuffledBatches
from labelcontrast.data.splitting.splits import load_splits

EPOCHS = 3
RARE = 20
"""A label with at most so many training examples is called rare here."""


def shares(sampler: SeededBatches, labels: np.ndarray) -> tuple[float, float, float]:
    """Percent of anchors without a positive; of pairs of a rare label and its anchor without one; seconds an epoch."""
    counts = labels.sum(0)
    rare = (counts > 1) & (counts <= RARE)
    alone = anchors = alone_rare = anchors_rare = 0
    seconds = []
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        start = time.perf_counter()
        batches = list(sampler)
        seconds.append(time.perf_counter() - start)
        for batch in batches:
            rows = labels[batch]
            held = rows.sum(1) > 0
            together = rows @ rows.T
            np.fill_diagonal(together, 0)
            alone += int(((together.sum(1) == 0) & held).sum())
            anchors += int(held.sum())
            size = rows[:, rare].sum(0)
            alone_rare += int((size == 1).sum())
            anchors_rare += int(size.sum())
    rare_share = 100 * alone_rare / anchors_rare if anchors_rare else float("nan")
    return 100 * alone / anchors, rare_share, float(np.mean(seconds))


def main() -> None:
    """Print a Markdown table, a row a data set, batch size and sampler."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    print("# Anchors without a positive, by sampler\n")
    print(
        f"Mean over {EPOCHS} epochs of the training part, in percent. *Anchors*: examples with a label that share none "
        f"with the rest of their batch. *Rare*: of the labels of examples that 2 to {RARE} training examples have, "
        "those that nobody else in the batch has. Packs are of two examples.\n"
    )
    print("| data | batch | sampler | anchors without a positive | rare labels without a partner | s/epoch |")
    print("| --- | ---: | --- | ---: | ---: | ---: |")
    for folder in parser.parse_args().folders:
        splits = load_splits(folder, seed=0)
        sparse = splits.vocabulary.encode(splits.train.label_sets or [])
        labels, lengths = sparse.toarray().astype(np.float32), np.ones(sparse.shape[0])
        for batch in (32, 64, 256):
            samplers = {
                "shuffled": ShuffledBatches(lengths, batch_size=batch, seed=0),
                "multilabel": MultiLabelBatches(sparse, lengths, batch_size=batch, per_label=2, seed=0),
            }
            for name, sampler in samplers.items():
                anchors, rare, seconds = shares(sampler, labels)
                rare_text = "-" if np.isnan(rare) else f"{rare:.1f}"
                print(f"| {folder.stem} | {batch} | {name} | {anchors:.2f} | {rare_text} | {seconds:.3f} |")


if __name__ == "__main__":
    main()
