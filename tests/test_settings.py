"""Settings: validation, TOML files, single fields, the template, and losses written in one line."""

import json
import re
import tomllib
from pathlib import Path
from statistics import fmean

import pytest

from labelcontrast.errors import ConfigError, RunError
from labelcontrast.settings import (
    HierarchySettings,
    RunSettings,
    override,
    parse_loss,
    parse_losses,
    parse_study_losses,
    read_recorded,
    read_settings,
    read_value,
    settings_template,
)


def test_a_file_that_is_not_toml_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("data = \n")
    with pytest.raises(ConfigError, match=r"a\.toml: not a TOML file: Invalid value \(at line 1"):
        read_settings(tmp_path / "a.toml")
    with pytest.raises(ConfigError, match=r"b\.toml: no such file; expected a TOML file of settings\.$"):
        read_settings(tmp_path / "b.toml")


def test_single_fields_are_overridden_in_a_copy() -> None:
    base = {"loss": {"name": "reg"}}
    values = override(base, ["seed=3", "loss.alpha=-1", "encoder.name=org/model-1.0", "training.loggers=['wandb']"])
    expected = {"seed": 3, "loss": {"name": "reg", "alpha": -1}, "encoder": {"name": "org/model-1.0"}}
    assert values == expected | {"training": {"loggers": ["wandb"]}}
    assert base == {"loss": {"name": "reg"}}


@pytest.mark.parametrize("assignment", ["seed", "=3", "seed.x=1"])
def test_an_invalid_assignment_is_refused(assignment: str) -> None:
    with pytest.raises(ConfigError):
        override({"seed": 1}, [assignment])


@pytest.mark.parametrize(
    ("loss", "title"),
    [
        ({"name": "bce"}, "bce"),
        ({"name": "reg", "alpha": 1}, "reg alpha=1"),
        ({"name": "zlpr", "joint": {"name": "reg", "weight": 0.5, "alpha": 1}}, "zlpr+0.5*reg alpha=1"),
        ({"name": "asl", "margin": 0.1, "joint": {"name": "reg"}}, "asl margin=0.1+1*reg"),
    ],
)
def test_the_title_of_a_loss_names_its_parameters(loss: dict, title: str, tmp_path: Path) -> None:
    settings = RunSettings.build({"data": "a", "loss": loss})
    assert settings.loss.title == title
    settings.write(tmp_path / "config.toml")
    assert RunSettings.build(read_settings(tmp_path / "config.toml")) == settings


def test_a_joint_loss_needs_a_weight_above_zero() -> None:
    with pytest.raises(ConfigError, match=r"^loss\.joint\.weight must be greater than 0\. Got 0\.$"):
        RunSettings.build({"data": "a", "loss": {"name": "bce", "joint": {"name": "reg", "weight": 0}}})


def test_the_page_on_hierarchies_documents_exactly_the_settings() -> None:
    page = (Path(__file__).parents[1] / "docs" / "hierarchy.md").read_text()
    table = page.partition("## Settings")[2].partition("## Losses")[0]
    named = {one: section for section, one in re.findall(r"^\| `(hierarchy)\.(\w+)` \|", table, re.MULTILINE)}
    assert set(named) == set(HierarchySettings.model_fields) - {"same_name"}  # that one stands with its file
    for name, values in re.findall(r"^\| `hierarchy\.(\w+)` \| (`[^|]*`) \|", table, re.MULTILINE):
        for value in re.findall(r"`(\w+)`", values):
            RunSettings.build({"data": "a", "hierarchy": {name: read_value(value)}})
    assert "`hierarchy.same_name=path`" in page


