"""Commands killed at random moments: what they left is resumed, and ends as if nothing had happened.

    python tests/faults/kill.py --kills 20 --out kill.json
    python tests/faults/kill.py --only search --kills 50 --seed 7
    python tests/faults/kill.py --signal TERM

Each command of ``COMMANDS`` runs twice without a kill, which shows what is the same every time; then it gets SIGKILL,
sometimes twice, and its folder is sometimes moved before it is continued. In the end the folder must hold the same
files with the same content, results that were finished before must not have been written again, and a model that can be
loaded after the kill must answer as the finished one does. With another signal the exit code and the last line that is
printed count too. ``--out`` keeps the figures, and an earlier file is
continued. The processes are forked from one that has imported the libraries, so a kill costs seconds.
"""

import argparse
import csv
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch  # noqa: F401  before the forks
import matplotlib.pyplot as plt  # noqa: F401
import optuna  # noqa: F401
import transformers.optimization  # noqa: F401

import labelcontrast as lc
from labelcontrast.cli import main as command
from labelcontrast.cli.verbs import RESUME
from labelcontrast.errors import RunError
from labelcontrast.files import SEAL, read_json, write_json
from labelcontrast.run.folder import MANIFEST, MODEL_FILES
from labelcontrast.run.machine import describe_origin

sys.path.insert(0, str(Path(__file__).parents[1]))
from faults.damage import make_texts

LONGEST, EARLIEST = 300, 0.2
"""Seconds after which a command counts as hanging; share of its time before which it may not hear a polite signal."""
FAST = (
    *("--encoder", "embedded", "--set", "training.checkpoint_minutes=0.0001"),
    *("--set", "training.batch_size=16", "--set", "evaluation.views=['probe','neighbours','words']"),
)
ALONE = ("--set", "encoder.name=embedded", "--set", "training.batch_size=16", "--set", "training.epochs=1")
VOLATILE = {
    "seconds",
    "date",
    "command",
    "machine",
    "versions",
    "seconds_per_epoch",
    "processor_seconds",
    "pid",
    "host",
    SEAL,
}


@dataclass(frozen=True)
class Command:
    """What is run, what continues it, and where the results are."""

    words: tuple[str, ...]
    again: tuple[str, ...]
    """The words that continue it."""
    first: tuple[str, ...] = ()
    """A command that is run before it, without a kill."""
    model: bool = False
    """Whether the folder is a run, with a model."""


def _twice(
    *words: str, first: tuple[str, ...] = (), model: bool = False, again: tuple[str, ...] = ("--resume",)
) -> Command:
    return Command(words, (*words, *again), first, model)


TRAIN = ("train", "DATA", "--out", "OUT", *FAST, "--epochs", "3")
COMMANDS = {
    "train, contrastive": _twice(*TRAIN, "--loss", "reg:queue_size=32", model=True),
    "train, joint": _twice(*TRAIN, model=True),
    "train, logit": _twice(*TRAIN, "--loss", "zlpr", model=True),
    "train, two stages": _twice(*TRAIN, "--loss", "reg", "--set", "finetuning.epochs=2", model=True),
    "train, numbers of epochs": _twice(*TRAIN, "--loss", "bce", "--set", "training.epoch_grid=[1,2]", model=True),
    "train, over an earlier run": _twice(*TRAIN, "--force", first=(*TRAIN, "--loss", "bce"), model=True, again=()),
    "train, evaluation again": Command(
        (*TRAIN, "--resume", "--set", "evaluation.threshold=per_label"),
        (*TRAIN, "--resume", "--set", "evaluation.threshold=per_label"),
        first=TRAIN,
        model=True,
    ),
    "compare": _twice("compare", "DATA", "--out", "OUT", "--losses", "bce,reg", "--seeds", "2", *ALONE),
    "compare, two jobs": _twice(
        "compare", "DATA", "--out", "OUT", "--losses", "bce,reg", "--seeds", "2", "--jobs", "2", *ALONE
    ),
    "study": _twice("study", "temperature", "DATA", "--out", "OUT", "--losses", "reg", "--seeds", "1", *ALONE),
    "search": _twice("search", "DATA", "--out", "OUT", "--losses", "reg", "--trials", "4", *ALONE),
    "predict": Command(("predict", "RUN", "INPUT", "--out", "OUT"), ("predict", "RUN", "INPUT", "--out", "OUT")),
    "embed": Command(
        ("embed", "RUN", "INPUT", "--out", "OUT.parquet"), ("embed", "RUN", "INPUT", "--out", "OUT.parquet")
    ),
}


