"""The registry: every metric is complete, and is known without a numerical library."""

import subprocess
import sys

from labelcontrast.metrics.registry import (
    DETAILS,
    HIERARCHICAL_METRICS,
    LEVEL_METRICS,
    METRICS,
    RETRIEVAL_METRICS,
)


def test_each_metric_has_its_name_a_title_and_a_sentence() -> None:
    for metrics in (METRICS, DETAILS, HIERARCHICAL_METRICS, LEVEL_METRICS, RETRIEVAL_METRICS):
        assert [metric.name for metric in metrics.values()] == list(metrics)
        assert all(metric.title and metric.meaning.endswith(".") for metric in metrics.values())


def test_the_registry_loads_without_numpy() -> None:
    code = "import sys, labelcontrast.metrics.registry; print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
