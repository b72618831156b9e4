"""The critical-difference diagram: every loss and its rank is in it, and it says what it shows."""

import re

from labelcontrast.reports.rank_figure import rank_figure

RANKS = {"reg": 1.4, "msc": 2.1, "zlpr": 2.9, "bce": 3.6}


def test_every_rank_is_said_and_a_bar_stands_for_each_group() -> None:
    drawn = rank_figure(RANKS, critical_difference=1.2, alike=[("reg", "msc"), ("msc", "zlpr", "bce")])
    said = re.search(r'aria-label="([^"]*)"', drawn)
    assert said is not None
    assert said[1] == "Mean rank, 1 is best: reg 1.40, msc 2.10, zlpr 2.90, bce 3.60. Critical difference 1.20."
    bars = [stroke for stroke in re.findall(r"stroke-width: ([0-9.]+)", drawn) if float(stroke) == 4]
    assert len(bars) == 2
    without = rank_figure(RANKS, critical_difference=1.2, alike=[])
    assert not [stroke for stroke in re.findall(r"stroke-width: ([0-9.]+)", without) if float(stroke) == 4]