class Place:
    """A folder with data and a trained run, in which commands run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_texts(folder / "texts.jsonl", rows=120)
        texts = [json.loads(line)["text"] for line in (folder / "texts.jsonl").read_text().splitlines()]
        (folder / "some.txt").write_text("\n".join(texts * 20) + "\n")
        self.out = folder / "out"
        self.finish(("train", "DATA", "--out", str(folder / "trained"), *FAST, "--epochs", "1"))

    def start(
        self, words: tuple[str, ...], out: Path | None = None, disturb: Callable[[], object] = lambda: None
    ) -> int:
        """Start a command in a process group of its own, disturbed in its process first, and return its number."""
        named = {"DATA": "texts.jsonl", "RUN": "trained", "INPUT": "some.txt"}
        out = out or self.out
        arguments = [
            named.get(word, word.replace("OUT", str(out)) if word.startswith("OUT") else word) for word in words
        ]
        child = os.fork()
        if child:
            return child
        os.setsid()
        os.chdir(self.folder)
        said = os.open(f"said-{os.getpid()}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.argv = ["labelcontrast", *arguments]
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its jobs in the background ignore it
        disturb()
        code = 99
        try:
            command()
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        os._exit(code)

    def said(self, child: int) -> str:
        """Return what a command has printed."""
        return (self.folder / f"said-{child}.txt").read_text()

    def finish(self, words: tuple[str, ...]) -> None:
        """Run a command to its end, which must be a good one."""
        child = self.start(words)
        if wait(child, LONGEST)[0]:
            raise RuntimeError(self.said(child))

    def clear(self) -> None:
        """Remove what commands have written."""
        left = [path for name in ("moved", "said-*.txt", "out.parquet", ".out*") for path in self.folder.glob(name)]
        for path in (self.out, *left):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def contents(out: Path) -> dict[str, Any]:
    """Return the files below a folder, or beside it with its name, with their content but for times and dates."""
    found = {}
    beside = [path for path in out.parent.iterdir() if path.name.lstrip(".").startswith(out.name)]
    for path in sorted(inner for top in beside for inner in ([top] if top.is_file() else top.rglob("*"))):
        if path.is_file():
            within = path.relative_to(out.parent).as_posix()
            found[re.sub(r"^\.?[^/.]+", "out", within, count=1)] = _content(path)
    return found


def _content(path: Path) -> object:
    if path.name == MANIFEST:
        return sorted(read_json(path)["files"])
    if path.suffix == ".json":
        try:
            return _timeless(json.loads(path.read_text()))
        except ValueError:
            return "not JSON"
    if path.suffix in {".html", ".md", ".ckpt", ".log", ".png", ".svg", ".pdf", ".db", ".tex"}:
        return "a file"
    if path.suffix == ".csv":
        with path.open(newline="", errors="replace") as file:
            return [_timeless(row) for row in csv.DictReader(file)]
    return path.read_bytes()


def _timeless(value: object) -> object:
    if isinstance(value, dict):
        return {key: _timeless(inner) for key, inner in value.items() if key not in VOLATILE}
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value


def measure(place: Place, name: str, kills: int, seed: int, sent: signal.Signals = signal.SIGKILL) -> Iterator[str]:
    """Send a command a signal this often; yield ``survived``, ``had ended``, or what went wrong."""
    what = COMMANDS[name]
    expected, seconds = reference(place, what)
    for number in range(kills):
        chance = random.Random(f"{name} {seed} {number}")
        place.clear()
        earlier = []
        if what.first:
            place.finish(what.first)
            earlier = [contents(place.out)]
        out, killed = place.out, 0
        for words in (what.words, what.again) if chance.random() < 0.3 else (what.words,):
            child = place.start(words, out)
            code, _ = wait(child, chance.uniform(0 if sent == signal.SIGKILL else EARLIEST, 1.05) * seconds, sent)
            killed += code != 0
        said = place.said(child).splitlines()[-1:]
        polite = None if sent == signal.SIGKILL or not code else _misses(sent, code, said)
        written = _finished(out)
        problem = _loads(out, [expected, *earlier]) if what.model else None
        if out.is_dir() and chance.random() < 0.3:
            out = out.rename(place.folder / "moved")
        child = place.start(what.again if out.exists() else what.words, out)
        code, hangs = wait(child, LONGEST)
        problem = polite or problem or ("hangs" if hangs else None)
        if not problem and code:
            problem = f"exit {code}: {place.said(child).splitlines()[-1:]}"
        problem = problem or difference(expected, contents(out)) or _repeated(written, _finished(out))
        yield f"{number}: {problem}" if problem else "survived" if killed else "had ended"


def reference(place: Place, what: Command) -> tuple[dict[str, Any], float]:
    """Run a command twice without a kill; return what is the same in both, and the seconds."""
    found = []
    for _ in range(2):
        place.clear()
        if what.first:
            place.finish(what.first)
        begun = time.monotonic()
        place.finish(what.words)
        seconds = time.monotonic() - begun
        found.append(contents(place.out))
    one, other = found
    if one != other:
        raise RuntimeError(f"two runs differ without a kill: {difference(one, other)}")
    return one, seconds


def differences(expected: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    """Yield the files that are missing, too many or others."""
    for name in sorted({*expected, *found}):
        if name not in found:
            yield f"{name} is missing"
        elif name not in expected:
            yield f"{name} is left"
        elif expected[name] != found[name]:
            yield f"{name} is another"


def difference(expected: dict[str, Any], found: dict[str, Any]) -> str | None:
    """Return the first file that is missing, too many or another."""
    return next(differences(expected, found), None)


def _finished(out: Path) -> dict[str, int]:
    """Return when each result of a trial was written."""
    files = [*out.rglob("metrics.json"), *out.rglob("trials/*.json")] if out.is_dir() else []
    return {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in files if path.parent != out}


def _repeated(before: dict[str, int], after: dict[str, int]) -> str | None:
    again = [name for name, moment in before.items() if after.get(name) != moment]
    return f"{again[0]} was run twice" if again else None


def _misses(sent: signal.Signals, code: int, said: list[str]) -> str | None:
    """Return what a command that was asked to end did not do."""
    word = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupted"}[sent]
    if code != 128 + sent:
        return f"exit {code} after {sent.name}: {said}"
    return None if said == [f"labelcontrast: {word}; {RESUME}"] else f"said {said} after {sent.name}"


def _loads(out: Path, states: list[dict[str, Any]]) -> str | None:
    """Load the model that a kill left: it may be refused, or is one of these states, whole."""
    try:
        lc.load(out).predict_proba(["a goal in the match"])
    except RunError:
        return None
    except Exception as error:
        return f"what was left cannot be read: {type(error).__name__}: {error}"
    left = contents(out)
    whole = [
        all(left.get(name) == state.get(name) for name in {*left, *state} if _is_of_model(name)) for state in states
    ]
    return None if any(whole) else "a model that is not finished can be loaded"


def _is_of_model(name: str) -> bool:
    return name.removeprefix("out/").split("/")[0] in MODEL_FILES


def wait(child: int, seconds: float, sent: signal.Signals = signal.SIGKILL) -> tuple[int, bool]:
    """Wait for a process; send a signal if it takes longer. Return its exit code, and whether it was sent.

    SIGKILL, and SIGINT as from a terminal, go to its whole group.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), False
        time.sleep(0.005)
    with suppress(ProcessLookupError):
        (os.kill if sent == signal.SIGTERM else os.killpg)(child, sent)
    if sent != signal.SIGKILL:
        return wait(child, LONGEST)[0], True
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="How often each command is killed.")
    parser.add_argument("--only", choices=COMMANDS, help="The command; by default all.")
    parser.add_argument("--signal", choices=["KILL", "TERM", "INT"], default="KILL", help="What is sent.")
    parser.add_argument("--seed", type=int, default=0, help="Of the moments.")
    parser.add_argument("--out", type=Path, help="JSON file for the figures; an earlier one is continued.")
    given = parser.parse_args()
    found: dict[str, Any] = read_json(given.out)["commands"] if given.out and given.out.exists() else {}
    sent = signal.Signals[f"SIG{given.signal}"]
    for name in [given.only] if given.only else COMMANDS:
        if name in found:
            continue
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            outcomes = list(measure(Place(Path(folder)), name, given.kills, given.seed, sent))
        counts = Counter(one if one in {"survived", "had ended"} else "failed" for one in outcomes)
        failures = [one for one in outcomes if one not in {"survived", "had ended"}]
        found[name] = {**counts, "failures": failures, "seconds": round(time.monotonic() - begun)}
        sys.stdout.write(f"{name}: {found[name]}\n")
        sys.stdout.flush()
        if given.out:
            write_json(given.out, {"commands": found, "signal": given.signal, "seed": given.seed, **describe_origin()})
    sys.exit(any(one["failures"] for one in found.values()))


if __name__ == "__main__":
    main()
