"""The critical-difference diagram: every loss and its rank is in it, and it says what it shows."""

import re

from labelcontrast.reports.rank_figure import rank_figure
from labelcontrast.reports.summary import RankedMetric

RANKS = {"reg": 1.4, "msc": 2.1, "zlpr": 2.9, "bce": 3.6}


def bars(drawn: str) -> int:
    return len([stroke for stroke in re.findall(r"stroke-width: ([0-9.]+)", drawn) if float(stroke) == 4])


def test_every_rank_is_said_and_a_bar_stands_for_each_group() -> None:
    groups = [("reg", "msc"), ("msc", "zlpr", "bce")]
    metric = RankedMetric(name="macro_f1", ranks=RANKS, critical_difference=1.2, alike=groups, p=0.01)
    drawn = rank_figure(metric)
    said = re.search(r'aria-label="([^"]*)"', drawn)
    assert said is not None
    assert said[1] == "Mean rank, 1 is best: reg 1.40, msc 2.10, zlpr 2.90, bce 3.60. Critical difference 1.20."
    assert bars(drawn) == 2
    alone = RankedMetric(name="macro_f1", ranks=RANKS, critical_difference=0.2, alike=[], p=0.01)
    assert bars(rank_figure(alone)) == 0
