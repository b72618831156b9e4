"""Time, memory and files of a whole run as labels grow: made texts with a long tail of labels, `train`, `predict`.

    python benchmarks/many_labels.py 1000                                      # further words go to `train`
    python benchmarks/many_labels.py 10000 --set evaluation.views=probe
    python benchmarks/many_labels.py approximations DATA                       # what is done from 1,000 labels on

An example has one to nine labels, five on average. Every label occurs at least once, and beyond that as often as its
rank says (Zipf). A label has two words of its own, of which a text holds one with probability 0.8, among words that say
nothing. Ten examples for each four labels, 20,000 at least. Processor time and peak memory are those of the command.
With `approximations`, probe and view `words` are fitted on a data set of fewer labels in both ways: mean average
precision on test and seconds. Adds to benchmarks/results/many_labels.json.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from safetensors.numpy import load_file

from labelcontrast.experiment import run_experiment
from labelcontrast.metrics.ranking import mean_average_precision
from labelcontrast.probes import linear
from labelcontrast.probes.views import WordsView
from labelcontrast.run.inputs import load_inputs
from labelcontrast.run.machine import describe_origin
from labelcontrast.settings import RunSettings

RESULTS = Path(__file__).parent / "results" / "many_labels.json"
TRAIN = ("--encoder", "hashed", "--epochs", "1", "--set", "training.batch_size=256")


def make_texts(path: Path, labels: int, *, seed: int = 0) -> int:
    """Write a JSON Lines file of made texts and their labels; return the number of examples."""
    random = np.random.default_rng(seed)
    size = max(20_000, labels * 2 // 5)
    counts = random.integers(1, 10, size)
    share = 1 / np.arange(10, labels + 10)
    drawn = random.choice(labels, counts.sum(), p=share / share.sum())
    drawn[random.permutation(len(drawn))[:labels]] = np.arange(labels)
    with path.open("w") as file:
        for start, count in zip(np.cumsum(counts) - counts, counts, strict=True):
            own = np.unique(drawn[start : start + count])
            words = [f"w{label}x{random.integers(2)}" for label in own if random.random() < 0.8]
            words += [f"n{number}" for number in random.integers(0, 5000, 20)]
            random.shuffle(words)
            file.write(json.dumps({"text": " ".join(words), "labels": [f"label-{label:06d}" for label in own]}) + "\n")
    return size


def measure(words: Sequence[str], folder: Path) -> dict[str, float]:
    """Run a command; return its seconds on the processors and its largest memory."""
    with subprocess.Popen([sys.executable, "-m", "labelcontrast", *words], cwd=folder, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        run.stdout.read()
        _, status, used = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    assert run.returncode == 0, words
    return {"processor seconds": round(used.ru_utime + used.ru_stime, 1), "MiB": round(used.ru_maxrss / 1024)}


def run(labels: int, more: Sequence[str], folder: Path) -> dict[str, object]:
    """Train on made texts, and predict a hundred of them."""
    examples = make_texts(folder / "texts.jsonl", labels)
    head = (folder / "texts.jsonl").read_text().splitlines()[:100]
    (folder / "some.jsonl").write_text("\n".join(head) + "\n")
    train = measure(["train", "texts.jsonl", "--out", "run", *TRAIN, *more], folder)
    result = json.loads((folder / "run" / "metrics.json").read_text())
    predict = measure(["predict", "run", "some.jsonl"], folder)
    files = {str(path.relative_to(folder / "run")): path.stat().st_size for path in (folder / "run").rglob("*")}
    largest = sorted(files, key=files.__getitem__, reverse=True)[:6]
    return {
        "examples": examples,
        "train": train,
        "predict 100": predict,
        "seconds by stage": result.get("seconds"),
        "MB of the folder": round(sum(files.values()) / 1e6, 1),
        "MB of its largest files": {name: round(files[name] / 1e6, 1) for name in largest},
        "metrics": result.get("metrics"),
    }


def compare_approximations(data: str, folder: Path) -> dict[str, object]:
    """Fit the probe on the embeddings of a run, and the view of words, as with few labels and as with many."""
    settings = RunSettings.build({"data": data, "encoder": {"name": "hashed"}, "loss": {"name": "reg"}})
    settings = settings.with_defaults({"training.epochs": 2, "evaluation.views": "probe"})
    run_experiment(settings, folder / "run")
    features, inputs = load_file(folder / "run" / "features.safetensors"), load_inputs(settings)
    truth = {name: inputs.truth(name) for name in ("train", "val", "test")}
    texts = {name: inputs.splits.by_name[name].inputs for name in truth}
    found: dict[str, object] = {"labels": truth["test"].shape[1], "examples": len(truth["train"])}

    def of_probe() -> np.ndarray:
        probe = linear.fit_linear_probe(features["train"], truth["train"], features["val"], truth["val"])
        return probe.scores(features["test"])

    def of_words() -> np.ndarray:
        return WordsView.fit(texts["train"], truth["train"]).logits(texts["test"])

    for name, fit in (("probe", of_probe), ("words", of_words)):
        for how, least in (("few labels", 1_000), ("many labels", 0)):
            linear.MOST_EXACT = WordsView.FEW = least
            start = time.process_time()
            scores = fit()
            seconds = round(time.process_time() - start, 1)
            found[f"{name}, as with {how}"] = {
                "mAP": round(100 * mean_average_precision(truth["test"], scores), 2),
                "processor seconds": seconds,
            }
    return found


def main(words: Sequence[str]) -> None:
    """Measure and write."""
    first, *more = words
    with TemporaryDirectory() as folder:
        if first == "approximations":
            name, measured = f"approximations {Path(more[0]).name}", compare_approximations(more[0], Path(folder))
        else:
            name, measured = " ".join([f"{int(first):,}", *more]), run(int(first), more, Path(folder))
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    found[name] = {"origin": describe_origin(), **measured}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
