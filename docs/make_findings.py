"""Write docs/findings.md from its text, findings.text, and the committed results: every number is computed here.

python docs/make_findings.py        also writes docs/reproduce.md, the command of every result

In the text a number that was measured is an expression, ``{{ mean("losses-corel5k", "reg") }}``, and beside a claim
about numbers stands an assertion, ``<% assert mean(...) > 50 %>``, which stops the page where the results differ.
A number in backticks is a setting, or is quoted from a paper.
"""

import ast
import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from scipy.stats import t, wilcoxon

from labelcontrast.lab.quantities import QUANTITIES
from labelcontrast.lab.ranks import Ranking, rank_losses
from labelcontrast.losses.registry import loss_row
from labelcontrast.metrics.registry import METRICS

HERE = Path(__file__).parent
TEXT, PAGE, COMMANDS = HERE / "findings.text", HERE / "findings.md", HERE / "reproduce.md"
RESULTS = HERE.parent / "results"
STUDIES = RESULTS / "studies"
DIRECTIONS = HERE.parent / "benchmarks" / "results" / "directions.json"


class Number(float):
    """A number that is shown with one decimal, and as a difference with two where that would be 0."""

    def __str__(self) -> str:
        return f"{self:.1f}"

    def __sub__(self, other: float) -> "Number":
        return Number(float(self) - other)


@cache
def trials(study: str) -> list[dict[str, str]]:
    """Read every finished run of a study."""
    with (STUDIES / study / "results.csv").open(newline="") as file:
        return [one for one in csv.DictReader(file) if not one["error"]]


def values(study: str, loss: str, metric: str = "macro_f1", **axes: object) -> list[float]:
    """Return a quantity of the runs of a loss, as it is shown in tables; an axis is named by the end of its setting."""
    found = [one for one in trials(study) if one["loss"] == loss and _ends(one).items() >= _texts(axes).items()]
    if not found:
        message = f"{study} has no run of {loss} with {axes}"
        raise LookupError(message)
    return [QUANTITIES[metric].factor * float(one[metric]) for one in found]


def mean(study: str, loss: str, metric: str = "macro_f1", **axes: object) -> Number:
    """Return the mean over seeds."""
    return Number(fmean(values(study, loss, metric, **axes)))


def deviation(study: str, loss: str, metric: str = "macro_f1", **axes: object) -> Number:
    """Return the standard deviation over seeds."""
    return Number(stdev(values(study, loss, metric, **axes)))


def spread(study: str, loss: str, metric: str = "macro_f1", **axes: object) -> str:
    """Write mean and standard deviation."""
    return f"{mean(study, loss, metric, **axes)} ± {deviation(study, loss, metric, **axes)}"


def means(study: str, losses: Iterable[str], metric: str = "macro_f1", **axes: object) -> list[Number]:
    """Return the means of several losses."""
    return [mean(study, loss, metric, **axes) for loss in losses]


def span(numbers: Iterable[float]) -> str:
    """Write the smallest and the largest."""
    numbers = list(numbers)
    low, high = Number(min(numbers)), Number(max(numbers))
    return f"{low} to {high}" if str(low) != str(high) else str(low)


def losses_of(study: str, kind: str = "") -> list[str]:
    """List the losses of a study, of one kind or all."""
    found = dict.fromkeys(one["loss"] for one in trials(study))
    return [loss for loss in found if kind in {"", loss_row(loss.split()[0].split("+")[0]).kind}]


def as_good(study: str, loss: str, metric: str = "macro_f1", **axes: object) -> bool:
    """Return True if a row of the table is the best of its column, or not significantly worse."""
    wanted = _texts({"loss": loss, **axes}).items()
    for one in json.loads((STUDIES / study / "significance.json").read_text()):
        if one["metric"] == metric and _ends({**one["column"], **one["row"]}).items() >= wanted:
            return bool(one["as_good"])
    message = f"{study} has no test of {metric} of {loss} with {axes}"
    raise LookupError(message)


def grid(study: str, axis: str) -> list[Any]:
    """Return the values of an axis."""
    declared = json.loads((STUDIES / study / "study.json").read_text())["study"]["grid"]
    return next(list(found) for name, found in declared.items() if name.rpartition(".")[2] == axis)


def seeds(study: str) -> int:
    """Return the number of runs of a cell."""
    return int(json.loads((STUDIES / study / "study.json").read_text())["study"]["seeds"])


def sets() -> list[str]:
    """List the studies of all losses with all data, one for each data set."""
    return sorted(path.name for path in STUDIES.glob("losses-*") if not path.name.endswith("-20"))


def gain(study: str, one: str, other: str, metric: str = "macro_f1", **axes: object) -> Number:
    """Return how far the mean of one loss is above that of another."""
    return mean(study, one, metric, **axes) - mean(study, other, metric, **axes)


def controls() -> list[str]:
    """List the studies of the controls, one for each data set."""
    return sorted(path.name for path in STUDIES.glob("controls-*"))


