"""The table of metrics that every verb prints."""

from labelcontrast.reports.tables import NOTHING, as_text
from labelcontrast.terminal.console import metrics_table


def test_metrics_are_a_table_in_percent() -> None:
    names = ("micro_f1", "macro_f1", "sample_f1", "hamming_loss", "map_macro", "map_micro", "lrap")
    text = as_text(metrics_table({"test": {**dict.fromkeys(names, 0.5), "map_macro": None}}))
    header, row = text.splitlines()
    assert header.split()[0] == "%"
    assert row.split() == ["test", "50.00", "50.00", "50.00", "50.00", NOTHING, "50.00", "50.00"]
