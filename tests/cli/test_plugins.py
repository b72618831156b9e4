"""Losses of one's own: ``--plugin`` in every verb that trains, the setting that records it, and its refusals."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labelcontrast.lab.trials import identify
from labelcontrast.losses.registry import unregister_loss
from labelcontrast.settings import RunSettings

Run = Callable[..., Any]
PAGE = (Path(__file__).parents[2] / "docs" / "tutorials.md").read_text()
PLUGIN = PAGE.partition("```python\n# my_losses.py\n")[2].partition("```")[0]
NAME_IT_AGAIN = "out was begun with losses of its own: add --plugin my_losses.py to run that code again."
BRIEF = ["--set", "training.epochs=1", "--set", "training.batch_size=32"]


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    """The plugin of the tutorials in the working folder."""
    (tmp_path / "my_losses.py").write_text(PLUGIN)
    return "my_losses.py"


def test_a_model_is_trained_with_it_and_used_without_it(
    real: Run, command: Run, tmp_path: Path, vectors: Path, plugin: str
) -> None:
    trained = command("train", vectors, "--plugin", plugin, "--loss", "dice:temperature=0.2", *BRIEF, "--out", "run")
    assert trained.returncode == 0, trained
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert config["plugins"] == [plugin]
    assert config["loss"] == {"name": "dice", "temperature": 0.2}
    again = command("train", vectors, "--config", "run/config.toml", "--out", "run", "--resume")
    assert again.stdout == trained.stdout
    (tmp_path / plugin).unlink()
    line = real("train", vectors, "--config", "run/config.toml", "--out", "other").refusal()
    assert line == "plugin my_losses.py: there is no such file."
    measures = [line.split() for line in trained.stdout.splitlines()]
    assert len(real("predict", "run", vectors).stdout.splitlines()) == 240
    unregister_loss("dice")
    assert command("evaluate", "run", vectors).stdout.splitlines()[-1].split() in measures
    (tmp_path / "run" / "report.html").unlink()
    assert command("report", "run").returncode == 0


def test_worker_processes_have_it(command: Run, tmp_path: Path, vectors: Path, plugin: str) -> None:
    words = [vectors, "--losses", "bce,dice", "--plugin", plugin, *BRIEF, "--seeds", 1, "--jobs", 2]
    done = command("compare", *words, "--no-baseline", "--out", "compared")
    assert done.returncode == 0, done
    rows = json.loads((tmp_path / "compared" / "results.json").read_text())["rows"]
    assert [name for name, runs in rows.items() if "metrics" in runs[0]] == ["bce", "dice"]


@pytest.mark.slow
def test_a_cluster_has_it(command: Run, vectors: Path, plugin: str) -> None:
    pytest.importorskip("ray", reason="Ray is an extra")
    words = [vectors, "--losses", "dice", "--plugin", plugin, *BRIEF, "--seeds", 1, "--ray", "local"]
    done = command("compare", *words, "--no-baseline", "--out", "out")
    assert done.returncode == 0, done
    assert "failed" not in done.stderr


def test_a_study_is_resumed_with_its_own_plugin(command: Run, vectors: Path, plugin: str) -> None:
    words = ["study", "losses", vectors, "--losses", "dice", *BRIEF, "--seeds", 1, "--out", "out"]
    done = command(*words, "--plugin", plugin)
    assert done.returncode == 0, done
    assert "failed" not in done.stderr
    assert command(*words, "--resume").refusal() == NAME_IT_AGAIN
    again = command(*words, "--plugin", f"./{plugin}", "--resume")
    assert again.stdout == done.stdout
    assert "losses: 1 trials, 1 done before" in again.stderr


def test_a_search_varies_its_parameters(command: Run, tmp_path: Path, vectors: Path, plugin: str) -> None:
    pytest.importorskip("optuna", reason="Optuna is an extra")
    words = [vectors, "--losses", "dice", "--plugin", plugin, *BRIEF, "--trials", 2]
    assert command("search", *words, "--out", "out").returncode == 0
    best = tomllib.loads((tmp_path / "out" / "best.toml").read_text())
    assert best["plugins"] == [plugin]
    assert 0.02 <= best["loss"]["temperature"] <= 1
    assert command("search", *words, "--out", "out", "--resume").returncode == 0
    assert tomllib.loads((tmp_path / "out" / "best.toml").read_text()) == best
    words = [word for word in words if word not in {"--plugin", plugin}]
    assert command("search", *words, "--out", "out", "--resume").refusal() == NAME_IT_AGAIN


def test_a_run_is_resumed_with_its_own_plugin(
    real: Run, command: Run, tmp_path: Path, vectors: Path, plugin: str
) -> None:
    words = ["train", vectors, "--loss", "dice", *BRIEF, "--out", "out"]
    trained = command(*words, "--plugin", plugin)
    metrics = tmp_path / "out" / "metrics.json"
    before = metrics.stat().st_mtime_ns
    for given in (f"./{plugin}", tmp_path / plugin):
        assert command(*words, "--plugin", given, "--resume").stdout == trained.stdout
    assert metrics.stat().st_mtime_ns == before
    (tmp_path / plugin).write_text(PLUGIN + "\nANOTHER = 1\n")
    line = command(*words, "--plugin", plugin, "--resume").refusal()
    assert line == "the plugin my_losses.py has changed since out was begun; it cannot be resumed."
    metrics.unlink()
    assert command(*words, "--plugin", plugin, "--resume").refusal() == line
    (tmp_path / plugin).write_text("print('this code ran')")
    assert real(*words, "--resume").refusal() == NAME_IT_AGAIN


def test_a_comparison_is_resumed_with_its_own_plugin(command: Run, tmp_path: Path, vectors: Path, plugin: str) -> None:
    words = ["compare", vectors, "--losses", "dice", *BRIEF, "--seeds", 1, "--no-baseline", "--out", "out"]
    done = command(*words, "--plugin", plugin)
    (tmp_path / plugin).write_text("# a comment\n" + PLUGIN)
    assert command(*words, "--resume").refusal() == NAME_IT_AGAIN
    words += ["--plugin", f"./{plugin}"]
    assert command(*words, "--resume").stdout == done.stdout
    line = command(*words, "--set", "split_seed=3", "--resume").refusal()
    assert line == "out/compare.toml has split_seed = 0, not 3; a comparison has one protocol."
    (tmp_path / plugin).write_text(PLUGIN + "\nANOTHER = 1\n")
    line = command(*words, "--resume").refusal()
    assert line == "a plugin has changed since out was begun; a comparison has one protocol."


def test_a_loss_that_fails_is_one_line_with_its_name(command: Run, tmp_path: Path, vectors: Path) -> None:
    for name, value, message in [
        ("broken", "1 / 0", "the loss broken raised ZeroDivisionError: division by zero"),
        (
            "undefined",
            "projections.sum() * float('nan')",
            "the training loss became nan in epoch 1; check the loss undefined, or try a smaller learning_rate.",
        ),
    ]:
        (tmp_path / f"{name}.py").write_text(
            f"import labelcontrast as lc\ndef compute(projections, labels):\n    return {value}\n"
            f"lc.register_loss('{name}', compute, kind='contrastive')\n"
        )
        words = ["train", vectors, "--plugin", f"{name}.py", "--loss", name, *BRIEF, "--out", name]
        assert command(*words).refusal() == message


def test_the_losses_and_the_settings_show_it(command: Run, plugin: str) -> None:
    assert "\ndice  (on projections)" in command("losses", "--plugin", plugin).stdout
    assert 'plugins = ["my_losses.py"]' in command("settings", "--plugin", plugin).stdout
    assert "plugins = []" in command("settings").stdout


@pytest.mark.parametrize("verb", ["train a", "compare a", "study losses a", "search a", "losses", "settings"])
def test_a_missing_plugin_is_one_line_without_torch(light: Run, verb: str) -> None:
    out = [] if verb in {"losses", "settings"} else ["--out", "x"]
    assert light(*verb.split(), *out, "--plugin", "no.py").refusal() == "plugin no.py: there is no such file."


def test_a_broken_plugin_is_one_line_without_torch(light: Run, tmp_path: Path) -> None:
    for text, message in {
        "import nothing_of_this_name": "ModuleNotFoundError: No module named 'nothing_of_this_name'",
        "1 +": "SyntaxError: invalid syntax (my.py, line 1)",
        "import labelcontrast as lc; lc.register_loss('reg', lc.losses.Contrast(affinity=max))": (
            "there is already a loss 'reg'."
        ),
    }.items():
        (tmp_path / "my.py").write_text(text)
        line = light("train", "a", "--out", "x", "--plugin", "my.py").refusal()
        assert line == f"plugin my.py cannot be loaded: {message}"


def test_a_trial_is_named_by_the_content_of_its_plugin_and_as_before_without_one(tmp_path: Path, plugin: str) -> None:
    settings = RunSettings.build({"data": "a.csv"})
    assert "plugins" not in settings.model_dump()
    copies = [_copy(tmp_path / plugin, more) for more in ("", "# one", "ONE = 1")]
    plain, *named = (
        identify(settings.model_copy(update={"plugins": paths}), data="d", encoder=None)
        for paths in [(), (str(tmp_path / plugin),), *((copy,) for copy in copies)]
    )
    assert named[0] == named[1] == named[2] != named[3]
    assert plain not in named


def _copy(path: Path, more: str) -> str:
    """Copy a plugin without what it registers here, and change it."""
    copy = path.with_name(f"copy{more}.py")
    copy.write_text(path.read_text() + more)
    return str(copy)


def test_the_meanings_of_its_parameters_are_listed(command: Run, tmp_path: Path, vectors: Path, plugin: str) -> None:
    (tmp_path / plugin).write_text(
        """
from typing import Annotated
import labelcontrast as lc

def lengths(logits, labels, *, power: Annotated[float, "of the length of a row"] = 2.0):
    return (logits**power).sum(1)

lc.register_loss("lengths", lengths, kind="logit")
"""
    )
    printed = command("losses", "--plugin", plugin).stdout
    assert "    parameters  power=2.0\n                power: of the length of a row\n" in printed
    words = ["--plugin", plugin, "--loss", "lengths", *BRIEF, "--out", "run"]
    done = command("train", vectors, *words)
    assert done.returncode == 1
    assert (
        done.stderr.splitlines()[-1] == "labelcontrast: the loss lengths must return a scalar tensor. Got shape [32]."
    )
    done = command("train", vectors, "--loss", "bce:reduction=none", *BRIEF, "--out", "run")
    assert done.stderr == 'labelcontrast: bce must return a scalar in training: its reduction cannot be "none".\n'
    done = command("losses", "--plugin", vectors.with_suffix(".npz"))
    assert done.stderr.startswith(f"labelcontrast: plugin {vectors} cannot be loaded: ")
