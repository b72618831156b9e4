"""What the engine of studies adds to the time of its trials.

    python benchmarks/engine.py            twelve short trials on vectors: three losses, four seeds; twice
    python benchmarks/engine.py TEXTS      24 trials on the frozen features of a set of texts: three losses, eight seeds

Runs them in three ways: one after the other in a plain Python process (the time of the trials), by `labelcontrast
study` with one job, and with two. What a study adds is its time beyond that of the plain process, as a share of it:
the data's fingerprint, names, claims, records, tables, figures and page; with two jobs also the start of processes. It
is the processor time of all processes, the least of the rounds, which holds on a machine that does other work too.
Beside it stands what a command that trains pays for its imports: the plain process paid it once, a command for each
trial would pay it each time. From the study's own progress: how long it took until the first trial began and from the
last one to the end, and the time between trials that no trial used; with two jobs the start of the processes and the
wait of one for the other in the end are in it. Writes benchmarks/results/engine.json, the one part or the other; some
minutes on two quiet cores.
"""

import ctypes
import json
import os
import resource
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from labelcontrast.run.machine import describe_origin

RESULTS = Path(__file__).parent / "results" / "engine.json"
PR_SET_CHILD_SUBREAPER = 36
LOSSES = ("bce", "zlpr", "reg")
RECIPE = Path(__file__).parents[1] / "recipes" / "small" / "adapter-text.toml"
PLAIN = """
import json, sys
from pathlib import Path
from labelcontrast.run.machine import keep_freed_memory
from labelcontrast.settings import RunSettings
from labelcontrast.experiment import run_experiment
data, losses, seeds, values = json.loads(sys.argv[1])
keep_freed_memory()
for seed in range(seeds):
    for loss in losses:
        settings = RunSettings.build({"data": data, "seed": seed, "loss": {"name": loss}, **values})
        run_experiment(settings, Path("plain") / f"{loss}-{seed}")
"""
IMPORTS = "import labelcontrast.cli.printing, labelcontrast.training.trainer"


@dataclass(frozen=True)
class Work:
    """What the trials are made of."""

    data: str
    settings: Path
    seeds: int
    rounds: int


def on_vectors(folder: Path) -> Work:
    """Set up twelve short trials on vectors whose labels are thresholds of their features, the later ones rare."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(4000, 64)).astype(np.float32)
    np.savez(folder / "data.npz", X=rows, Y=(rows[:, :20] > np.linspace(0, 2, 20)).astype(np.uint8))
    (folder / "settings.toml").write_text("[training]\nepochs = 12\n")
    return Work(str(folder / "data.npz"), folder / "settings.toml", seeds=4, rounds=2)


def on_texts(data: str) -> Work:
    """24 trials of a small network on features that are computed before, so that no way of running pays for them."""
    return Work(str(Path(data).resolve()), RECIPE, seeds=8, rounds=1)


def measure(words: list[str], folder: Path) -> tuple[dict[str, float], list[tuple[float, str]]]:
    """Run a command; take its time on the clock, that of the processors, and when it said what."""
    before, begun, told = processor_time(), time.monotonic(), []
    with subprocess.Popen(
        [sys.executable, *words], cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            told.append((time.monotonic() - begun, line))
    assert process.returncode == 0, told
    clock = time.monotonic() - begun
    with suppress(ChildProcessError):  # what the command has started and left to end by itself is ours by now
        while True:
            os.waitpid(-1, 0)
    return {"clock": clock, "processors": processor_time() - before}, told


def processor_time() -> float:
    """Seconds that all ended child processes have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure_study(work: Work, place: Path, jobs: int) -> dict[str, float]:
    """Run the study, and compute the time of its trials from its progress and its store."""
    out = place / f"jobs {jobs}"
    words = ["-m", "labelcontrast", "study", "losses", work.data, "--config", str(work.settings)]
    words += ["--losses", ",".join(LOSSES), "--seeds", str(work.seeds), "--jobs", str(jobs), "--out", str(out)]
    seconds, told = measure(words, place)
    records = [json.loads(path.read_text()) for path in (out / "trials").glob("*.json")]
    assert len(records) == len(LOSSES) * work.seeds, told
    assert all("result" in record for record in records), told
    return {
        **seconds,
        "until the first trial": told[0][0],
        "sum of the trials": sum(record["seconds"] for record in records),
        "while trials run": told[-1][0] - told[0][0],
        "after the last trial": seconds["clock"] - told[-1][0],
    }


def run_round(work: Work, place: Path) -> dict[str, dict[str, float]]:
    """Run the trials plainly, by one job, and by two; and the imports alone."""
    place.mkdir()
    given = json.dumps([work.data, LOSSES, work.seeds, tomllib.loads(work.settings.read_text())])
    return {
        "imports": measure(["-c", IMPORTS], place)[0],
        "plain": measure(["-c", PLAIN, given], place)[0],
        **{f"jobs {jobs}": measure_study(work, place, jobs) for jobs in (1, 2)},
    }


def measure_work(work: Work, folder: Path) -> dict[str, object]:
    """Run every round, and say what was added."""
    before = os.getloadavg()[0]
    rounds = [run_round(work, folder / str(number)) for number in range(work.rounds)]
    least = {name: min(one[name]["processors"] for one in rounds) for name in rounds[0]}
    return {
        "origin": describe_origin(),
        "load before": before,
        "trials": len(LOSSES) * work.seeds,
        "seconds by round": rounds,
        "least processor seconds": least,
        "added, share of processor time": {
            name: least[name] / least["plain"] - 1 for name in least if name.startswith("jobs")
        },
        "between the trials, share of their time on the clock": {
            f"jobs {jobs}": min(
                jobs * one[f"jobs {jobs}"]["while trials run"] / one[f"jobs {jobs}"]["sum of the trials"] - 1
                for one in rounds
            )
            for jobs in (1, 2)
        },
    }


def main(data: Sequence[str]) -> None:
    """Measure and write."""
    os.environ["OMP_NUM_THREADS"] = "1"
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with TemporaryDirectory() as place:
        folder = Path(place)
        if data:
            work = on_texts(*data)
            first = ["-m", "labelcontrast", "train", work.data, "--config", str(work.settings), "--epochs", "1"]
            measure([*first, "--out", str(folder / "features")], folder)
            found["texts"] = measure_work(work, folder)
        else:
            found["vectors"] = measure_work(on_vectors(folder), folder)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
