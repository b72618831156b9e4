"""From a declaration to trials: which there are, in which order, under which settings and names."""

from pathlib import Path

import numpy as np
import pytest

from labelcontrast.errors import ConfigError
from labelcontrast.lab.plan import plan_study
from labelcontrast.lab.running import name_trials
from labelcontrast.lab.store import Store
from labelcontrast.lab.study import Study, find_study


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


def test_every_combination_with_every_seed_and_a_loss_without_the_axis_once() -> None:
    planned = plan_study(study(), ["here/one.npz", "two.csv.gz"], {})
    assert [one.place for one in planned[:3]] == [
        {"data": "one", "loss": "bce", "seed": 0},
        {"data": "one", "loss": "reg temperature=0.2", "loss.alpha": 0.0, "seed": 0},
        {"data": "one", "loss": "reg temperature=0.2", "loss.alpha": 1.0, "seed": 0},
    ]
    assert [one.place["data"] for one in planned] == 2 * (3 * ["one"] + 3 * ["two"])
    assert [one.place["seed"] for one in planned] == 6 * [0] + 6 * [1]
    last = planned[-1].settings
    assert (last.data, last.seed) == ("two.csv.gz", 1)
    assert last.loss.parameters == {"temperature": 0.2, "alpha": 1.0}
    assert planned[-1].title == "two, reg temperature=0.2, alpha 1.0, seed 1"


def test_the_weight_of_a_joint_loss_varies_where_there_is_one() -> None:
    planned = plan_study(study(losses=["bce", "bce+reg"], grid={"loss.joint.weight": [0.1, 2.0]}, seeds=1), ["a"], {})
    joint = [one.settings.loss.joint for one in planned]
    assert [one and one.weight for one in joint] == [None, 0.1, 2.0]
    assert [one.place.get("loss.joint.weight") for one in planned] == [None, 0.1, 2.0]


def test_a_loss_with_settings_of_its_own_has_them_alone() -> None:
    planned = plan_study(
        study(losses=["bce", "bce:training.epochs=2"], seeds=1), ["a.npz"], {"training": {"epochs": 3}}
    )
    assert [(one.place["loss"], one.settings.training.epochs) for one in planned] == [("bce", 3), ("bce epochs=2", 2)]


def test_what_the_user_sets_goes_before_the_protocol_and_the_protocol_before_the_defaults() -> None:
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
def test_what_cannot_run_is_refused_before_anything_runs(
    changes: dict[str, object], settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError) as refusal:
        plan_study(study(**changes), ["a.npz"], settings)
    assert str(refusal.value).startswith(message)


def test_two_data_sets_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match=r'two data sets are named "a": x/a\.npz and y/a\.npz'):
        plan_study(study(), ["x/a.npz", "y/a.npz"], {})


def test_variants_are_set_beside_one_another_and_not_combined() -> None:
    variants = {"ours": {}, "both": {"val_fraction": 0.5, "evaluation.threshold": "global"}}
    planned = plan_study(study(grid={}, variants=variants, seeds=1), ["a.npz"], {})
    assert [(one.place["loss"], one.place["variant"]) for one in planned] == [
        ("bce", "ours"),
        ("bce", "both"),
        ("reg temperature=0.2", "ours"),
        ("reg temperature=0.2", "both"),
    ]
    told = [(one.settings.val_fraction, one.settings.evaluation.threshold) for one in planned[:2]]
    assert told == [(1.0, "fixed"), (0.5, "global")]
    planned = plan_study(study(grid={}, variants=variants, seeds=1), ["a.npz"], {"val_fraction": 0.2})
    assert [one.settings.val_fraction for one in planned[:2]] == [0.2, 0.5]


def test_an_axis_that_changes_nothing_there_has_one_trial_for_all_its_values() -> None:
    planned = plan_study(find_study("weighting"), ["a.npz"], {})
    places = [one.place for one in planned if one.place["seed"] == 0 and one.place["loss.reduction"] == "mean_all"]
    assert len(places) == 9
    assert [place.get("loss.sharing") for place in places if place["loss.affinity"] == "exact"] == [None]
    assert [place["loss.sharing"] for place in places if place["loss.affinity"] == "any"] == ["per_anchor", "per_label"]


def test_every_encoder_is_read_off_on_every_data_set(tmp_path: Path) -> None:
    for name, value in (("one", 0), ("two", 1)):
        np.save(tmp_path / f"{name}.npy", np.full(3, value))
    data = [str(tmp_path / "one.npy"), str(tmp_path / "two.npy")]
    planned = plan_study(study(grid={}, losses=["bce"], transfer=True, seeds=1), data, {})
    places = [(one.place["data"], one.place["transfer_to"]) for one in planned]
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
