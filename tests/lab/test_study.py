"""Studies: declarations, planned trials, and the docs page generated from the catalogue."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from labelcontrast.errors import ConfigError
from labelcontrast.lab.quantities import QUANTITIES
from labelcontrast.lab.study import CATALOGUE, Study, find_study, plan_study, read_study, study_catalogue
from labelcontrast.lab.study_report import name_trials
from labelcontrast.lab.trials import Store
from labelcontrast.losses.factory import make_loss

SOUND = {
    "question": "Does it help?",
    "losses": ["bce", "reg"],
    "grid": {"loss.alpha": [0.0, 1.0]},
    "table": {"rows": ["loss", "loss.alpha"], "metrics": ["macro_f1"]},
}


@pytest.mark.parametrize("name", study_catalogue())
def test_every_study_of_the_catalogue_is_short_and_can_be_planned_and_shown(name: str) -> None:
    study = find_study(name)
    assert study.name == name
    assert study.question.endswith("?")
    planned = plan_study(study, ["a.npz", "b.npz"], {})
    assert len({(one.settings.model_dump_json()) for one in planned}) == len(planned)
    assert len(planned) <= 500
    assert len(next(CATALOGUE.rglob(f"{name}.toml")).read_text().splitlines()) <= 40
    shown = {*study.table.metrics, *(quantity for figure in study.figures for quantity in figure.y)}
    assert shown <= set(QUANTITIES)
    assert all(axis in study.table.rows or len(values) <= 3 for axis, values in study.grid.items())


def test_studies_of_published_tables_have_the_published_values() -> None:
    known = study_catalogue()
    assert known["multiclass"].losses[-1] == "supcon:positives=exact:stop_repulsion=1.0"
    assert known["few-labels"].table.metrics == ("micro_f1", "macro_f1", "hamming_loss")
    assert {0.01, 0.1} <= set(known["temperature-prr"].grid["loss.temperature"])
    assert {0.0, 1.0} <= set(known["alpha"].grid["loss.alpha"])


def test_a_loss_is_run_with_each_of_the_values_that_it_lists() -> None:
    losses = ["bce", "reg:alpha=[0.0, 1.0]:temperature=0.2:training.epochs=[3, 5]"]
    study = Study.build(
        {"name": "listed", **SOUND, "grid": {}, "table": {"metrics": ["macro_f1"]}, "losses": losses, "seeds": 2}
    )
    assert study.dimensions == ("data", "loss", "choice")
    found = [
        (one.point["loss"], one.point["choice"], one.settings.training.epochs, one.settings.loss.parameters)
        for one in plan_study(study, ["a.npz"], {})
        if one.point["seed"] == 1
    ]
    expected = [
        ("reg temperature=0.2", f"alpha {alpha}, epochs {epochs}", epochs, {"temperature": 0.2, "alpha": alpha})
        for alpha in (0.0, 1.0)
        for epochs in (3, 5)
    ]
    assert found == [("bce", "", 10, {}), *expected]
    with pytest.raises(ConfigError, match='"reg" occurs twice in the list of losses'):
        plan_study(study.with_changes(losses="reg,reg:alpha=[1]"), ["a.npz"], {})


@pytest.mark.parametrize("reduction", study_catalogue()["weighting"].grid["loss.reduction"])
def test_idle_axes_do_not_change_the_loss(reduction: str) -> None:
    study = study_catalogue()["weighting"]
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
        ({"choose_by": "loss"}, "choose_by: there is no 'loss'"),
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
def test_an_invalid_declaration_is_refused_in_one_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        Study.build({"name": "mine", **SOUND, **changes})
    assert str(refusal.value).startswith(message)


def test_a_study_is_read_from_a_file_and_errors_name_it(tmp_path: Path) -> None:
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


def test_changes_replace_losses_seeds_and_values_of_the_grid() -> None:
    study = Study.build({"name": "mine", **SOUND})
    one = study.with_changes(losses="zlpr,reg", seeds=5, assignments=["loss.alpha=[2.0, 4.0]", "training.epochs=2"])
    assert one.losses == ("zlpr", "reg")
    assert one.seeds == 5
    assert one.grid == {"loss.alpha": (2.0, 4.0)}
    assert study.with_changes(assignments=["loss.alpha=3"]).grid == {"loss.alpha": (3,)}
    assert study.with_changes() == study


def study(**changes: object) -> Study:
    values = {
        "name": "mine",
        "question": "Why?",
        "losses": ["bce", "reg:temperature=0.2"],
        "seeds": 2,
        "grid": {"loss.alpha": [0.0, 1.0]},
        "protocol": {"training.epochs": 7, "evaluation.threshold": "fixed"},
        "table": {"metrics": ["macro_f1"]},
    }
    return Study.build(values | changes)


def test_the_plan_has_every_combination_and_a_loss_without_the_axis_once() -> None:
    planned = plan_study(study(), ["here/one.npz", "two.csv.gz"], {})
    assert [one.point for one in planned[:3]] == [
        {"data": "one", "loss": "bce", "seed": 0},
        {"data": "one", "loss": "reg temperature=0.2", "loss.alpha": 0.0, "seed": 0},
        {"data": "one", "loss": "reg temperature=0.2", "loss.alpha": 1.0, "seed": 0},
    ]
    assert [one.point["data"] for one in planned] == 2 * (3 * ["one"] + 3 * ["two"])
    assert [one.point["seed"] for one in planned] == 6 * [0] + 6 * [1]
    last = planned[-1].settings
    assert (last.data, last.seed) == ("two.csv.gz", 1)
    assert last.loss.parameters == {"temperature": 0.2, "alpha": 1.0}
    assert planned[-1].title == "two, reg temperature=0.2, alpha 1.0, seed 1"


def test_the_weight_of_joint_losses_varies_for_them_only() -> None:
    planned = plan_study(study(losses=["bce", "bce+reg"], grid={"loss.joint.weight": [0.1, 2.0]}, seeds=1), ["a"], {})
    joint = [one.settings.loss.joint for one in planned]
    assert [one and one.weight for one in joint] == [None, 0.1, 2.0]
    assert [one.point.get("loss.joint.weight") for one in planned] == [None, 0.1, 2.0]


def test_settings_of_one_loss_apply_to_it_only() -> None:
    planned = plan_study(
        study(losses=["bce", "bce:training.epochs=2"], seeds=1), ["a.npz"], {"training": {"epochs": 3}}
    )
    assert [(one.point["loss"], one.settings.training.epochs) for one in planned] == [("bce", 3), ("bce epochs=2", 2)]


def test_user_settings_override_the_protocol_and_the_protocol_overrides_defaults() -> None:
    planned = plan_study(study(), ["a.npz"], {"training": {"epochs": 3}})
    assert {one.settings.training.epochs for one in planned} == {3}
    assert {one.settings.evaluation.threshold for one in planned} == {"fixed"}


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({}, {"loss": {"alpha": 1}}, "loss.alpha varies within the study mine; it cannot be set for all its trials."),
        ({}, {"seed": 3}, "seed varies within the study mine"),
        ({}, {"training": {"epoch": 3}}, 'unknown setting "training.epoch" (did you mean "training.epochs"?).'),
        ({"losses": ["rge"]}, {}, "there is no loss 'rge' (did you mean \"reg\"?)"),
        ({"losses": ["reg:alhpa=1"]}, {}, "reg has no parameter 'alhpa'"),
        (
            {"losses": ["reg:training.views=2"], "grid": {"training.views": [1]}},
            {},
            "training.views varies within the study mine; it cannot be set for reg alone.",
        ),
        ({"grid": {"training.batch_size": [0]}}, {}, "training.batch_size must be greater than or equal to 1. Got 0."),
    ],
)
def test_an_invalid_plan_is_refused(changes: dict[str, object], settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        plan_study(study(**changes), ["a.npz"], settings)
    assert str(refusal.value).startswith(message)


def test_two_data_sets_with_the_same_name_are_refused() -> None:
    with pytest.raises(ConfigError, match=r'two data sets are named "a": x/a\.npz and y/a\.npz'):
        plan_study(study(), ["x/a.npz", "y/a.npz"], {})


def test_variants_are_alternatives() -> None:
    variants = {"ours": {}, "both": {"val_fraction": 0.5, "evaluation.threshold": "global"}}
    planned = plan_study(study(grid={}, variants=variants, seeds=1), ["a.npz"], {})
    assert [(one.point["loss"], one.point["variant"]) for one in planned] == [
        ("bce", "ours"),
        ("bce", "both"),
        ("reg temperature=0.2", "ours"),
        ("reg temperature=0.2", "both"),
    ]
    settings_found = [(one.settings.val_fraction, one.settings.evaluation.threshold) for one in planned[:2]]
    assert settings_found == [(1.0, "fixed"), (0.5, "global")]
    planned = plan_study(study(grid={}, variants=variants, seeds=1), ["a.npz"], {"val_fraction": 0.2})
    assert [one.settings.val_fraction for one in planned[:2]] == [0.2, 0.5]


def test_an_idle_axis_has_one_trial_for_all_its_values() -> None:
    planned = plan_study(find_study("weighting"), ["a.npz"], {})
    places = [one.point for one in planned if one.point["seed"] == 0 and one.point["loss.reduction"] == "mean_all"]
    assert len(places) == 9
    assert [place.get("loss.sharing") for place in places if place["loss.affinity"] == "exact"] == [None]
    assert [place["loss.sharing"] for place in places if place["loss.affinity"] == "any"] == ["per_anchor", "per_label"]


def test_a_transfer_study_evaluates_every_encoder_on_every_data_set(tmp_path: Path) -> None:
    for name, value in (("one", 0), ("two", 1)):
        np.save(tmp_path / f"{name}.npy", np.full(3, value))
    data = [str(tmp_path / "one.npy"), str(tmp_path / "two.npy")]
    planned = plan_study(study(grid={}, losses=["bce"], transfer=True, seeds=1), data, {})
    places = [(one.point["data"], one.point["transfer_to"]) for one in planned]
    assert places == [("one", "one"), ("one", "two"), ("two", "one"), ("two", "two")]
    assert [(one.settings.data, one.settings.transfer_to) for one in planned] == [(a, b) for a in data for b in data]
    keys = [trial.key for trial in name_trials(planned, Store(tmp_path))]
    assert len(set(keys)) == 4
    (tmp_path / "moved").mkdir()
    for name in ("one", "two"):
        (tmp_path / f"{name}.npy").rename(tmp_path / "moved" / f"{name}.npy")
    moved = [str(tmp_path / "moved" / Path(path).name) for path in data]
    again = plan_study(study(grid={}, losses=["bce"], transfer=True, seeds=1), moved, {})
    assert [trial.key for trial in name_trials(again, Store(tmp_path))] == keys, "where the data lie does not matter"


DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_studies", DOCS / "make_studies.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_docs_page_is_generated_from_the_catalogue(maker: ModuleType) -> None:
    page = (DOCS / "studies.md").read_text()
    assert page == maker.page(), "run python docs/make_studies.py"
    assert sorted(name for names in maker.PARTS.values() for name in names) == sorted(study_catalogue())
    for name, study in study_catalogue().items():
        assert f"\n### {name}\n\n{study.question}\n" in page
        assert f"labelcontrast study {name} " in page


def test_the_example_of_the_docs_page_is_short_and_can_be_planned(maker: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "projections.toml"
    path.write_text(maker.MINE)
    assert len(maker.MINE.splitlines()) <= 40
    assert maker.MINE in (DOCS / "studies.md").read_text()
    planned = plan_study(find_study(str(path)), ["data.csv"], {})
    assert len(planned) == 3 * 3 * 3
    assert {one.settings.training.epochs for one in planned} == {20}
    assert {one.settings.training.projection_dim for one in planned} == {16, 64, 256}


def test_a_list_for_another_setting_is_one_more_axis() -> None:
    study = Study.build({"name": "mine", **SOUND, "protocol": {"training.epochs": 5}})
    assignments = ["training.epochs=[2, 3]", "loss.alpha=[1.0]", "training.epoch_grid=[1, 2]"]
    assert [study.varies(one) for one in assignments] == [True, True, False]
    wider = study.with_changes(assignments=assignments)
    assert wider.grid == {"loss.alpha": (1.0,), "training.epochs": (2, 3)}
    assert wider.table.rows == ("loss", "loss.alpha", "training.epochs")
    assert {one.settings.training.epochs for one in plan_study(wider, ["a.npz"], {})} == {2, 3}
