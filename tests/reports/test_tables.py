"""Tables in every format, and the text of numbers."""

import pytest

from labelcontrast.reports.tables import (
    NOTHING,
    Cell,
    Table,
    as_latex,
    as_markdown,
    as_text,
    duration,
    percent,
)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 00 s"), (3599.6, "1 h 00 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_zero_is_not_unknown() -> None:
    assert (percent(0.0), percent(0), percent(1)) == ("0.00", "0.00", "100.00")


def test_latex_shows_what_the_table_says_and_bold_where_it_is_best() -> None:
    table = Table(
        ("loss", "mAP (%)", "a_b"),
        (
            (Cell("wo_reg {x}"), Cell("61.20 ± 0.10", best=True), Cell(NOTHING)),
            (Cell("a&b\\^~#$"), Cell("1"), Cell("2")),
        ),
    )
    lines = as_latex(table).splitlines()
    assert lines[0] == r"\begin{tabular}{lrr}"
    assert lines[2] == r"loss & mAP (\%) & a\_b \\"
    assert lines[4] == r"wo\_reg \{x\} & \textbf{61.20 $\pm$ 0.10} & -- \\"
    assert lines[5] == r"a\&b\textbackslash{}\textasciicircum{}\textasciitilde{}\#\$ & 1 & 2 \\"
    assert lines[-1] == r"\end{tabular}"


def test_text_stands_left_and_numbers_right_in_every_format() -> None:
    table = Table(
        ("share", "loss", "mAP"),
        ((Cell("0.1"), Cell("bce"), Cell("9.00")), (Cell("0.25"), Cell("reg x"), Cell("61.00"))),
        texts=2,
    )
    assert as_text(table).splitlines() == ["share  loss     mAP", "0.1    bce     9.00", "0.25   reg x  61.00"]
    assert as_markdown(table).splitlines()[1] == "| --- | --- | ---: |"
    assert as_latex(table).startswith("\\begin{tabular}{llr}")
