"""The tables of probe_quality.json: percent, a 95 percent interval behind, differences paired."""

from collections.abc import Mapping
from typing import Any

Found = Mapping[str, Any]
MEASURES, RATES = ("micro-F1", "macro-F1", "mAP"), ("micro-F1", "macro-F1")
RULES = {
    "fixed": "one half",
    "global": "global",
    "naive": "best of each label alone",
    "per_label": "per label, shrunk",
    "expected_f1": "expected F1",
    "top_k": "the first {top_k}",
}


def as_markdown(found: Mapping[str, Found]) -> str:
    """All tables of all data sets."""
    parts = []
    for data, result in found.items():
        examples = result["examples"]
        sizes = ", ".join(f"{count:,} {name}" for name, count in examples.items())
        parts += [
            f"## {data}: {sizes}; {len(result['labels of the optimum'])} labels",
            "Probes at one half, with the 95 % interval over test examples; then the difference from newton, bold "
            "where its interval leaves 0 out.",
            _probes(result["probes"]),
            "Rules of thresholds, chosen on validation: micro-F1 / macro-F1.",
            _rules(result),
            "Rules on what newton says: the difference from one half, and F1 by thirds of the labels.",
            _rules_of_optimum(result),
            "Calibration of what newton says: its error, and what each rule comes to after it (micro-F1 / macro-F1).",
            _calibration(result),
            "The released protocol without its two untrained heads, and with them: three seeds.",
            _untrained(result["untrained heads"]),
        ]
    return "\n\n".join(parts) + "\n"


def _table(head: list[str], rows: list[list[str]], *, words: int = 1) -> str:
    """A table whose first columns are words and whose others are numbers."""
    rule = ["---"] * words + ["---:"] * (len(head) - words)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _value(cell: Found) -> str:
    return f"{cell['value']:.2f} [{cell['interval'][0]:.1f}, {cell['interval'][1]:.1f}]"


def _difference(cell: Found) -> str:
    low, high = cell["its interval"]
    # Bold where the interval leaves 0 out.
    said = f"{cell['difference']:+.2f} [{low:+.1f}, {high:+.1f}]"
    return f"**{said}**" if low > 0 or high < 0 else said


def _pair(cells: Found) -> str:
    return " / ".join(f"{cells[name]['value']:.2f}" for name in RATES)


def _rule_names(result: Found) -> dict[str, str]:
    return {rule: said.format(top_k=result["top_k"]) for rule, said in RULES.items()}


def _probes(probes: Found) -> str:
    head = ["probe", *MEASURES, *(f"Δ {name}" for name in MEASURES), "seconds"]
    rows = []
    for name, row in probes.items():
        cells, spread = row["at 0.5, against the optimum"], row["deviation over seeds"]
        values = [_value(cells[key]) + (f" ± {spread[key]:.2f}" if spread else "") for key in MEASURES]
        gains = ["" if name == "newton" else _difference(cells[key]) for key in MEASURES]
        rows.append([name, *values, *gains, f"{row['seconds']:.1f}"])
    return _table(head, rows)


def _rules(result: Found) -> str:
    names = _rule_names(result)
    rows = [
        [name, *(_pair(row["by rule, against 0.5"][rule]) for rule in names)] for name, row in result["probes"].items()
    ]
    return _table(["probe", *names.values()], rows)


def _rules_of_optimum(result: Found) -> str:
    newton = result["probes"]["newton"]
    rows = []
    for rule, said in _rule_names(result).items():
        cells, thirds = (
            newton["by rule, against 0.5"][rule],
            newton["F1 of rare, medium, frequent labels by rule"][rule],
        )
        gains = [_difference(cells[key]) if rule != "fixed" else "" for key in RATES]
        rows.append([said, *gains, *(f"{share:.2f}" for share in thirds)])
    return _table(["rule", *(f"Δ {name}" for name in RATES), "rare", "medium", "frequent"], rows)


def _calibration(result: Found) -> str:
    names = _rule_names(result)
    rows = [
        [
            method,
            f"{row['error, all pairs']:.2f}",
            f"{row['error, mean over labels']:.2f}",
            *(_pair(row["by rule, against none"][rule]) for rule in names),
        ]
        for method, row in result["calibration of the optimum"].items()
    ]
    return _table(["calibration", "error", "error, mean over labels", *names.values()], rows)


def _untrained(measured: list[Found]) -> str:
    head = ["mean length", "heads", *MEASURES, *(f"Δ {name}" for name in MEASURES), "rare", "medium", "frequent"]
    rows = []
    for row in measured:
        for name in ("trained heads alone", "released"):
            cells = row[name]
            gains = [_difference(cells[key]) if name == "released" else "" for key in MEASURES]
            thirds = [f"{share:.2f}" for share in cells["F1 of rare, medium, frequent labels"]]
            rows.append(
                [f"{row['mean length']}", name, *(f"{cells[key]['value']:.2f}" for key in MEASURES), *gains, *thirds]
            )
    return _table(head, rows, words=2)
