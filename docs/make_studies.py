"""Write docs/studies.md from the catalogue of studies.

python docs/make_studies.py
"""

from pathlib import Path

from labelcontrast.lab.quantities import QUANTITIES
from labelcontrast.lab.study import LOSS, QUANTITY, FigureLayout, dimension_title, find_study, plan_study

PAGE = Path(__file__).parent / "studies.md"
PARTS = {
    "Tables and figures of the published study": (
        "alpha",
        "few-labels",
        "losses",
        "multiclass",
        "published",
        "ranking",
        "representation",
        "temperature-prr",
    ),
    "When do contrastive losses help?": (
        "controls",
        "epochs",
        "hierarchy",
        "label-count",
        "low-data",
        "protocol",
        "thresholds",
        "transfer",
    ),
    "Which component matters?": (
        "gradients",
        "joint",
        "prototypes",
        "regularise-all",
        "regulariser",
        "temperature",
        "weighting",
    ),
}
HEAD = """# The studies

Made from the catalogue by `docs/make_studies.py`; `labelcontrast studies` prints a summary. A study is a grid of runs
under one protocol that answers one question with a table and figures:

    labelcontrast study NAME DATA... --out out                          one or several files or folders of examples
    labelcontrast study NAME DATA... --out out --losses bce,reg --seeds 5 --set loss.temperature=[0.1,0.5]
    labelcontrast report out                                            write the report again

`--config FILE` and `--set KEY=VALUE` set what all trials share, such as the encoder and the epochs; for an axis of the
study `--set` chooses its values, and with a list for any other setting it adds an axis. `--jobs`, `--ray`, `--store`,
`--resume`: [trials.md](trials.md). The folder contains

- `report.html`, one page with everything, and the same as `report.md` with `figures/` (SVG and PNG);
- `table.md`, `table.tex`, `table.csv`: mean and standard deviation over seeds, with the best mean and those not
  significantly worse in bold; `significance.json`: every difference from the best with its interval and p-value;
- `results.csv`: every trial with every quantity; `study.json`: the declaration, the trials, the command.

## Write your own

Give a TOML file in place of the name. This one varies the width of the projections:

```toml
"""
MINE = """question = "How wide should the projections be?"
losses = ["bce", "mulsupcon", "reg:alpha=1"] # as in compare; a dotted name is a setting: reg:training.epochs=20
seeds = 3

[grid] # an axis for each setting, any of `labelcontrast settings`; a loss without it runs once for all values
"training.projection_dim" = [16, 64, 256]

[protocol] # settings of all trials; --set and --config override them
"training.epochs" = 20

[search] # ranges for `labelcontrast search DATA --study FILE`
"loss.temperature" = "0.02:1:log"

[table]
rows = ["loss", "training.projection_dim"] # of data, loss and the axes; the other dimensions make columns
metrics = ["micro_f1", "macro_f1", "map_macro"]
within = [] # of the rows: the best is marked among rows with the same values of these

[[figures]] # a panel for each quantity and each value of the dimensions that are neither x nor lines
x = "training.projection_dim" # an axis; "epoch" for learning curves; "loss" for a dot per run
y = ["macro_f1", "seconds"]
lines = "loss" # or data, an axis, or "quantity": all quantities in one panel
scale = "log"
"""
TAIL = """```

    labelcontrast study projections.toml data.csv --out out

Where all combinations of a `[grid]` would be too many, use `[variants]`, named sets of settings
(`"threshold 0.5" = { "evaluation.threshold" = "fixed" }`). `transfer = true` evaluates every encoder on each data set
in turn. A loss with several values in brackets, `"reg:alpha=[0, 1]:training.epochs=[10, 20]"`, is run with all of them,
and shown with those of the best mean over seeds on validation, by `choose_by`. `[idle]` names values under which an
axis changes nothing, so that one trial stands for all its values.
Quantities for a table or for `y`:

"""


def quantities() -> list[str]:
    """Return a table of the quantities, with the first level in place of all."""
    rows = [
        one for one in QUANTITIES.values() if not one.name.startswith(("level_1", "level_2", "seen_", "unseen_level"))
    ]
    lines = [f"| `{one.name}` | {one.label} | {one.better or ''} | {one.meaning} |" for one in rows]
    return ["| name | shown as | better | |", "|---|---|---|---|", *lines]


def drawn(figure: FigureLayout) -> str:
    """Describe a figure in words."""
    names = ", ".join(f"`{name}`" for name in figure.y)
    if figure.x == LOSS:
        return f"{names}, a dot per run, by loss"
    lines = "together" if figure.lines == QUANTITY else f"a line for each {dimension_title(figure.lines)}"
    scale = ", logarithmic" if figure.scale == "log" else ""
    return f"{names} against {dimension_title(figure.x)}{scale}, {lines}"


def section(name: str) -> str:
    """Return the section of one study: question, source, losses, axes, protocol, table, figures and command."""
    study = find_study(name)
    data = ["one.npz", "two.npz"] if study.transfer else ["data.csv"]
    trials = len(plan_study(study, data, {}))
    lines = [f"### {name}", "", study.question, ""]
    lines += [f"- based on: {study.source}"] if study.source else []
    lines += ["- losses: " + ", ".join(f"`{loss}`" for loss in study.losses)]
    lines += [f"- varies: `{axis}` = {', '.join(map(str, values))}" for axis, values in study.grid.items()]
    lines += [f"- varies: {', '.join(study.variants)}"] if study.variants else []
    lines += ["- varies: the data set that every encoder is evaluated on"] if study.transfer else []
    lines += [f"- protocol: `{setting} = {str(value).lower()}`" for setting, value in study.protocol.items()]
    rows = " and ".join(dimension_title(row) for row in study.table.rows)
    lines += [f"- table: by {rows}: " + ", ".join(f"`{metric}`" for metric in study.table.metrics)]
    lines += [f"- figure: {drawn(figure)}" for figure in study.figures]
    lines += [f"- searches: `{setting}` in {ends}" for setting, ends in study.search.items()]
    many = "two sets" if study.transfer else "one set"
    return "\n".join(
        [*lines, f"- trials: {trials} on {many}", "", f"    labelcontrast study {name} {' '.join(data)} --out out", ""]
    )


def page() -> str:
    """Return the whole page."""
    parts = []
    for title, names in PARTS.items():
        parts += [f"## {title}", "", *map(section, names)]
    return "\n".join([HEAD + MINE + TAIL + "\n".join(quantities()), "", *parts])


if __name__ == "__main__":
    PAGE.write_text(page())
