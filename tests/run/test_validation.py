"""Validation of settings: the kind of a loss, and combinations that are refused."""

from pathlib import Path

import pytest

from labelcontrast.errors import ConfigError, MissingExtraError
from labelcontrast.losses.registry import loss_catalogue
from labelcontrast.run import validation
from labelcontrast.run.validation import needs_hierarchy, validate_settings, with_recorded
from labelcontrast.settings import RunSettings


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({}, None),
        ({"loss": {"name": "mulsupcon"}, "hierarchy": {"file": "a.json", "same_name": "path"}}, None),
        ({"loss": {"name": "himulcone"}, "hierarchy": {"closure": True}}, "himulcone"),
        ({"loss": {"name": "zlpr", "joint": {"name": "himulcon"}}}, "himulcon"),
        ({"hierarchy": {"consistency": "max"}}, "hierarchy.consistency=max"),
        ({"hierarchy": {"train_on": "lowest"}}, "hierarchy.train_on=lowest"),
        ({"hierarchy": {"hold_out": 0.25}}, "hierarchy.hold_out=0.25"),
        ({"training": {"sampler": "hierarchical"}}, "training.sampler=hierarchical"),
    ],
)
def test_the_first_setting_that_needs_a_hierarchy_is_named(values: dict, what: str | None) -> None:
    assert needs_hierarchy(RunSettings.build({"data": "a", **values})) == what


@pytest.mark.parametrize("row", loss_catalogue(), ids=lambda row: row.name)
def test_every_loss_passes_with_its_kind(row) -> None:
    views = 2 if row.name == "simclr" else 1
    values = {"data": "a", "loss": {"name": row.name}, "training": {"views": views}}
    assert validate_settings(RunSettings.build(values)) == row.kind


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"loss": {"name": "himulcon"}}, "himulcon"),
        ({"loss": {"name": "bce", "joint": {"name": "hicone"}}}, "hicone"),
        ({"hierarchy": {"closure": True}}, "hierarchy.closure=true"),
        ({"hierarchy": {"decoding": "best_path"}}, "hierarchy.decoding=best_path"),
        ({"evaluation": {"threshold": "per_level"}}, "evaluation.threshold=per_level"),
    ],
)
def test_a_setting_that_needs_a_hierarchy_is_refused_without_one(values: dict, what: str) -> None:
    values = {"data": "a", **values}
    validate_settings(RunSettings.build(values))
    with pytest.raises(ConfigError) as refusal:
        validate_settings(RunSettings.build({**values, "hierarchy": {**values.get("hierarchy", {}), "file": "none"}}))
    assert str(refusal.value) == f"{what} needs a hierarchy of the labels, but hierarchy.file=none ignores it."


def test_transfer_is_not_evaluated_over_the_hierarchy_of_the_training_data() -> None:
    values = {"data": "a", "transfer_to": "b", "loss": {"name": "himulcon"}, "hierarchy": {"closure": True}}
    assert validate_settings(RunSettings.build(values)) == "contrastive"
    with pytest.raises(ConfigError, match=r"^hierarchy\.consistency=max needs the hierarchy of the training data"):
        validate_settings(RunSettings.build({**values, "hierarchy": {"consistency": "max"}}))


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ({"folds": 3, "fold": 3}, "fold must be one of 3 folds, counted from 0. Got 3."),
        ({"fold": 0}, "fold must be one of no folds, counted from 0. Got 0."),
        (
            {"folds": 3, "protocol": "paper"},
            "folds split all examples again; the protocol paper has splits of its own.",
        ),
    ],
)
def test_a_fold_that_does_not_exist_is_refused(values: dict, refusal: str) -> None:
    assert validate_settings(RunSettings.build({"data": "a", "folds": 3, "fold": 2})) == "logit"
    with pytest.raises(ConfigError) as refused:
        validate_settings(RunSettings.build({"data": "a", **values}))
    assert str(refused.value) == refusal


def test_a_batch_of_one_example_is_refused_for_a_contrastive_loss() -> None:
    values = {"data": "a", "training": {"batch_size": 1}}
    assert validate_settings(RunSettings.build({**values, "loss": {"name": "zlpr"}})) == "logit"
    with pytest.raises(ConfigError) as refusal:
        validate_settings(RunSettings.build({**values, "loss": {"name": "supcon"}}))
    assert (
        str(refusal.value) == "training.batch_size must be at least 2: supcon compares the examples of a batch. Got 1."
    )


