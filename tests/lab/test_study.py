"""Declarations: ours are all sound, and one's own is refused with the place of what is wrong."""

from pathlib import Path

import pytest
import torch

from labelcontrast.errors import ConfigError
from labelcontrast.lab.plan import plan_study
from labelcontrast.lab.quantities import QUANTITIES
from labelcontrast.lab.study import CATALOGUE, Study, catalogue, find_study, read_study
from labelcontrast.losses.factory import make_loss

SOUND = {
    "question": "Does it help?",
    "losses": ["bce", "reg"],
    "grid": {"loss.alpha": [0.0, 1.0]},
    "table": {"rows": ["loss", "loss.alpha"], "metrics": ["macro_f1"]},
}


@pytest.mark.parametrize("name", catalogue())
def test_every_study_can_be_planned_shown_and_is_short(name: str) -> None:
    study = find_study(name)
    assert study.name == name
    assert study.question.endswith("?")
    planned = plan_study(study, ["a.npz", "b.npz"], {})
    assert len({(one.settings.model_dump_json()) for one in planned}) == len(planned)
    assert len(planned) <= 250
    assert len(next(CATALOGUE.rglob(f"{name}.toml")).read_text().splitlines()) <= 40
    shown = {*study.table.metrics, *(quantity for figure in study.figures for quantity in figure.y)}
    assert shown <= set(QUANTITIES)
    assert all(axis in study.table.rows or len(values) <= 3 for axis, values in study.grid.items())


def test_the_published_ones_have_the_published_values() -> None:
    known = catalogue()
    assert known["multiclass"].losses[-1] == "supcon:positives=exact:stop_repulsion=1.0"
    assert known["few-labels"].table.metrics == ("micro_f1", "macro_f1", "hamming_loss")
    assert {0.01, 0.1} <= set(known["temperature-prr"].grid["loss.temperature"])
    assert {0.0, 1.0} <= set(known["alpha"].grid["loss.alpha"])


@pytest.mark.parametrize("reduction", catalogue()["weighting"].grid["loss.reduction"])
def test_what_is_declared_to_change_nothing_changes_nothing(reduction: str) -> None:
    study = catalogue()["weighting"]
    assert study.idle == {"loss.sharing": {"loss.affinity": "exact"}}
    random = torch.Generator().manual_seed(0)
    labels = (torch.rand(40, 3, generator=random) < 0.5).float()
    rows = torch.nn.functional.normalize(torch.randn(40, 8, generator=random, dtype=torch.float64), dim=1)

    def value(affinity: str, sharing: str) -> float:
        own = {"affinity": affinity, "sharing": sharing, "reduction": reduction}
        return float(make_loss("weighted", num_labels=3, dim=8, **own)(rows, labels))

    assert value("exact", "per_anchor") == pytest.approx(value("exact", "per_label"), rel=1e-9)
    assert value("any", "per_anchor") != pytest.approx(value("any", "per_label"), rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losses": []}, "losses: tuple should have at least 1 item after validation, not 0. Got []."),
        ({"seeds": 0}, "seeds: input should be greater than or equal to 1. Got 0."),
        ({"search": {"loss.alpha": "2"}}, '"loss.alpha=2" is not a range; expected KEY=LOW:HIGH'),
        ({"idle": {"loss.alhpa": {}}}, "idle: there is no 'loss.alhpa' (did you mean \"loss.alpha\"?)."),
        ({"idle": {"loss.alpha": {"loss.beta": 1}}}, "idle.loss.alpha: there is no 'loss.beta'"),
        ({"figure": []}, "figure: extra inputs are not permitted. Got []."),
        (
            {"table": {"metrics": ["macrof1"]}},
            "table.metrics: there is no 'macrof1' (did you mean \"macro_f1\"?). There are: micro_f1",
        ),
        (
            {"table": {"rows": ["loss.alhpa"], "metrics": ["macro_f1"]}},
            "table.rows: there is no 'loss.alhpa' (did you mean \"loss.alpha\"?). There are: data, loss, loss.alpha.",
        ),
        (
            {"figures": [{"x": "seed", "y": ["macro_f1"]}]},
            "figures.x: there is no 'seed'. There are: data, loss, loss.alpha, epoch.",
        ),
        (
            {"table": {"rows": ["loss"], "within": ["loss.alpha"], "metrics": ["macro_f1"]}},
            "table.within: there is no 'loss.alpha'. There are: loss.",
        ),
        ({"figures": [{"x": "loss", "y": ["f1"]}]}, "figures.y: there is no 'f1'"),
        ({"figures": [{"x": "epoch", "y": ["score"], "lines": "epoch"}]}, "figures.lines: there is no 'epoch'"),
        (
            {"figures": [{"x": "epoch", "y": ["macro_f1"]}]},
            "figures.y: there is no 'macro_f1'. There are: score,",
        ),
    ],
)
def test_a_wrong_declaration_is_one_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        Study.build({"name": "mine", **SOUND, **changes})
    assert str(refusal.value).startswith(message)


def test_ones_own_study_is_a_file_and_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('question = "Why?"\nlosses = ["bce"]\n[table]\nmetrics = ["lrap"]\n')
    assert find_study(str(path)) == read_study(path)
    assert read_study(path).name == "mine"
    path.write_text('losses = ["bce"]\n[table]\nmetrics = ["lrap"]\n')
    with pytest.raises(ConfigError, match=r"mine\.toml: question: field required"):
        read_study(path)
    with pytest.raises(ConfigError, match=r"no\.toml: no such file"):
        find_study(str(tmp_path / "no.toml"))
    with pytest.raises(ConfigError, match=r"there is no study 'temprature' \(did you mean \"temperature\"\?\)"):
        find_study("temprature")


def test_a_grid_is_narrowed_and_what_is_not_its_own_is_left() -> None:
    study = Study.build({"name": "mine", **SOUND})
    one = study.narrowed(losses="zlpr,reg", seeds=5, assignments=["loss.alpha=[2.0, 4.0]", "training.epochs=2"])
    assert one.losses == ("zlpr", "reg")
    assert one.seeds == 5
    assert one.grid == {"loss.alpha": (2.0, 4.0)}
    assert study.narrowed(assignments=["loss.alpha=3"]).grid == {"loss.alpha": (3,)}
    assert study.narrowed() == study
