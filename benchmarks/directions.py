"""Figure 1 of the paper on real embeddings: where the steps of one batch lead, with L_REG and without.

    python benchmarks/directions.py ../shared/data/aapd2k --config recipes/small/adapter-text.toml      # a minute

Before training under ``reg`` and after it, ``benchmarks/results/directions.png`` has a point for each pair of examples
of one batch that share a label. Its distance from the centre is the angle between the two embeddings, and its direction
the angle between the step of the first and the way to the second: above the line the two approach, below it the step
leads away. ``directions.json`` has the means by label frequency and by similarity.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labelcontrast.files import write_json
from labelcontrast.metrics.counting import by_frequency
from labelcontrast.metrics.representation import closing_angles
from labelcontrast.reports.figures import FAINT, INK, PALETTE, as_png
from labelcontrast.run.fitting import build_learner, draw_sample, measure_directions
from labelcontrast.run.inputs import load_data, prepare_inputs
from labelcontrast.run.machine import describe_origin, seeded
from labelcontrast.settings import RunSettings, read_settings
from labelcontrast.training.features import compute_features
from labelcontrast.training.trainer import fit

RESULTS = Path(__file__).parent / "results"
STOPS = {"without L_REG": 0.0, "with L_REG": 1.0}


def main() -> None:
    """Measure and draw one batch before and after training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--config", type=Path)
    given = parser.parse_args()
    values = {**(read_settings(given.config) if given.config else {}), "data": given.data, "loss": {"name": "reg"}}
    settings = RunSettings.build(values)
    figure, rows = Figure(figsize=(7.2, 7.6), layout="constrained"), []
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    with seeded(settings.seed), tempfile.TemporaryDirectory() as folder:
        inputs = prepare_inputs(settings, load_data(settings))
        learner, batches, objective = build_learner(settings, "contrastive", inputs)
        buckets = by_frequency(inputs.labels("train").sum(0))
        sample = draw_sample(inputs.prepared["train"], settings.training.batch_size, seed=settings.seed)
        labels = torch.from_numpy(sample.labels.toarray()).float()
        for at, state in enumerate(("before training", "after training")):
            if at:
                fit(learner, batches, folder=Path(folder), settings=settings.training)
                learner.cpu()
            with torch.no_grad():
                projections = objective.head(compute_features(inputs.encoder, sample))
            rows.append({"state": state, **measure_directions(objective.loss, [(projections, labels)], buckets)})
            for panel, (title, stop) in zip(panels[at], STOPS.items(), strict=True):
                steps = objective.loss.steps(projections, labels, stop_repulsion=stop)
                common = {name: labels[:, chosen] @ labels[:, chosen].T > 0 for name, chosen in buckets.items()}
                draw(panel, projections, steps, common)
                panel.set_title(f"{state}, {title}", fontsize=10)
    figure.supxlabel("degrees to the positive, across the step")
    figure.supylabel("degrees to the positive, along the step")
    panels[0, 0].legend(loc="lower left", fontsize=8, markerscale=4)
    write_json(RESULTS / "directions.json", {"origin": describe_origin(), "pairs_of": len(sample), "rows": rows})
    (RESULTS / "directions.png").write_bytes(as_png(figure))


def draw(panel: Axes, projections: torch.Tensor, steps: torch.Tensor, common: dict[str, torch.Tensor]) -> None:
    """Draw the pairs of a batch around the example that steps upwards, in the colour of their rarest common label."""
    units = torch.nn.functional.normalize(projections.double())
    distance, angle = (units @ units.T).clamp(-1, 1).acos().rad2deg(), closing_angles(projections, steps)
    seen = angle.isnan()
    for place, name in enumerate(("tail", "medium", "head")):
        pairs = common[name] & ~seen
        seen |= pairs
        turn = angle[pairs].deg2rad()
        across, along = distance[pairs] * turn.sin(), distance[pairs] * turn.cos()
        panel.plot(across, along, ".", color=PALETTE[place], markersize=1.5, label=name, zorder=3 - place)
    panel.axhline(0, color=INK, linewidth=1)
    panel.annotate("", (0, 22), (0, 0), arrowprops={"arrowstyle": "-|>", "color": INK}, zorder=5)
    panel.set_aspect("equal")
    panel.set_xlim(left=0)
    panel.grid(visible=True, color=FAINT, alpha=0.3)
    panel.set_axisbelow(True)


if __name__ == "__main__":
    main()