def test_a_joint_loss_is_a_logit_loss_and_a_contrastive_one() -> None:
    joint = {"data": "a", "loss": {"name": "zlpr", "joint": {"name": "reg", "alpha": 1}}}
    assert validate_settings(RunSettings.build(joint)) == "logit"
    with pytest.raises(ConfigError, match=r"^training\.batch_size must be at least 2: reg compares"):
        validate_settings(RunSettings.build({**joint, "training": {"batch_size": 1}}))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            {"name": "reg", "joint": {"name": "zlpr"}},
            "a joint loss is a logit loss and a contrastive one, as in zlpr+0.5*reg. Got reg+1*zlpr.",
        ),
        ({"name": "zlpr", "joint": {"name": "regg"}}, "there is no loss 'regg' (did you mean \"reg\"?)."),
        ({"name": "zlpr", "joint": {"name": "reg", "beta": 1}}, "reg has no parameter 'beta'"),
    ],
)
def test_an_invalid_joint_loss_is_refused(loss: dict, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        validate_settings(RunSettings.build({"data": "a", "loss": loss}))
    assert str(refusal.value).startswith(message)


def test_a_loss_between_views_needs_two() -> None:
    with pytest.raises(ConfigError) as refusal:
        validate_settings(RunSettings.build({"data": "a", "loss": {"name": "simclr"}}))
    message = "training.views must be at least 2 under simclr, which compares views of an example. Got 1."
    assert str(refusal.value) == message
    joint = {"name": "zlpr", "joint": {"name": "simclr", "weight": 0.5}}
    with pytest.raises(ConfigError, match=r"^simclr compares views of an example; a joint"):
        validate_settings(RunSettings.build({"data": "a", "loss": joint}))


@pytest.mark.parametrize("loss", [{"name": "reg"}, {"name": "zlpr", "joint": {"name": "reg"}}])
def test_gradients_of_a_contrastive_loss_are_not_accumulated(loss: dict) -> None:
    training = {"accumulate": 8, "batch_size": 64}
    with pytest.raises(ConfigError) as refusal:
        validate_settings(RunSettings.build({"data": "a", "loss": loss, "training": training}))
    assert str(refusal.value) == (
        "training.accumulate must be 1: reg compares the examples of one batch, not those of several; "
        "take training.batch_size=512 training.chunk=64. Got 8."
    )
    assert validate_settings(RunSettings.build({"data": "a", "loss": {"name": "bce"}, "training": training})) == "logit"


@pytest.mark.parametrize(
    ("loss", "why"),
    [
        ({"name": "bce"}, "bce compares no examples"),
        ({"name": "proto"}, "the candidates of proto are prototypes alone"),
        ({"name": "reg"}, "with keys, prototypes cannot be anchors too: reg needs prototype_anchors=false"),
        ({"name": "hicone", "constraint": "levels"}, "hicone level by level takes no keys"),
    ],
)
def test_losses_that_take_no_keys_are_refused_beside_a_momentum(loss: dict, why: str) -> None:
    settings = RunSettings.build({"data": "a", "loss": loss, "training": {"momentum": 0.99}})
    with pytest.raises(ConfigError) as refusal:
        validate_settings(settings)
    assert str(refusal.value) == f"training.momentum must be 0: {why}. Got 0.99."


def test_keys_are_a_second_view() -> None:
    for loss in ({"name": "simclr"}, {"name": "msc", "queue_size": 9}, {"name": "reg", "prototype_anchors": False}):
        settings = RunSettings.build({"data": "a", "loss": loss, "training": {"momentum": 0.99}})
        assert validate_settings(settings) == "contrastive"


def test_finetuning_needs_a_logit_loss() -> None:
    with pytest.raises(ConfigError, match=r'^finetuning\.loss must be a logit loss, .* Got "reg"\.$'):
        validate_settings(RunSettings.build({"data": "a", "finetuning": {"loss": "reg"}}))
    with pytest.raises(ConfigError, match=r"^there is no loss 'bcee'"):
        validate_settings(RunSettings.build({"data": "a", "finetuning": {"loss": "bcee"}}))


def test_a_logit_loss_sees_an_example_once() -> None:
    values = {"data": "a", "training": {"views": 2}}
    assert validate_settings(RunSettings.build({**values, "loss": {"name": "simclr"}})) == "contrastive"
    with pytest.raises(ConfigError) as refusal:
        validate_settings(RunSettings.build({**values, "loss": {"name": "bce"}}))
    assert str(refusal.value) == "training.views must be 1 under bce, which sees an example once. Got 2."


@pytest.mark.parametrize(
    ("values", "extra"),
    [
        ({"training": {"loggers": ["wandb"]}}, "wandb"),
        ({"evaluation": {"map": "umap"}}, "umap"),
        ({"training": {"augment": "randaugment"}}, "kornia"),
    ],
)
def test_a_missing_extra_is_refused_before_training_with_the_install_line(
    values: dict, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as refusal:
        validate_settings(RunSettings.build({"data": "a", **values}))
    assert f"pip install 'labelcontrast[{extra}]'" in str(refusal.value)


@pytest.mark.parametrize("name", ["embedded", "lsa", "hashed"])
def test_an_encoder_that_learns_from_scratch_cannot_be_frozen(name: str) -> None:
    with pytest.raises(ConfigError, match=rf'^encoder.frozen needs a pretrained encoder. Got "{name}", which learns'):
        validate_settings(RunSettings.build({"data": "a", "encoder": {"name": name, "frozen": True}}))


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {"encoder": {"name": "org/model", "frozen": True, "pretrained": False}},
            "encoder.pretrained must be true under encoder.frozen: features of random weights say nothing.",
        ),
        (
            {"encoder": {"name": "hashed", "pretrained": False}},
            'encoder.pretrained=false needs an architecture to start. Got "hashed", always random.',
        ),
        (
            {"loss": {"name": "lsep"}, "training": {"keep": "micro_f1"}},
            "training.keep must be best or last under lsep, whose scores have no threshold. Got micro_f1.",
        ),
    ],
)
def test_what_has_no_meaning_is_refused(values: dict, line: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        validate_settings(RunSettings.build({"data": "a", **values}))
    assert str(refusal.value) == line


def test_augmentation_is_refused_for_a_frozen_encoder() -> None:
    values = {"data": "a", "encoder": {"name": "org/model", "frozen": True}, "training": {"augment": "randaugment"}}
    with pytest.raises(ConfigError) as refusal:
        validate_settings(RunSettings.build(values))
    line = "training.augment must be none under encoder.frozen, which sees a picture once. Got randaugment."
    assert str(refusal.value) == line


def test_a_run_is_resumed_with_its_recorded_settings_changed_by_those_given(tmp_path: Path) -> None:
    recorded = tmp_path / "config.toml"
    assert with_recorded(RunSettings.build({"data": "a"}), recorded) == RunSettings.build({"data": "a"})
    begun = {
        "data": "a",
        "seed": 3,
        "loss": {"name": "reg", "alpha": 1.0},
        "training": {"epochs": 2, "batch_size": 8},
        "evaluation": {"threshold": "fixed", "views": "probe"},
    }
    before = RunSettings.build(begun)
    before.write(recorded)
    assert with_recorded(RunSettings.build({"data": "a"}), recorded) == before
    given = {"data": "b", "training": {"batch_size": 16}, "evaluation": {"views": "auto"}}
    expected = {**begun, "data": "b", "training": {"epochs": 2, "batch_size": 16}}
    expected["evaluation"] = {"threshold": "fixed", "views": "auto"}
    assert with_recorded(RunSettings.build(given), recorded) == RunSettings.build(expected)
    # A setting that a file leaves out where it has its default can be given back.
    others = {
        "training": {"momentum": 0.9, "chunk": 4},
        "evaluation": {"classifier": "probe", "probe_optimiser": "adam"},
    }
    RunSettings.build({"data": "a", **others}).write(tmp_path / "others.toml")
    back = {"training": {"momentum": 0.0, "chunk": 0}, "evaluation": {"classifier": "auto", "probe_optimiser": "adamw"}}
    assert with_recorded(RunSettings.build({"data": "a", **back}), tmp_path / "others.toml") == RunSettings.build(
        {"data": "a"}
    )
    # A loss that is given brings its own parameters.
    other = with_recorded(RunSettings.build({"data": "a", "loss": {"name": "reg"}}), recorded)
    assert other.loss.parameters == {}
    # A file that is older than a setting does not hold it: its default applies.
    recorded.write_text('data = "a"\n[evaluation]\nthreshold = "fixed"\n')
    older = with_recorded(RunSettings.build({"data": "a"}), recorded).evaluation
    assert (older.threshold, older.views) == ("fixed", "auto")
    # When auto was always an embedded encoder, frozen was recorded as false.
    recorded.write_text('data = "a"\n[encoder]\nname = "auto"\nfrozen = false\n')
    assert with_recorded(RunSettings.build({"data": "a"}), recorded).encoder.name == "embedded"
    recorded.write_text('data = "a"\n[encoder]\nname = "auto"\n')
    assert with_recorded(RunSettings.build({"data": "a"}), recorded).encoder.name == "auto"
