"""The reliability diagram: the error that it says, an empty bin, and what a screen reader reads."""

import pytest

from labelcontrast.reports.reliability import reliability_figure


def test_the_error_is_the_mean_distance_over_pairs() -> None:
    before = ([30, 0, 10], [0.1, 0.0, 0.9], [0.2, 0.0, 0.5])
    markup = reliability_figure({"before": before, "after": ([4], [0.5], [0.5])})
    expected = 100 * (30 * 0.1 + 10 * 0.4) / 40
    assert f"Expected calibration error: before {expected:.2f} %; after 0.00 %." in markup
    assert markup.startswith("<svg")


@pytest.mark.parametrize("diagrams", [{}, {"before": ([0, 0], [0.0, 0.0], [0.0, 0.0])}])
def test_nothing_to_draw_is_drawn_as_nothing(diagrams) -> None:
    assert "Reliability diagram" in reliability_figure(diagrams)
