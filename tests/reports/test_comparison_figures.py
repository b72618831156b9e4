"""The figures of a comparison say their numbers, and cope with losses that have no curve, no table, or no run."""

from statistics import fmean

from labelcontrast.reports.comparison_figures import dot_figures, learning_figures, tail_figure
from labelcontrast.reports.summary import ComparedLoss


def test_a_figure_a_metric_with_the_mean_of_each_loss(comparison) -> None:
    drawn = dot_figures(comparison.losses, comparison.measures[:2])
    assert len(drawn) == 2
    for markup, measure in zip(drawn, comparison.measures, strict=False):
        for loss in comparison.losses:
            assert f"{loss.name} {100 * fmean(loss.metrics[measure.name]):.1f}" in markup
            assert f"{loss.name} {100 * fmean(loss.metrics[measure.name]):.1f}" in markup


def test_losses_without_a_table_are_left_out_of_the_tail(comparison) -> None:
    markup = tail_figure(comparison.losses)
    assert "bce from" in markup
    assert "for the most frequent; zlpr from" in markup
    assert "TF-IDF" not in markup


def test_a_figure_a_quantity_in_the_order_met(comparison) -> None:
    extra = ComparedLoss(name="x", metrics={}, curves={"validation mAP (%)": ([1], [3.0]), "alignment": ([1], [0.5])})
    drawn = learning_figures([*comparison.losses, extra])
    found = [markup.split('aria-label="')[1].split(" by epoch")[0] for markup in drawn]
    assert found == ["train loss", "validation mAP (%)", "learning rate", "alignment"]


def test_a_loss_without_a_finished_run_keeps_its_row(comparison) -> None:
    broken = ComparedLoss(name="msc", metrics={}, failures=["seed 0: x"])
    markup = dot_figures([broken, comparison.losses[0]], comparison.measures[:1])[0]
    assert "msc" not in markup.split("</svg>")[0].split(">")[0]
    assert "bce" in markup