def regularisers() -> list[str]:
    """List the studies of the strength of the regulariser by temperature, one for each data set."""
    return sorted(path.name for path in STUDIES.glob("regulariser-*"))


def long_trainings() -> list[str]:
    """List the studies of long training, one for each data set."""
    return sorted(path.name for path in STUDIES.glob("epochs-*"))


def linked(studies: Iterable[str]) -> str:
    """Write the names of data sets, each with a link to the table of its study."""
    return ", ".join(f"[{name.partition('-')[2]}](../results/studies/{name}/table.md)" for name in studies)


def gains(
    ones: Iterable[str], others: Iterable[str], metric: str = "macro_f1", studies: Iterable[str] | None = None
) -> list[Number]:
    """Return, on each set, how far the mean of some losses is above that of others."""
    ones, others, names = list(ones), list(others), sets() if studies is None else studies
    return [Number(fmean(means(name, ones, metric)) - fmean(means(name, others, metric))) for name in names]


def seed_by_seed(
    studies: Iterable[str], loss: str, metric: str, axis: str, ends: tuple[object, object], **axes: object
) -> list[Number]:
    """Return how far a value of an axis is above another, seed by seed on every set."""
    found = []
    for study in studies:
        one, other = (values(study, loss, metric, **{axis: end}, **axes) for end in ends)
        found += [Number(first - second) for first, second in zip(one, other, strict=True)]
    return found


def interval(gained: Sequence[float]) -> tuple[str, str, str]:
    """Write the mean of gains, and the ends of its 95 % interval by Student's t."""
    half = t.ppf(0.975, len(gained) - 1) * stdev(gained) / len(gained) ** 0.5
    low, middle, high = (f"{fmean(gained) + one:+.1f}" for one in (-half, 0, half))
    return middle, low, high


def pooled(gained: Iterable[float]) -> str:
    """Write the mean of gains with its 95 % interval (t, over sets), on how many it is one, and Wilcoxon's p-value."""
    gained = list(gained)
    p, above, (middle, low, high) = wilcoxon(gained).pvalue, sum(one > 0 for one in gained), interval(gained)
    among = f"above 0 on {above} sets of {len(gained)}, p = {p:.2f}"
    return f"{middle} points (95 % interval {low} to {high}), {among}"


