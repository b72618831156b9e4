"""Habits of a command line: version, completion, quiet and verbose, settings that fit, dry runs, and the cache."""

import json
import os
import platform
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
ROWS = [{"message": f"word{index % 7} and more", "tags": f"label{index % 3}; all"} for index in range(60)]
SLEEPS = """import time
import labelcontrast as lc

def slow(logits, labels):
    time.sleep(0.05)
    return (logits * (1 - 2 * labels)).mean()

lc.register_loss("slow", slow, kind="logit", summary="Sleeps.")
"""


def test_the_version_is_shown_with_those_it_runs_on(light: Run) -> None:
    expected = (
        f"labelcontrast {version('labelcontrast')} (Python {platform.python_version()}, torch {version('torch')})"
    )
    assert light("--version") == (0, expected + "\n", "")


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        (["tra"], {"train"}),
        (["train", "--res"], {"--resume"}),
        (["train", "--loss", "zlpr+0.5*mul"], {"zlpr+0.5*mulsupcon", "zlpr+0.5*multisupcon"}),
        (["compare", "a.csv", "--losses", "bce,sim"], {"bce,simclr", "bce,similarity_dissimilarity"}),
        (["train", "a.csv", "--set", "finetuning.l"], {"finetuning.loss=", "finetuning.learning_rate="}),
        (["study", "temp"], {"temperature", "temperature-prr"}),
        (["export", "run", "--format", "o"], {"onnx"}),
        (["train", "a.csv", "--encoder", "e"], {"embedded"}),
        (["train", "a.csv", "--precision", "b"], {"bf16"}),
        (["train", "a.csv", "--effort", "q"], {"quick"}),
    ],
)
def test_bash_completes_verbs_options_and_values(tmp_path: Path, words: list[str], completions: set[str]) -> None:
    program = tmp_path / "labelcontrast"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m labelcontrast "$@"\n')
    program.chmod(0o755)
    line = " ".join(f"'{word}'" for word in ["labelcontrast", *words])
    shell = f"source <(labelcontrast --show-completion bash); COMP_WORDS=({line}); COMP_CWORD={len(words)}"
    shell += '; _labelcontrast_completion labelcontrast; printf "%s\\n" "${COMPREPLY[@]}"'
    path = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True, env=path)
    assert {*done.stdout.split()} == completions


def test_quiet_prints_results_alone_and_verbose_where_an_error_is(command: Run, tmp_path: Path, vectors: Path) -> None:
    words = ["train", vectors, "--loss", "bce", "--epochs", "1"]
    quiet, said = command(*words, "--out", "quiet", "-q"), command(*words, "--out", "said")
    assert quiet.stderr == ""
    assert "epoch 1/1" in said.stderr
    assert quiet.stdout == said.stdout.replace("said", "quiet")
    again = command(*words, "--out", "said", "--resume", "--json")
    assert json.loads(again.stdout) == json.loads((tmp_path / "said" / "metrics.json").read_text())
    refused = command("describe", "nowhere.csv", "-v")
    assert refused.stderr.startswith("Traceback (most recent call last):")
    assert refused.stderr.splitlines()[-1] == command("describe", "nowhere.csv", "-q").stderr.strip()


@pytest.mark.parametrize("kind", ["text", "vector"])
def test_settings_that_fit_the_data_train_as_the_data_alone_do(
    command: Run, tmp_path: Path, vectors: Path, kind: str
) -> None:
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    words = [vectors if kind == "vector" else "data.jsonl", "--effort", "quick", "--loss", "reg:alpha=1"]
    done = command("init", *words)
    assert done.returncode == 0, done
    how = "labelcontrast train --config labelcontrast.toml --out run"
    assert done.stdout == f"settings in labelcontrast.toml; train with them: {how}\n"
    text = (tmp_path / "labelcontrast.toml").read_text()
    assert all(f"# {line}\n" in text for line in done.stderr.splitlines())
    values = tomllib.loads(text)
    assert values["loss"] == {"name": "reg", "alpha": 1}
    if kind == "text":
        assert values["columns"] == {"text": "message", "labels": "tags", "separator": ";", "multi_hot": 0}
        assert values["training"] == {"epochs": 2}
    assert command("init", *words).refusal() == "labelcontrast.toml exists already; --force replaces it."
    assert command(*how.split()[1:]).returncode == 0
    assert command("train", *words, "--out", "alone").returncode == 0
    trained, alone = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("run", "alone"))
    assert trained["metrics"] == alone["metrics"]
    assert (tmp_path / "run" / "config.toml").read_text() == (tmp_path / "alone" / "config.toml").read_text()


