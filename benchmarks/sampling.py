"""What the samplers change: the share of anchors without a positive in their batch, level by level too, and the cost.

python benchmarks/sampling.py DATA_FOLDER [DATA_FOLDER ...] > benchmarks/results/sampling.md

Levels are those of the hierarchy.json of a folder. Times are of the processor.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from labelcontrast.data.sampling import HierarchicalBatches, MultiLabelBatches, SeededBatches, ShuffledBatches
from labelcontrast.data.splits import load_splits
from labelcontrast.labels.hierarchy_files import read_hierarchy

EPOCHS = 3
RARE = 20
"""Maximum number of training examples of a rare label."""


def shares(sampler: SeededBatches, labels: np.ndarray) -> tuple[float, float, float]:
    """Percent of anchors without a positive; of pairs of a rare label and its anchor without one; seconds an epoch."""
    counts = labels.sum(0)
    rare = (counts > 1) & (counts <= RARE)
    alone = anchors = alone_rare = anchors_rare = 0
    seconds = []
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        start = time.process_time()
        batches = list(sampler)
        seconds.append(time.process_time() - start)
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


def level_shares(sampler: SeededBatches, closed: np.ndarray, depths: np.ndarray) -> list[float]:
    """For each level, percent of the anchors that have a positive of it somewhere, but none in their batch."""
    wanted = has_positive(closed, depths)
    lacking = np.zeros(wanted.shape[1])
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        for batch in sampler:
            met = meeting_levels(closed[batch], closed[batch], depths)
            np.fill_diagonal(met, -1)
            found = (met[:, :, None] == np.arange(wanted.shape[1])).any(1)
            lacking += (wanted[batch] & ~found).sum(0)
    return (100 * lacking / (EPOCHS * wanted.sum(0))).tolist()


def has_positive(closed: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """Whether an anchor has a positive of a level in the training part: [examples, levels]."""
    sets, which, counts = np.unique(closed, axis=0, return_inverse=True, return_counts=True)
    met = meeting_levels(sets, sets, depths)
    alone = np.flatnonzero(counts == 1)
    met[alone, alone] = -1
    found = [(met == level).any(1) for level in range(int(depths.max()) + 1)]
    return np.stack(found, 1)[which.ravel()]


def meeting_levels(first: np.ndarray, second: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """The lowest level of which two examples share a label; -1 where they share none."""
    met = np.full((len(first), len(second)), -1)
    for level in range(int(depths.max()) + 1):
        here = depths == level
        met[first[:, here] @ second[:, here].T > 0] = level
    return met


def flat_table(folders: list[Path]) -> None:
    """Print a row a data set, batch size and sampler."""
    print(
        f"Mean over {EPOCHS} epochs of the training part, in percent. *Anchors*: examples with a label that share none "
        f"with the rest of their batch. *Rare*: of the labels of examples that 2 to {RARE} training examples have, "
        "those that no other example of the batch has. Packs are of two examples.\n"
    )
    print("| data | batch | sampler | anchors without a positive | rare labels without a partner | s/epoch |")
    print("| --- | ---: | --- | ---: | ---: | ---: |")
    for folder in folders:
        sparse = training_labels(folder)[1]
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


def level_table(folders: list[Path]) -> None:
    """Print a row a data set with a hierarchy, batch size and sampler."""
    print(
        "\nA positive *of a level* shares a label of it with the anchor, and none of a lower level: another topic of "
        "the same field is one of the level of fields. Percent of the anchors that have one somewhere in the training "
        "part, but not in their batch; level 0 are the roots.\n"
    )
    print("| data | batch | sampler | level 0 | level 1 | level 2 | s/epoch |")
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: |")
    for folder in folders:
        names, labels = training_labels(folder)
        hierarchy = read_hierarchy(folder / "hierarchy.json").over(names)
        labels.resize(labels.shape[0], len(hierarchy))
        closed, lengths = hierarchy.close(labels).toarray().astype(np.float32), np.ones(labels.shape[0])
        for batch in (32, 64, 256):
            how = {"batch_size": batch, "seed": 0}
            samplers = {
                "shuffled": ShuffledBatches(lengths, **how),
                "multilabel": MultiLabelBatches(labels, lengths, per_label=2, **how),
                "hierarchical": HierarchicalBatches(labels, hierarchy, lengths, per_label=2, **how),
            }
            for name, sampler in samplers.items():
                lacking = [f"{share:.2f}" for share in level_shares(sampler, closed, hierarchy.depths)]
                cells = [*lacking, *["-"] * (3 - len(lacking)), f"{seconds_of(sampler):.3f}"]
                print(f"| {folder.stem} | {batch} | {name} | {' | '.join(cells)} |")


def seconds_of(sampler: SeededBatches) -> float:
    """Measure the seconds to plan an epoch."""
    start = time.process_time()
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        list(sampler)
    return (time.process_time() - start) / EPOCHS


def training_labels(folder: Path) -> tuple[tuple[str, ...], csr_array]:
    """The names of the labels, and those of the training examples."""
    splits = load_splits(folder, seed=0, check_pictures=False)
    return splits.vocabulary.names, splits.vocabulary.encode(splits.train.label_sets or [])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    folders = parser.parse_args().folders
    print("# Anchors without a positive, by sampler\n")
    flat_table(folders)
    level_table([folder for folder in folders if (folder / "hierarchy.json").exists()])


if __name__ == "__main__":
    main()
