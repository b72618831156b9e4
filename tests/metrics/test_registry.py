"""The measures that reports print: each has a title for a reader, and none needs a library to be known."""

import subprocess
import sys

from labelcontrast.metrics.registry import HIERARCHICAL_METRICS, METRICS
from labelcontrast.reports.tables import TITLES


def test_each_is_under_its_own_name_and_has_a_title() -> None:
    for metrics in (METRICS, HIERARCHICAL_METRICS):
        assert [metric.name for metric in metrics.values()] == list(metrics)
    assert [name for name in TITLES if name in METRICS] == list(METRICS)


def test_they_are_known_without_a_library_of_numbers() -> None:
    code = "import sys, labelcontrast.metrics.registry; print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
