"""What the engine of studies adds to the time of its trials.

    python benchmarks/engine.py

Runs twelve short trials (three losses, four seeds, vectors) in three ways, twice: one after the other in a plain Python
process (the time of the trials), by `labelcontrast study` with one job, and with two. What a study adds is its time
beyond that of the plain process, as a share of it: the data's fingerprint, names, claims, records, tables, figures and
page; with two jobs also the start of processes. It is the processor time of all processes, the least of the rounds,
which holds on a machine that does other work too. From the study's own progress: how long it took until the first trial
began and from the last one to the end, and the time between trials that no trial used; with two jobs the start of the
processes and the wait of one for the other in the end are in it. Writes benchmarks/results/engine.json; some minutes on
two quiet cores.
"""

import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from labelcontrast.run.provenance import describe_origin

RESULTS = Path(__file__).parent / "results" / "engine.json"
EXAMPLES, LABELS, EPOCHS, SEEDS, ROUNDS = 4000, 20, 12, 4, 2
PR_SET_CHILD_SUBREAPER = 36
LOSSES = ("bce", "zlpr", "reg")
PLAIN = f"""
from pathlib import Path
from labelcontrast.allocator import keep_freed_memory
from labelcontrast.config.settings import RunSettings
from labelcontrast.experiment import run_experiment
keep_freed_memory()
for seed in range({SEEDS}):
    for loss in {LOSSES}:
        values = {{"data": "data.npz", "seed": seed, "loss": {{"name": loss}}, "training": {{"epochs": {EPOCHS}}}}}
        run_experiment(RunSettings.build(values), Path("plain") / f"{{loss}}-{{seed}}")
"""


def write_data(path: Path) -> None:
    """Vectors whose labels can be read off, the later ones rare."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(EXAMPLES, 64)).astype(np.float32)
    np.savez(path, X=rows, Y=(rows[:, :LABELS] > np.linspace(0, 2, LABELS)).astype(np.uint8))


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


def measure_study(folder: Path, jobs: int) -> dict[str, float]:
    """Run the study, and read off its progress and its store what its trials took."""
    out = folder / f"jobs {jobs}"
    words = ["-m", "labelcontrast", "study", "losses", "data.npz", "--losses", ",".join(LOSSES), "--seeds", str(SEEDS)]
    words += ["--set", f"training.epochs={EPOCHS}", "--jobs", str(jobs), "--out", str(out)]
    seconds, told = measure(words, folder)
    records = [json.loads(path.read_text()) for path in (out / "trials").glob("*.json")]
    assert len(records) == len(LOSSES) * SEEDS, told
    assert all("result" in record for record in records), told
    return {
        **seconds,
        "until the first trial": told[0][0],
        "sum of the trials": sum(record["seconds"] for record in records),
        "while trials run": told[-1][0] - told[0][0],
        "after the last trial": seconds["clock"] - told[-1][0],
    }


def run_round(place: Path) -> dict[str, dict[str, float]]:
    """Run the trials plainly, by one job, and by two."""
    place.mkdir()
    write_data(place / "data.npz")
    return {
        "plain": measure(["-c", PLAIN], place)[0],
        **{f"jobs {jobs}": measure_study(place, jobs) for jobs in (1, 2)},
    }


def main() -> None:
    """Measure and write."""
    os.environ["OMP_NUM_THREADS"] = "1"
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    found: dict[str, object] = {"origin": describe_origin(), "load before": os.getloadavg()[0]}
    with TemporaryDirectory() as folder:
        rounds = [run_round(Path(folder) / str(number)) for number in range(ROUNDS)]
    least = {name: min(one[name]["processors"] for one in rounds) for name in rounds[0]}
    found |= {"trials": len(LOSSES) * SEEDS, "seconds by round": rounds, "least processor seconds": least}
    found["added, share of processor time"] = {
        name: seconds / least["plain"] - 1 for name, seconds in least.items() if name != "plain"
    }
    found["between the trials, share of their time on the clock"] = {
        f"jobs {jobs}": min(
            jobs * one[f"jobs {jobs}"]["while trials run"] / one[f"jobs {jobs}"]["sum of the trials"] - 1
            for one in rounds
        )
        for jobs in (1, 2)
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