def test_a_dry_run_times_batches_and_writes_nothing(command: Run, tmp_path: Path, vectors: Path) -> None:
    (tmp_path / "slow.py").write_text(SLEEPS)
    words = ["train", vectors, "--loss", "slow", "--plugin", "slow.py", "--batch-size", "32", "--out", "run"]
    shown = command(*words, "--dry-run")
    assert shown.stdout.splitlines()[0] == "would train slow with the encoder embedded"
    assert shown.stdout.splitlines()[1].startswith("60 batches, 0.")
    found = json.loads(command(*words, "--dry-run", "--json").stdout)
    assert (found["steps"], found["labels"], found["examples"]["train"]) == (10 * 6, 5, 168)
    assert found["seconds_per_step"] >= 0.05, "the time that the loss sleeps"
    assert 60 * found["seconds_per_step"] <= found["seconds"]["training"]
    assert 1e8 < found["memory"] < 1e10
    assert [path.name for path in tmp_path.iterdir()] == ["slow.py"]


def test_a_dry_comparison_or_study_lists_what_is_missing(command: Run, tmp_path: Path, vectors: Path) -> None:
    words = ["compare", vectors, "--losses", "bce,reg", "--epochs", "1", "--no-baseline", "--out", "out"]
    rows = [json.loads(one) for one in command(*words, "--dry-run", "--json").stdout.splitlines()]
    assert [(row["title"], row["number"], row["each"]["steps"]) for row in rows] == [("bce", 3, 3), ("reg", 3, 3)]
    assert rows[0]["seconds"] == pytest.approx(3 * sum(rows[0]["each"]["seconds"].values()))
    assert list(tmp_path.iterdir()) == []
    assert command("compare", vectors, "--losses", "bce", *words[4:], "--seeds", "2").returncode == 0
    before = sorted(tmp_path.rglob("*"))
    shown = command(*words, "--resume", "--dry-run").stdout.splitlines()
    assert sorted(line.split()[:3] for line in shown[1:3]) == [["bce", "1", "3"], ["reg", "3", "3"]]
    assert shown[3] == "2 trials were done before"
    assert sorted(tmp_path.rglob("*")) == before
    study = ["study", "thresholds", vectors, "--losses", "bce", "--seeds", "1", "--out", "studied"]
    rows = [json.loads(one) for one in command(*study, "--dry-run", "--json").stdout.splitlines()]
    assert len(rows) > 1
    assert sum(row["trainings"] for row in rows) == 1  # they differ after the training
    assert not (tmp_path / "studied").exists()


def test_the_cache_is_shown_and_emptied(real: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELCONTRAST_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "tokens").mkdir(parents=True)
    (tmp_path / "cache" / "tokens" / "a.safetensors").write_bytes(bytes(3_000_000))
    shown = real("cache")
    assert shown.stdout.splitlines()[0] == str(tmp_path / "cache")
    assert shown.stdout.splitlines()[-1].split() == ["tokens", "1", "3.0", "0.0"]
    assert json.loads(real("cache", "--max-size", "0.003", "--json").stdout)["removed"] == {"files": 0, "bytes": 0}
    emptied = json.loads(real("cache", "--unused", "0", "--json").stdout)
    assert emptied["removed"] == {"files": 1, "bytes": 3_000_000}
    assert emptied["tokens"] == {"files": 0, "bytes": 0, "unused_days": 0.0}
    assert list((tmp_path / "cache").rglob("*.safetensors")) == []
