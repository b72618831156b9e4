"""What `describe --doctor` finds in data sets, and how their figures compare with the published ones, as a page.

    python benchmarks/doctor.py DATA [DATA ...] > benchmarks/results/doctor.md

The page has places, counts and labels; it repeats no text of the data.
"""

import argparse
from pathlib import Path

from labelcontrast.data.describe import describe
from labelcontrast.data.doctor.checkup import check
from labelcontrast.data.doctor.findings import without_unreadable
from labelcontrast.data.published.statistics import compare_published
from labelcontrast.data.splitting.splits import Splits, load_splits


def figures(splits: Splits) -> str:
    """Put the published figures beside those found, in a cell."""
    comparison = compare_published(splits)
    if comparison is None:
        return "not known"
    cells = []
    for figure in comparison.figures:
        mark = "" if figure.agrees else " **differs**"
        cells.append(f"{figure.name} {figure.published:,.6g} / {figure.found:,.6g}{mark}")
    return "; ".join(cells)


def main() -> None:
    """Print the page: a table of figures, then the findings on each set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", type=Path)
    table, pages = [], []
    for path in parser.parse_args().data:
        splits, unreadable = without_unreadable(load_splits(path, seed=0, check_pictures=False))
        description = describe(splits)
        findings = [*unreadable, *check(splits, description).findings]
        sizes = " / ".join(f"{len(part):,}" for part in splits.parts.values())
        imbalance = f"{description.imbalance.largest:,.0f}"
        cells = (path.stem, sizes, f"{len(splits.vocabulary):,}", imbalance, figures(splits))
        table.append(f"| {' | '.join(cells)} |")
        pages.append(f"\n## {path.stem}\n")
        for finding in findings:
            pages.append(f"- {finding.sentence}.")
            # Behind a colon stands the example itself, which is not ours to repeat.
            pages += [f"  - {instance.partition(': ')[0]}" for instance in finding.instances]
        if not findings:
            pages.append("Nothing was found.")
    print("# What the doctor found\n")
    print("Published and found figures stand as *published / found*; parts that were not published count to train.\n")
    print("| data | train / val / test | labels | IRmax | figures, published / found |")
    print("| --- | --- | ---: | ---: | --- |")
    print("\n".join(table))
    print("\n".join(pages))


if __name__ == "__main__":
    main()