def epochs_table(studies: Sequence[str], losses: Iterable[str], metrics: Iterable[str], ends: tuple[int, int]) -> str:
    """Tabulate means at two numbers of epochs by loss, and the 95 % interval of the change."""
    metrics, (few, many) = list(metrics), ends
    titles = [f"{METRICS[name].title}, {few} and {many} epochs | change" for name in metrics]
    lines = [f"| loss | {' | '.join(titles)} |", "| --- |" + " ---: |" * 2 * len(metrics)]
    for loss in losses:
        cells = []
        for name in metrics:
            before, after = (Number(fmean(mean(study, loss, name, epochs=end) for study in studies)) for end in ends)
            middle, low, high = interval(seed_by_seed(studies, loss, name, "epochs", (many, few)))
            cells += [f"{before}, {after}", f"{middle} ({low} to {high})"]
        lines.append(f"| `{loss}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def strength_table(studies: Sequence[str], loss: str, metrics: Iterable[str], ends: tuple[object, object]) -> str:
    """Tabulate how far a strength of the regulariser is above another, by temperature: mean and 95 % interval."""
    metrics = list(metrics)
    lines = [f"| temperature | {' | '.join(METRICS[name].title for name in metrics)} |"]
    lines += ["| ---: |" + " ---: |" * len(metrics)]
    for at in grid(studies[0], "temperature"):
        found = (seed_by_seed(studies, loss, name, "stop_repulsion", ends, temperature=at) for name in metrics)
        cells = (f"{middle} ({low} to {high})" for middle, low, high in map(interval, found))
        lines.append(f"| {at} | {' | '.join(cells)} |")
    return "\n".join(lines)


@cache
def ranking(metric: str) -> Ranking:
    """Rank the losses over the sets."""
    found = {name: {loss: float(mean(name, loss, metric)) for loss in losses_of(name)} for name in sets()}
    return rank_losses(found, better=METRICS[metric].better)


def ranks_table(metrics: Iterable[str]) -> str:
    """Write the mean ranks, in the order of the first metric."""
    rankings = [ranking(metric) for metric in metrics]
    lines = [f"| {' | '.join(['loss', *(METRICS[metric].title for metric in metrics)])} |"]
    lines += [f"| --- |{' ---: |' * len(rankings)}"]
    lines += [
        f"| {' | '.join([loss, *(f'{one.ranks[loss]:.2f}' for one in rankings)])} |" for loss in rankings[0].ranks
    ]
    return "\n".join(lines)


def table(study: str) -> str:
    """Return the table of a study."""
    path = STUDIES / study / "table.md"
    return f"<!-- {path.relative_to(HERE.parent).as_posix()} -->\n\n{path.read_text().strip()}"


def controls_table(columns: Mapping[str, Iterable[str]], metrics: Iterable[str]) -> str:
    """Tabulate, for each data set of the controls and each metric, the mean of groups of losses."""
    lines = [f"| data | % | {' | '.join(columns)} |", "| --- | --- |" + " ---: |" * len(columns)]
    for study in controls():
        for metric in metrics:
            cells = " | ".join(str(Number(fmean(means(study, group, metric)))) for group in columns.values())
            link = f"[{study.partition('-')[2]}](../results/studies/{study}/table.md)"
            lines.append(f"| {link} | {METRICS[metric].title} | {cells} |")
    return "\n".join(lines)


def labels(data: str) -> int:
    """Return the number of labels of a data set."""
    return int(json.loads((RESULTS / "every_set" / "sets.json").read_text())[data]["labels"])


def examples(data: str, fraction: float = 1.0) -> int:
    """Return the number of training examples of a data set, or of a share of them."""
    return round(fraction * json.loads((RESULTS / "every_set" / "sets.json").read_text())[data]["sizes"][0])


def fine_tuned(data: str, loss: str, metric: str = "macro_f1") -> Number:
    """Return the mean of a comparison of fine-tuned encoders."""
    rows = json.loads((RESULTS / data / "results.json").read_text())["rows"]
    return Number(100 * fmean(run["metrics"]["test"][metric] for run in rows[loss]))


def directed(state: str, name: str) -> Number:
    """Return a mean over the pairs of one batch: an angle in degrees, or a share in percent."""
    rows = {row["state"]: row for row in json.loads(DIRECTIONS.read_text())["rows"]}
    return Number(rows[state][name] * (1 if name.startswith("angle") else 100))


def _ends(point: Mapping[str, object]) -> dict[str, str]:
    """Return a point of the grid by the ends of its settings."""
    return _texts({name.rpartition(".")[2]: value for name, value in point.items()})


def _texts(point: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in point.items()}


def page() -> str:
    """Return the page: the text, its statements executed and its expressions replaced."""
    names = dict(globals())

    def shown(match: re.Match[str]) -> str:
        if match["statement"]:
            exec(match["statement"].strip(), names)
            return ""
        return str(eval(match["expression"].strip(), names))

    return re.sub(r"<%(?P<statement>.*?)%>\n|\{\{(?P<expression>.*?)\}\}", shown, TEXT.read_text())


def reproduce() -> str:
    """Return the page of commands: those that the results record, and those in the first lines of the benchmarks."""
    parts = [INTRODUCTION]
    compared = {path.parent: json.loads(path.read_text())["origin"] for path in RESULTS.glob("*/results.json")}
    studied = {path.parent: json.loads(path.read_text())["origin"] for path in STUDIES.glob("*/study.json")}
    for title, found in {"Comparisons": compared, "Studies": studied}.items():
        rows = [
            f"| [{folder.name}](../{(folder / 'table.md').relative_to(HERE.parent).as_posix()}) | {_minutes(folder)} | "
            f"`{origin['command']}` |"
            for folder, origin in sorted(found.items())
        ]
        head = [f"## {title}\n", "| result | minutes | command |", "| --- | ---: | --- |"]
        parts.append("\n".join([*head, *rows]) + "\n")
    parts.append("## Benchmarks\n")
    for path in sorted((HERE.parent / "benchmarks").glob("*.py")):
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        commands = [line.strip() for line in text.splitlines() if line.strip().startswith("python ")]
        if commands:
            lines = "\n".join(f"    {line}" for line in commands)
            parts.append(f"[{path.name}](../benchmarks/{path.name}): {text.splitlines()[0]}\n\n{lines}\n")
    return "\n".join(parts)


def _minutes(folder: Path) -> str:
    """Return the minutes that the runs of a result took, one after the other."""
    results = folder / "results.json"
    if results.exists():
        runs = [run for rows in json.loads(results.read_text())["rows"].values() for run in rows]
        seconds = sum(sum(run["seconds"].values()) for run in runs if "metrics" in run)
    else:
        with (folder / "results.csv").open(newline="") as file:
            seconds = sum(float(row["seconds"]) for row in csv.DictReader(file))
    return f"{seconds / 60:.0f}"


INTRODUCTION = """# Every result, and the command that made it

Made by `docs/make_findings.py` from the committed results. A command is run at the top of the repository; the data sets
are the user's to get, and lie in `../shared/data` here. Minutes are those of all runs, one after the other, on two
processors that did other work too. Where a run is missing, the same command with `--resume` goes on with it; with other
settings, name another folder. Tables and figures of [findings.md](findings.md) are those of the studies; the tables on
other pages name their result file and its command. Failures that were provoked have theirs in
[reliability.md](reliability.md).
"""


if __name__ == "__main__":
    PAGE.write_text(page())
    COMMANDS.write_text(reproduce())