def test_settings_are_read_back_from_toml(tmp_path: Path) -> None:
    settings = RunSettings.build(
        {"data": "a.csv", "loss": {"name": "reg", "temperature": 0.2}, "training": {"learning_rate": 1e-4}}
    )
    settings.write(tmp_path / "config.toml")
    assert RunSettings.build(read_settings(tmp_path / "config.toml")) == settings
    assert settings.loss.parameters == {"temperature": 0.2}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, 'the setting "data" is needed.'),
        ({"data": "a", "sed": 1}, 'unknown setting "sed" (did you mean "seed"?).'),
        ({"data": "a", "training": {"batchsize": 8}}, '(did you mean "training.batch_size"?).'),
        ({"data": "a", "training": {"epochs": 0}}, "training.epochs must be greater than or equal to 1. Got 0."),
        ({"data": "a", "training": {"epochs": "x"}}, "training.epochs must be integer"),
        (
            {"data": "a", "hierarchy": {"hold_out": 1.5}},
            "hierarchy.hold_out must be a share from 0 to below 1, or names. Got 1.5.",
        ),
        (
            {"data": "a", "training": {"precision": "8"}},
            "training.precision must be 'auto', '32', 'bf16' or '16'. Got '8'.",
        ),
    ],
)
def test_an_invalid_value_is_refused_in_one_line(values: dict, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        RunSettings.build(values)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_default_learning_rate_depends_on_the_encoder() -> None:
    assert RunSettings.build({"data": "a"}).learning_rate == 1e-3
    assert RunSettings.build({"data": "a", "encoder": {"name": "roberta-base"}}).learning_rate == 5e-5
    assert RunSettings.build({"data": "a", "training": {"learning_rate": 0.1}}).learning_rate == 0.1


def test_the_default_fold_follows_the_seed() -> None:
    runs = [RunSettings(data="a", folds=3, seed=seed) for seed in range(5)]
    assert [run.tested_fold for run in runs] == [0, 1, 2, 0, 1]
    assert RunSettings(data="a", folds=3, seed=2, fold=1).tested_fold == 1
    assert RunSettings(data="a", seed=2).tested_fold == 0


def test_the_template_has_every_setting_with_its_default() -> None:
    text = settings_template()
    values = tomllib.loads(text) | {"data": "a.csv"}
    assert RunSettings.build(values) == RunSettings(data="a.csv")
    sections = RunSettings.model_fields["training"].annotation.model_fields
    for name, field in sections.items():
        assert field.description, name
        assert f"# {field.description.replace('``', '')}\n" in text, name


def test_a_template_of_given_values_sets_these_alone() -> None:
    joint = {"name": "reg", "weight": 0.5, "alpha": 1.0}
    given = {
        "data": "a.csv",
        "columns": {"labels": ["a, b", "[c, ]"]},
        "loss": {"name": "asl", "margin": 0.1, "joint": joint},
        "evaluation": {"views": ["probe", "words"]},
    }
    text = settings_template(given, defaults=False)
    assert {name: value for name, value in tomllib.loads(text).items() if value != {}} == given
    uncommented = "\n".join(line.removeprefix("# ") for line in text.splitlines() if " = " in line and ". " not in line)
    assert "fractions = [0.7, 0.1, 0.2]" in uncommented
    assert "epochs = 10" in uncommented


@pytest.mark.parametrize(
    ("entry", "title"),
    [
        ("reg", "reg"),
        ("reg:alpha=1e+1", "reg alpha=10.0"),
        ("zlpr+0.5*reg", "zlpr+0.5*reg"),
        ("zlpr + .5 * reg:alpha=1", "zlpr+0.5*reg alpha=1"),
        ("asl:margin=0.1+reg", "asl margin=0.1+1*reg"),
        ("bce+1e-2*msc:beta=0.1:alpha=2", "bce+0.01*msc beta=0.1 alpha=2"),
    ],
)
def test_a_loss_is_parsed_with_its_parameters_and_its_joint_loss(entry: str, title: str) -> None:
    assert parse_loss(entry).title == title
    assert parse_loss(title.replace(" ", ":")) == parse_loss(entry)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the list of losses is empty."),
        (" , ", "the list of losses is empty."),
        ("bce,reg,bce", '"bce" occurs twice in the list of losses.'),
        *(
            (
                text,
                f'"{text}" joins more than two losses; a joint loss has two, as in zlpr+0.5*reg.',
            )
            for text in ("zlpr+reg+supcon", "zlpr+reg:alpha=1+bce", "zlpr+0.5*reg+supcon")
        ),
        ("bce+0*reg", "loss.joint.weight must be greater than 0. Got 0.0."),
        ("reg:alpha", '"alpha" in "reg:alpha" is not a parameter; expected name=value, as in reg:alpha=1.'),
    ],
)
def test_an_invalid_list_of_losses_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_losses(text)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("entry", "title", "settings"),
    [
        ("reg", "reg", {}),
        ("supcon:hierarchy.train_on=lowest", "supcon train_on=lowest", {"hierarchy.train_on": "lowest"}),
        (
            "zlpr+0.5*reg:training.epochs=3:alpha=0.1",
            "zlpr+0.5*reg alpha=0.1 epochs=3",
            {"training.epochs": 3},
        ),
    ],
)
def test_a_study_loss_may_have_settings_of_its_own(entry: str, title: str, settings: dict[str, object]) -> None:
    (contender,) = parse_study_losses([entry])
    assert (contender.title, contender.settings) == (title, settings)
    assert contender.loss == parse_loss(contender.loss.title.replace(" ", ":"))


def test_one_loss_under_two_settings_is_two_study_losses_and_a_repeat_is_refused() -> None:
    entries = ["supcon", "supcon:hierarchy.train_on=lowest"]
    assert len(parse_study_losses(entries)) == 2
    with pytest.raises(ConfigError) as refusal:
        parse_study_losses([*entries, entries[1]])
    assert str(refusal.value) == '"supcon train_on=lowest" occurs twice in the list of losses.'


def test_the_defaults_have_the_best_means_of_what_was_measured() -> None:
    """The loss and the rule of thresholds of the blend of all views, over the sets of benchmarks/views.py."""
    rows = json.loads((Path(__file__).parents[1] / "benchmarks" / "results" / "views.json").read_text())["rows"]
    names = {row["set"] for row in rows}
    assert len(names) == 9

    def mean(loss: str, rule: str, measure: str) -> float:
        runs = {name: [one for one in rows if (one["set"], one["loss"]) == (name, loss)] for name in names}
        values = [[list(run["by_views"].values())[-1][rule][measure] for run in of_set] for of_set in runs.values()]
        return fmean(map(fmean, values))

    default = RunSettings(data="a")
    loss, rule = default.loss.title, default.evaluation.threshold
    measures, losses = ("micro_f1", "macro_f1", "map_macro"), ("reg", "zlpr", loss)
    assert {row["seed"] for row in rows} == {0, 1, 2}
    means = {one: [mean(one, rule, measure) for measure in measures] for one in losses}
    assert sum(means[loss]) == max(map(sum, means.values()))
    for own, *others in zip(means[loss], *means.values(), strict=True):
        assert own > max(others) - 0.001
    both = {
        one: mean(loss, one, "micro_f1") + mean(loss, one, "macro_f1") for one in ("global", "per_label", "expected_f1")
    }
    assert both[rule] == max(both.values())


def test_recorded_settings_are_read_as_they_were_written_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    RunSettings.build({"data": "a.csv", "loss": {"name": "reg"}, "seed": 3}).write(path, sealed=True)
    written, read = path.read_bytes(), RunSettings.build(read_recorded(path))
    for place in range(len(written)):
        changed = bytearray(written)
        changed[place] ^= 1 << place % 8
        for content in (changed, written[:place]):
            path.write_bytes(content)
            try:
                assert RunSettings.build(read_recorded(path)) == read
            except (RunError, ConfigError):
                continue
