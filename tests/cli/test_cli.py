"""The command as a user types it: output, refusals, exit codes, and the files it writes."""

import gzip
import json
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from labelcontrast.cli.trial_verbs import search
from labelcontrast.cli.verbs import app
from labelcontrast.losses.registry import check_loss, loss_catalogue
from labelcontrast.reports.tables import NOTHING
from labelcontrast.settings import RunSettings

Run = Callable[..., Any]
COMMAND = [sys.executable, "-m", "labelcontrast"]
defaults = RunSettings(data="")


def test_help_lists_and_refusals_import_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['labelcontrast', {!r}]\n"
        "from labelcontrast.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules, 'sklearn' in sys.modules)"
    )
    for argument in ("--help", "losses", "studies", "nonsense"):
        result = subprocess.run(
            [sys.executable, "-c", code.format(argument)], capture_output=True, text=True, check=True
        )
        assert result.stdout.splitlines()[-1] in {"0 False False", "1 False False"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "a.csv", "--out", "x", "--loss", "regg"], "there is no loss 'regg' (did you mean \"reg\"?)"),
        (
            ["train", "a.csv", "--out", "x", "--set", "loss.alpah=1"],
            "reg has no parameter 'alpah' (did you mean \"alpha\"?)",
        ),
        (
            ["train", "a.csv", "--out", "x", "--set", "trainig.epochs=1"],
            'unknown setting "trainig" (did you mean "training"?)',
        ),
        (["train", "a.csv", "--out", "x", "--batch-size", "1"], "training.batch_size must be at least 2"),
        (
            ["train", "a.csv", "--out", "x", "--precision", "8"],
            "training.precision must be 'auto', '32', 'bf16' or '16'. Got '8'.",
        ),
        (
            ["train", "a.csv", "--out", "x", "--config", "no.toml"],
            "no.toml: no such file; expected a TOML file of settings.",
        ),
        (["train", "a.csv"], "Missing option '--out'"),
        (
            ["train", "--out", "x"],
            "DATA is missing: a file or folder of examples, or a --config that names it as data.",
        ),
        (["compare", "a.csv", "--out", "x", "--losses", "bce,rge"], "there is no loss 'rge' (did you mean \"reg\"?)"),
        (["study", "lossess", "a.csv", "--out", "x"], "there is no study 'lossess' (did you mean \"losses\"?)"),
        (
            ["study", "losses", "a.csv", "--out", "x", "--losses", "bce,rge"],
            "there is no loss 'rge' (did you mean \"reg\"?)",
        ),
        (
            ["study", "losses", "a.csv", "--out", "x", "--set", "trainig.epochs=1"],
            'unknown setting "trainig" (did you mean "training"?)',
        ),
        (
            ["study", "alpha", "a.csv", "--out", "x", "--set", "seed=1"],
            "seed varies within the study alpha; it cannot be set for all its trials.",
        ),
        (["study", "losses", "a.csv", "--out", "x", "--config", "no.toml"], "no.toml: no such file"),
        (["search", "a.csv", "--out", "x", "--losses", "rge"], "there is no loss 'rge' (did you mean \"reg\"?)"),
        (
            ["search", "a.csv", "--out", "x", "--study", "temprature"],
            "there is no study 'temprature' (did you mean \"temperature\"?)",
        ),
        (["search", "a.csv", "--out", "x", "--range", "loss.alpha=2"], '"loss.alpha=2" is not a range'),
        (
            ["search", "a.csv", "--out", "x", "--set", "trainig.epochs=1"],
            'unknown setting "trainig" (did you mean "training"?)',
        ),
        (["trian"], "No such command 'trian'. Did you mean 'train'"),
    ],
)
def test_a_wrong_argument_is_one_line_without_torch(
    light: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    assert message in light(*arguments).refusal()
    assert list(tmp_path.iterdir()) == []


def test_without_arguments_the_help_is_printed(command: Run) -> None:
    result = command()
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Usage: labelcontrast [OPTIONS] COMMAND")
    assert result == command("--help")


def test_the_list_of_verbs_shows_whole_sentences(command: Run) -> None:
    verbs = command("--help").stdout.partition("Commands:\n")[2].splitlines()
    assert len(verbs) == len(app.registered_commands) + len(app.registered_groups)
    assert [line for line in verbs if not line.endswith(".") or line.endswith("...")] == []


@pytest.mark.parametrize("verb", [one.callback.__name__ for one in app.registered_commands if one.callback])
def test_the_help_shows_the_defaults_of_the_settings(command: Run, verb: str) -> None:
    text = " ".join(command(verb, "--help").stdout.split())
    for option, default in {
        "--loss": defaults.loss.title,
        "--encoder": defaults.encoder.name,
        "--epochs": defaults.training.epochs,
        "--batch-size": defaults.training.batch_size,
        "--precision": defaults.training.precision,
        "--seed": defaults.seed,
    }.items():
        described = text.partition(f"{option} <")[2].partition(" --")[0]
        assert not described or f"[default: ({default})]" in described


def test_an_interruption_is_one_line_and_exit_code_130(command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelcontrast.lab.study.study_catalogue", Mock(side_effect=KeyboardInterrupt))
    assert command("studies") == (
        130,
        "",
        "labelcontrast: interrupted; --resume continues a run, comparison, study or search.\n",
    )


def test_a_reader_may_close_the_pipe(tmp_path: Path) -> None:
    shell = f"set -o pipefail; {sys.executable} -m labelcontrast losses | head -1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "bce  (on logits)\n", "")


def jsonl(rows: list[object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


GOOD = [{"text": f"word{index % 7} and more", "labels": [f"label{index % 3}"]} for index in range(60)]


def nothing(folder: Path) -> None:
    """Write no data."""


def text_file(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "data.jsonl").write_text(text) and None


def pictures(damage: Callable[[Path], object]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for index in range(20):
            Image.fromarray(np.full((9, 9, 3), 7 * index, np.uint8)).save(folder / f"{index}.png")
        rows = [{"image": f"{index}.png", "labels": [f"label{index % 2}"]} for index in range(20)]
        (folder / "data.jsonl").write_text(jsonl(rows))
        damage(folder / "16.png")

    return write


BAD = {
    "missing": (nothing, "data.jsonl: there is no such file or folder."),
    "empty": (text_file(""), "data.jsonl: the file is empty."),
    "broken json": (text_file(jsonl(GOOD[:16]) + '{"text": \n' + jsonl(GOOD)), "data.jsonl, line 17: "),
    "no text": (text_file(jsonl([*GOOD[:16], {"labels": ["a"]}, *GOOD])), "data.jsonl, line 17, column "),
    "mixed labels": (text_file(jsonl([*GOOD[:16], {"text": "x", "labels": 3}, *GOOD])), "data.jsonl, line 17, column "),
    "no labels at all": (text_file(jsonl([{"text": "x", "labels": []}] * 40)), "no training example has a label."),
    "missing picture": (pictures(lambda path: path.unlink()), "data.jsonl, line 17, column "),
    "truncated picture": (
        pictures(lambda path: path.write_bytes(path.read_bytes()[:40])),
        "data.jsonl, line 17, column ",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_is_one_line_and_leaves_nothing_behind(command: Run, tmp_path: Path, case: str) -> None:
    write, message = BAD[case]
    (tmp_path / "in").mkdir()
    write(tmp_path / "in")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    line = command("train", "in/data.jsonl", "--out", "run").refusal()
    assert message in line, line
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_features_that_are_not_numbers_are_refused_with_their_place(command: Run, tmp_path: Path) -> None:
    features = np.zeros((30, 4), np.float32)
    features[16, 2] = np.nan
    np.savez(tmp_path / "data.npz", X=features, Y=np.eye(30, 3, dtype=np.uint8))
    line = command("train", "data.npz", "--out", "run").refusal()
    assert line == "data.npz: X[16, 2] is nan; features are finite numbers in 32 bits."
    assert not (tmp_path / "run").exists()


def test_a_label_without_a_training_example_is_named_and_kept(command: Run, tmp_path: Path) -> None:
    for part, rows in {"train": GOOD, "val": GOOD, "test": [*GOOD, {"text": "x", "labels": ["never"]}]}.items():
        (tmp_path / f"{part}.jsonl").write_text(jsonl(rows))
    result = command("train", ".", "--out", "../run", "--loss", "bce", "--epochs", "1", "--out", "run")
    assert result.returncode == 0, result
    assert "no training example has 1 of 4 labels: never" in result.stderr.replace('"', "")
    assert "never" in json.loads((tmp_path / "run" / "labels.json").read_text())


def test_a_folder_that_is_not_a_run_is_never_removed(command: Run, tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text(jsonl(GOOD))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years")
    assert "is not empty and is not a run" in command("train", "data.jsonl", "--out", "run", "--force").refusal()
    assert (tmp_path / "run" / "thesis.tex").read_text() == "years"


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_run_can_be_resumed(command: Run, real: Run, tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk: the write fails at the same place."""
    (tmp_path / "data.jsonl").write_text(jsonl(GOOD))
    words = ["train", "data.jsonl", "--out", "run", "--loss", "bce", "--epochs", "2"]

    def small_files() -> None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    line = real(*words, preexec_fn=small_files).refusal()
    assert line.endswith("run/checkpoints/best.ckpt could not be written: File too large.")
    assert not list((tmp_path / "run").rglob("*.tmp"))
    assert command(*words, "--resume").returncode == 0
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.slow
def test_a_killed_and_resumed_run_has_the_same_metrics(command: Run, tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text(jsonl(GOOD))
    words = ["train", "data.jsonl", "--loss", "reg", "--epochs", "4", "--batch-size", "16"]
    assert command(*words, "--out", "whole").returncode == 0
    process = subprocess.Popen([*COMMAND, *words, "--out", "killed"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch 2/4"):
            process.kill()
            break
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    assert not (tmp_path / "killed" / "metrics.json").exists()
    assert "holds a run already" in command(*words, "--out", "killed").refusal()
    assert command(*words, "--out", "killed", "--resume").returncode == 0
    whole, killed = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("whole", "killed"))
    assert killed["metrics"] == whole["metrics"]
    assert killed["validation_score"] == whole["validation_score"]


@pytest.fixture(scope="module")
def text_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    with gzip.open(folder / "data.jsonl.gz", "wt") as file:
        file.write(jsonl(GOOD))
    words = ["train", folder / "data.jsonl.gz", "--out", folder / "run"]
    words += ["--loss", "zlpr", "--epochs", "8", "--batch-size", "16"]
    assert CliRunner().invoke(app, list(map(str, words))).exit_code == 0
    return folder / "run"


def test_a_file_and_standard_input_have_the_same_predictions(command: Run, tmp_path: Path, text_run: Path) -> None:
    (tmp_path / "in.jsonl").write_text(jsonl([{"id": "a", "text": "word1 and more"}, {"id": "b", "text": "word4"}]))
    assert command("predict", text_run, "in.jsonl", "-o", "out.jsonl").returncode == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["a", "b"]
    printed = command("predict", text_run, "-", "--top", "3", stdin="word1 and more\nword4\n")
    again = [json.loads(line) for line in printed.stdout.splitlines()]
    assert [row["labels"] for row in again] == [row["labels"] for row in rows]
    assert all(len(row["scores"]) == 3 for row in again)


def test_explanations_and_neighbours(command: Run, tmp_path: Path, text_run: Path) -> None:
    (tmp_path / "in.jsonl").write_text(jsonl([{"id": "a", "text": "word1 and more"}, {"id": "b", "text": "word4"}]))
    predicted = [json.loads(one) for one in command("predict", text_run, "in.jsonl", "--top", "1").stdout.splitlines()]
    name = next(iter(predicted[0]["scores"]))
    row = json.loads(command("explain", text_run, "word1 and more", "--text", "--label", name, "--json").stdout)
    assert [one["label"] for one in row["labels"]] == [name]
    assert sum(row["labels"][0]["contributions"].values()) == pytest.approx(row["labels"][0]["log_odds"])
    rows = [json.loads(one) for one in command("explain", text_run, "in.jsonl", "--json").stdout.splitlines()]
    assert [[one["label"] for one in row["labels"]] for row in rows] == [row["labels"] for row in predicted]
    shown = command("explain", text_run, "-", "--label", name, stdin="word1 and more\n").stdout
    assert f"  {name}  probability " in shown
    assert "    views   probe " in shown
    for text in ("word1 and more", "word1 " * 1000):
        assert command("explain", text_run, text).refusal().endswith("; --text takes INPUT itself as the text.")
    refused = command("explain", text_run, "word1", "--text", "--label", "nothing").refusal()
    assert refused == 'label "nothing" is not in the vocabulary.'
    printed = command("neighbours", text_run, "in.jsonl", "--k", "2", "--json").stdout.splitlines()
    assert [(one["id"], len(one["neighbours"])) for one in map(json.loads, printed)] == [("a", 2), ("b", 2)]
    assert len(command("neighbours", text_run, "word1", "--text", "--k", "2").stdout.splitlines()) == 3


def test_evaluation_embedding_and_report(command: Run, tmp_path: Path, text_run: Path) -> None:
    data = text_run.parent / "data.jsonl.gz"
    shown = command("evaluate", text_run, data).stdout.splitlines()[-1].split()
    metrics = json.loads((text_run / "metrics.json").read_text())["metrics"]["test"]
    assert shown[:3] == ["test", f"{100 * metrics['micro_f1']:.2f}", f"{100 * metrics['macro_f1']:.2f}"]  # not of train
    found = json.loads(command("evaluate", text_run, data, "--json").stdout)
    assert {name: round(100 * found["metrics"][name], 2) for name in ("micro_f1", "macro_f1")} == {
        name: float(value) for name, value in zip(("micro_f1", "macro_f1"), shown[1:3], strict=True)
    }
    assert (found["run"], found["split"], found["examples"]) == (str(text_run), "test", len(GOOD) // 5)
    assert command("embed", text_run, data, "-o", "out.parquet").returncode == 0
    assert pq.read_table(tmp_path / "out.parquet").num_rows == len(GOOD)
    (text_run / "report.html").unlink()
    assert command("report", text_run).returncode == 0
    assert (text_run / "report.html").exists()


def test_labels_are_changed_listed_and_brought_back(command: Run, tmp_path: Path, text_run: Path) -> None:
    (tmp_path / "new.txt").write_text(
        "".join(f"an atom and a cell of {word}\n" for word in ("old", "new", "red", "blue"))
    )
    added = command("labels", "add", text_run, "science", "--examples", "new.txt", "--out", "first")
    assert added.returncode == 0, added
    assert "5 folds of the examples, and validation" in added.stdout
    assert "4 training examples with it, 0 without it; taken as" in added.stdout
    assert "version in first, " in added.stdout
    rows = [json.loads(line) for line in command("predict", "first", "new.txt", "--top", "99").stdout.splitlines()]
    known = list(rows[0]["scores"])
    assert "science" in known
    renamed = command("labels", "rename", "first", "science", "physics", "--out", "second")
    assert renamed.returncode == 0, renamed
    again = [json.loads(line) for line in command("predict", "second", "new.txt", "--top", "99").stdout.splitlines()]
    assert [row["scores"]["physics"] for row in again] == [row["scores"]["science"] for row in rows]
    data = text_run.parent / "data.jsonl.gz"
    assert command("evaluate", "second", data).returncode == 0
    assert command("report", "second").returncode == 0
    assert command("export", "second", "--format", "folder", "--out", "hub").returncode == 0
    kept = next(name for name in known if name != "science")
    made = json.loads(command("labels", "thresholds", "second", "--cost", "1:5", "--out", "third", "--json").stdout)
    assert (made["run"], made["verb"], made["cost"]) == ("third", "thresholds", [1.0, 5.0])
    removed = json.loads(command("labels", "remove", "third", kept, "--out", "fourth", "--json").stdout)
    log = [json.loads(line) for line in command("labels", "log", "fourth", "--json").stdout.splitlines()]
    assert {**log[-1], "run": "fourth"} == {**removed, "date": log[-1]["date"]}
    assert [one["verb"] for one in log] == ["add", "rename", "thresholds", "remove"]
    lines = [line.split("; ")[0][12:] for line in command("labels", "log", "fourth").stdout.splitlines()]
    assert lines == ["add science", "rename science -> physics", "thresholds all labels by cost 1:5", f"remove {kept}"]
    assert command("labels", "log", text_run).stdout == f"{text_run}: no change of its labels since training\n"
    assert command("labels", "undo", "fourth").stdout == "fourth is removed; the run before is third\n"
    assert not (tmp_path / "fourth").exists()
    left = sorted(path.name for path in tmp_path.iterdir())
    others = [name for name in known if name not in ("science", kept)]
    merged = command("labels", "merge", "third", kept, others[0], "--into", others[1]).refusal()
    assert merged == f'there is a label "{others[1]}" already.'
    assert (
        command("labels", "remove", "third", "sciense").refusal().startswith('label "sciense" is not in the vocabulary')
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_a_run_reads_the_columns_that_it_was_trained_on(command: Run, tmp_path: Path) -> None:
    rows = [{"subject": "re", "message": one["text"], "tags": one["labels"][0]} for one in GOOD]
    (tmp_path / "data.jsonl").write_text(jsonl(rows))
    words = ["train", "data.jsonl", "--loss", "bce", "--epochs", "1", "--out", "run"]
    assert command(*words).returncode == 0
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert config["columns"] == {"text": "message", "labels": "tags", "separator": "", "multi_hot": 0}
    new = [{"subject": "a long automatic subject", "message": "word1", "labels": [3.5], "split": "x"}]
    (tmp_path / "new.jsonl").write_text(jsonl(new))
    done = command("predict", "run", "new.jsonl")
    assert done.stderr == 'new.jsonl: 1 rows; text in "message"; not used: "subject", "labels", "split"\n'
    assert done.stdout == command("predict", "run", "-", stdin=jsonl(new)).stdout
    scores = json.loads(done.stdout)["scores"]
    assert scores == json.loads(command("predict", "run", "-", stdin="word1\n").stdout)["scores"]
    (tmp_path / "headless.csv").write_text("a good film,fun\na bad film,dull\n")
    line = command("predict", "run", "headless.csv").refusal()
    assert line == 'headless.csv: there is no column "message". The columns are "a good film", "fun".'
    assert command(*words, "--resume").returncode == 0


def test_an_unknown_label_is_refused_with_its_line(command: Run, tmp_path: Path, text_run: Path) -> None:
    (tmp_path / "new.jsonl").write_text(jsonl([GOOD[0], {"text": "x", "labels": ["lable1"]}]))
    line = command("evaluate", text_run, "new.jsonl").refusal()
    assert (
        line == 'new.jsonl, line 2, column "labels": label "lable1" is not in the vocabulary (did you mean "label1"?).'
    )


def test_a_folder_of_another_kind_is_refused(command: Run, tmp_path: Path) -> None:
    assert command("predict", "nowhere", "-", stdin="x").refusal() == "nowhere does not exist."
    assert command("report", "nowhere").refusal() == "nowhere does not exist."
    assert (
        command("report", tmp_path).refusal()
        == f"{tmp_path} is neither a finished run, a comparison, a study nor a search."
    )


def test_predictions_of_a_folder_of_pictures(command: Run, tmp_path: Path) -> None:
    pictures(lambda path: None)(tmp_path)
    words = ["train", "data.jsonl", "--loss", "bce", "--epochs", "1", "--set", "encoder.image_size=16", "--out", "run"]
    assert command(*words).returncode == 0
    (tmp_path / "new").mkdir()
    (tmp_path / "3.png").rename(tmp_path / "new" / "3.png")
    rows = [json.loads(line) for line in command("predict", "run", "new").stdout.splitlines()]
    assert [Path(row["id"]).name for row in rows] == ["3.png"]
    assert [json.loads(command("predict", "run", "new/3.png").stdout)] == rows


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "a", "--out", "run", "--loss", ""], "the loss is empty; expected a name, as in reg."),
        (["embed", "run", "a", "--out", "e.csv"], "--out must be a name that ends in .parquet. Got e.csv."),
        (["evaluate", "run", "a", "--split", "dev"], "'dev' is not one of 'train', 'val', 'test'."),
        (["labels", "thresholds", "run", "--cost", "5"], "--cost must be two numbers, as in 1:5. Got 5."),
    ],
)
def test_an_argument_that_would_be_misread_is_refused(light: Run, words: list[str], message: str) -> None:
    line = light(*words).refusal()
    assert line.endswith(message)
    assert "Value error" not in line


def test_a_tilde_that_the_shell_left_is_the_home(command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    text_file(jsonl(GOOD))(tmp_path)
    assert command("describe", "data.jsonl", "--plot=~/labels.png").returncode == 0
    assert (tmp_path / "home" / "labels.png").exists()
    assert command("describe", "data.jsonl", "--plot=~no-such-user/labels.png").returncode == 0
    assert (tmp_path / "~no-such-user" / "labels.png").exists()


def test_describe_prints_and_draws(command: Run, tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text(jsonl(GOOD))
    result = command("describe", "data.jsonl", "--plot", "labels.png")
    assert "Labels: 3" in result.stdout
    figures = json.loads(command("describe", "data.jsonl", "--json").stdout)
    assert (figures["kind"], len(figures["labels"]), figures["hierarchy"]) == ("text", 3, [])
    assert sum(split["examples"] for split in figures["splits"].values()) == len(GOOD)
    with Image.open(tmp_path / "labels.png") as picture:
        assert picture.width > 100


def test_the_doctor_finds_defects_and_writes_a_repaired_copy(command: Run, tmp_path: Path) -> None:
    rows = [{"text": f"text number {row % 30}", "labels": ["abc"[row % 3]]} for row in range(31)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    printed = command("describe", "data.jsonl", "--fix", "fixed").stdout
    assert "\nDoctor\n  - " in printed
    assert "\nRepaired copy in fixed; left out: " in printed
    assert command("describe", "data.jsonl", "--doctor").stdout in printed
    findings = json.loads(command("describe", "data.jsonl", "--doctor", "--json").stdout)["findings"]
    assert [(one["kind"], one["number"]) for one in findings] == [("duplicates", 1)]
    assert f"\n  - {findings[0]['sentence']}" in printed
    assert "Labels: 3" in command("describe", "fixed").stdout


def test_the_losses_are_listed(command: Run) -> None:
    printed = command("losses").stdout
    for name in ("bce", "zlpr", "supcon", "wo_reg", "reg"):
        assert f"\n{name}  (on" in f"\n{printed}"
    rows = {row["name"]: row for row in map(json.loads, command("losses", "--json").stdout.splitlines())}
    assert rows.keys() == {row.name for row in loss_catalogue()}
    assert {one["name"]: one["default"] for one in rows["reg"]["parameters"]} == check_loss("reg", {})


def test_ranking_needs_comparisons(command: Run) -> None:
    done = command("rank", "nowhere", "elsewhere")
    assert done.returncode == 1
    assert (
        done.stderr
        == "labelcontrast: nowhere is neither a comparison nor a study: it has no results.json and no results.csv.\n"
    )


def test_a_joint_loss_is_a_logit_loss_and_a_contrastive_loss(command: Run, vectors: Path, tmp_path: Path) -> None:
    done = command("train", vectors, "--loss", "zlpr+0.5*reg:alpha=1", "--epochs", "1", "--out", "run")
    assert done.returncode == 0, done.stderr
    loss = tomllib.loads((tmp_path / "run" / "config.toml").read_text())["loss"]
    assert loss == {"name": "zlpr", "joint": {"name": "reg", "weight": 0.5, "alpha": 1}}
    done = command("train", vectors, "--loss", "reg+0.5*zlpr", "--out", "other")
    assert done.returncode == 1
    assert done.stderr == (
        "labelcontrast: a joint loss is a logit loss and a contrastive one, as in zlpr+0.5*reg. Got reg+0.5*zlpr.\n"
    )
    assert not (tmp_path / "other").exists()


def test_training_with_a_hierarchy_gives_consistent_predictions(command: Run, living: Path, tmp_path: Path) -> None:
    over = ["--set", "hierarchy.closure=true", "--set", "hierarchy.consistency=max", "--set", "hierarchy.hold_out=0.2"]
    done = command(
        "train", living, "--loss", "himulcon", *over, "--epochs", 2, "--batch-size", 32, "--out", tmp_path / "run"
    )
    assert "hierarchy in hierarchy.json: 7 nodes on 2 levels" in done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["over", "the", "hierarchy", "hP", "hR", "hF1"] in [line[:6] for line in lines]
    assert ["level", "nodes", "micro-F1", "macro-F1", "accuracy"] in lines
    assert any(line[:3] == ["unseen", "leaves", "alone"] for line in lines)
    predicted = command("predict", tmp_path / "run", living).stdout.splitlines()
    sets = [{*json.loads(row)["labels"]} for row in predicted]
    parents = json.loads((tmp_path / "run" / "hierarchy.json").read_text())
    assert all(parents[label] is None or parents[label] in own for own in sets for label in own)
    assert sum(len(own) > 1 for own in sets) > 100
    again = command("evaluate", tmp_path / "run", living).stdout
    trained = next(line for line in done.stdout.partition("over the hierarchy")[2].splitlines() if "test" in line)
    assert trained.split() in [line.split() for line in again.splitlines()]


def test_a_hierarchical_loss_without_a_hierarchy_is_refused(command: Run, vectors: Path, tmp_path: Path) -> None:
    line = command("train", vectors, "--loss", "hicone", "--out", tmp_path / "run").refusal()
    assert line.startswith("hicone needs a hierarchy of the labels: name its file as hierarchy.file, ")
    other = ["--set", "hierarchy.file=nowhere.json"]
    line = command("train", vectors, "--loss", "hicone", *other, "--out", tmp_path / "run").refusal()
    assert "nowhere.json: could not be read" in line


def test_a_study_is_run_printed_and_reported_again(command: Run, tmp_path: Path, vectors: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'question = "Does alpha help?"\nlosses = ["bce", "reg"]\nseeds = 1\n[grid]\n"loss.alpha" = [0.0, 1.0]\n'
        '[table]\nrows = ["loss", "loss.alpha"]\nmetrics = ["macro_f1"]\n'
    )
    words = ["study", "mine.toml", vectors, "--set", "training.epochs=1", "--set", "loss.alpha=2.0", "--set", "seed=1"]
    assert (
        command(*words, "--out", "out").refusal()
        == "seed varies within the study mine; it cannot be set for all its trials."
    )
    result = command(*words[:-2], "--out", "out")
    assert result.returncode == 0, result
    assert [line.split()[:2] for line in result.stdout.splitlines()[2:4]] == [["bce", NOTHING], ["reg", "2.0"]]
    assert result.stdout.splitlines()[4].startswith("* the best mean of its column, or ")
    assert "[2/2] vectors, reg, alpha 2.0, seed 0: macro-F1 " in result.stderr
    assert result.stdout.splitlines()[-1] == "report in out/report.html"
    trials = [json.loads(one) for one in command(*words[:-2], "--out", "out", "--resume", "--json").stdout.splitlines()]
    assert [(one["loss"], one["loss.alpha"], one["error"]) for one in trials] == [
        ("bce", None, None),
        ("reg", 2.0, None),
    ]
    assert f"{100 * trials[1]['macro_f1']:.2f}" in result.stdout
    (tmp_path / "out" / "report.html").unlink()
    assert command("report", "out").stdout == "out/report.html\n"
    assert "Does alpha help?" in (tmp_path / "out" / "report.html").read_text()
    assert "continue with --resume" in command(*words[:-2], "--out", "out").refusal()


def test_comparisons_and_studies_test_on_every_fold(command: Run, tmp_path: Path, vectors: Path) -> None:
    words = [vectors, "--losses", "bce", "--folds", "2", "--set", "training.epochs=1"]
    done = command("compare", *words, "--no-baseline", "--out", "compared")
    assert done.returncode == 0, done
    assert "test is fold 0 of 2, counted from 0, and val 12.5 % of the others" in done.stderr
    assert "± " in done.stdout
    shown = [line.split()[-2] for line in done.stdout.splitlines() if line.startswith("bce")]
    assert shown == ["2"]
    kept = [json.loads(path.read_text()) for path in sorted((tmp_path / "compared/runs").glob("bce*/metrics.json"))]
    assert [(run["fold"], run["examples"]["test"]) for run in kept] == [(0, 120), (1, 120)]
    again = json.loads(command("compare", *words, "--no-baseline", "--out", "compared", "--resume", "--json").stdout)
    assert (again["loss"], again["failures"]) == ("bce", [])
    assert again["metrics"]["micro_f1"] == [run["metrics"]["test"]["micro_f1"] for run in kept]
    one, fold = (
        command("train", vectors, "--out", "one", "--set", "folds=2", "--set", "fold=2"),
        "counted from 0. Got 2.",
    )
    assert one.refusal() == f"fold must be one of 2 folds, {fold}"
    done = command("study", "losses", *words, "--out", "studied")
    assert done.returncode == 0, done
    trials = [json.loads(path.read_text()) for path in (tmp_path / "studied/trials").glob("*.json")]
    assert sorted((one["settings"]["seed"], one["result"]["fold"]) for one in trials) == [(0, 0), (1, 1)]
    same = next(one["result"]["metrics"] for one in trials if one["result"]["fold"] == 1)
    assert same == kept[1]["metrics"]


def test_the_studies_are_listed_and_a_wrong_name_is_refused(command: Run) -> None:
    printed = command("studies").stdout
    for name in ("losses", "temperature-prr", "few-labels"):
        assert f"\n{name}\n    " in f"\n{printed}"
    assert "source  Audibert et al. 2024, Table 7" in printed
    rows = [json.loads(one) for one in command("studies", "--json").stdout.splitlines()]
    assert [row["name"] for row in rows] == [line for line in printed.splitlines() if line and line[0] != " "]
    assert (
        "there is no study 'lossess' (did you mean \"losses\"?)"
        in command("study", "lossess", "a", "--out", "x").refusal()
    )


def test_a_search_writes_settings_for_train(command: Run, vectors: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="Optuna is an extra")
    done = command("search", vectors, "--out", "out", "--losses", "bce", "--trials", 2, "--set", "training.epochs=1")
    assert done.stdout.splitlines()[-1] == "best settings in out/best.toml, report in out/report.html"
    assert "bce, trial 2 of 2: validation mAP (%) " in done.stderr
    best = tomllib.loads((tmp_path / "out" / "best.toml").read_text())
    assert best["loss"]["name"] == "bce"
    assert 1e-4 <= best["training"]["learning_rate"] <= 1e-2
    words = ["search", vectors, "--out", "out", "--losses", "bce", "--trials", 2, "--set", "training.epochs=1"]
    trials = [json.loads(one) for one in command(*words, "--resume", "--json").stdout.splitlines()]
    assert [(one["loss"], one["trial"], one["error"]) for one in trials] == [("bce", 1, None), ("bce", 2, None)]
    assert best["training"]["learning_rate"] in [one["values"]["training.learning_rate"] for one in trials]
    page = tmp_path / "out" / "report.html"
    before = page.read_text()
    page.unlink()
    assert command("report", "out").stdout == "out/report.html\n"
    assert page.read_text() == before


def test_a_search_takes_losses_ranges_and_protocol_of_a_study(vectors: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="Optuna is an extra")
    declared = tmp_path / "mine.toml"
    declared.write_text(
        'question = "Which alpha?"\nlosses = ["wo_reg"]\n'
        '[protocol]\n"training.epochs" = 1\n"training.batch_size" = 32\n'
        '[search]\n"loss.alpha" = "3:4"\n[table]\nmetrics = ["macro_f1"]\n'
    )
    search(str(vectors), out=tmp_path / "out", study=str(declared), trials=1, assignments=["training.batch_size=64"])
    best = tomllib.loads((tmp_path / "out" / "best.toml").read_text())
    assert best["loss"]["name"] == "wo_reg"
    assert 3 <= best["loss"]["alpha"] <= 4
    assert (best["training"]["epochs"], best["training"]["batch_size"]) == (1, 64)
