"""Damaged run folders: `predict`, `evaluate` and `report` answer as before, or refuse in one line.

    python tests/faults/damage.py --each 12 --out damage.json

Two runs are trained, of texts and of vectors below a hierarchy. Each file of a folder in turn is missing, empty, cut, a
link or a folder; has a bit flipped; or, if it is JSON, has another value somewhere; the last three kinds ``--each``
times. Every command is run on every folder. What it wrote is compared with what it writes of the undamaged folder.
"""

import argparse
import copy
import io
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labelcontrast.cli import main as command
from labelcontrast.experiment import run_experiment
from labelcontrast.files import write_json
from labelcontrast.run.machine import describe_origin
from labelcontrast.settings import RunSettings

WORDS = {"sports": "goal match team", "politics": "vote law party", "weather": "rain snow wind"}
VALUES: list[Any] = [None, True, -1, 0, 1, 0.5, 1e308, "", "x", "../x", [], {}, [0], "9" * 30]
COMMANDS = {
    "predict": ("predict", "run", "input", "--out", "written"),
    "evaluate": ("evaluate", "run", "data"),
    "report": ("report", "run"),
}
DATES = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[^\"<]*")


@dataclass(frozen=True)
class Case:
    """A run folder, what it was trained on, and inputs to predict."""

    run: Path
    data: Path
    inputs: Path


def make_texts(path: Path, *, rows: int) -> None:
    """Write texts with words of their labels and a word of their own."""
    chance, lines = np.random.default_rng(0), []
    for number in range(rows):
        labels = [name for name in WORDS if chance.random() < 0.4]
        words = [word for name in labels for word in chance.choice(WORDS[name].split(), 2)] + ["the", f"word{number}"]
        lines.append(json.dumps({"text": " ".join(words), "labels": labels}) + "\n")
    path.write_text("".join(lines))


def make_cases(folder: Path) -> dict[str, Case]:
    """Train a run of texts and one of vectors with a hierarchy."""
    texts = folder / "texts.jsonl"
    make_texts(texts, rows=90)
    (folder / "some.txt").write_text("a goal in the match\nrain on the party\n")
    features = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)
    names = np.array(["cat", "dog", "oak"])
    np.savez(folder / "vectors.npz", X=features, Y=(features[:, :3] > 0.3).astype(np.uint8), label_names=names)
    (folder / "animals.json").write_text('{"cat": "animal", "dog": "animal", "oak": "plant"}')
    np.savez(folder / "some.npz", X=features[:5])
    fast = {"training": {"epochs": 1, "batch_size": 32}, "encoder": {"name": "embedded"}}
    cases = {}
    for kind, data, inputs in (("texts", texts, "some.txt"), ("vectors", folder / "vectors.npz", "some.npz")):
        tree = {"hierarchy": {"file": str(folder / "animals.json")}} if kind == "vectors" else {}
        run_experiment(RunSettings.build({"data": str(data), **fast, **tree}), folder / f"run-{kind}")
        cases[kind] = Case(folder / f"run-{kind}", data, folder / inputs)
    return cases


def damages(path: Path, *, each: int) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Yield the name of each damage to a file, and a function that does it."""
    content = path.read_bytes()
    chance = random.Random(f"{path.name} {each}")
    yield "missing", Path.unlink
    yield "empty", lambda at: at.write_bytes(b"")
    yield "a folder", lambda at: (at.unlink(), at.mkdir())
    yield "a link", lambda at: (at.rename(elsewhere := at.parent / "elsewhere"), at.symlink_to(elsewhere))
    for _ in range(each if content else 0):
        end = chance.randrange(len(content))
        yield "cut", lambda at, end=end: at.write_bytes(content[:end])
    for _ in range(each if content else 0):
        place, bit = chance.randrange(len(content)), 1 << chance.randrange(8)
        yield (
            "a bit",
            lambda at, place=place, bit=bit: at.write_bytes(
                content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
            ),
        )
    for _ in range(each if path.suffix == ".json" else 0):
        changed = another_value(json.loads(content), chance)
        yield "another value", lambda at, changed=changed: at.write_text(json.dumps(changed))


def another_value(content: object, chance: random.Random) -> object:
    """Replace a value at any depth."""
    top = {"": copy.deepcopy(content)}
    inside: Any = top
    key: Any = ""
    while isinstance(inside[key], dict | list) and inside[key] and chance.random() < 0.8:
        inside = inside[key]
        key = chance.choice(list(inside) if isinstance(inside, dict) else range(len(inside)))
    inside[key] = chance.choice([value for value in VALUES if value != inside[key]])
    return top[""]


def called(words: tuple[str, ...], case: Case, run: Path, folder: Path) -> tuple[str, bytes]:
    """Run a command in this process; return ``done``, ``refused`` or what went wrong, and what it wrote."""
    named = {"run": run, "input": case.inputs, "data": case.data, "written": folder / "written"}
    (folder / "written").unlink(missing_ok=True)
    arguments = ["labelcontrast", *(str(named.get(word, word)) for word in words)]
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, arguments
    try:
        with redirect_stdout(out), redirect_stderr(err), chdir(folder):
            command()
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "labelcontrast" in frame.filename]
        return f"raw: {type(error).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}: {error}"[
            :200
        ], b""
    finally:
        sys.argv = before
    said = err.getvalue().splitlines()
    if code == 1 and said and said[-1].startswith("labelcontrast: "):
        return f"refused{', and left a file' * (folder / 'written').exists()}", b""
    if code:
        return f"exit {code}: {said[-1:]}", b""
    wrote = (folder / "written").read_bytes() if (folder / "written").exists() else out.getvalue().encode()
    if words[0] == "report":
        wrote = (run / "report.html").read_bytes() + (run / "README.md").read_bytes()
    return "done", DATES.sub(b"", wrote.replace(str(run).encode(), b"RUN"))


def measure(case: Case, folder: Path, *, each: int, step: int = 1) -> Iterator[tuple[str, str, str, str]]:
    """Yield command, file, damage and outcome: ``unharmed``, ``refused``, or the failure; of every step-th damage."""
    answers = {}
    for name, words in COMMANDS.items():
        shutil.rmtree(folder / "run", ignore_errors=True)
        shutil.copytree(case.run, folder / "run")
        outcome, answers[name] = called(words, case, folder / "run", folder)
        assert outcome == "done", outcome
    files = sorted(path for path in case.run.rglob("*") if path.is_file())
    done = [(path.relative_to(case.run), *damage) for path in files for damage in damages(path, each=each)]
    for within, damage, do in done[::step]:
        for name, words in COMMANDS.items():
            shutil.rmtree(folder / "run", ignore_errors=True)
            shutil.copytree(case.run, folder / "run", copy_function=_link_or_copy(within))
            do(folder / "run" / within)
            outcome, wrote = called(words, case, folder / "run", folder)
            if outcome == "done":
                outcome = "unharmed" if wrote == answers[name] else "answers otherwise without a word"
            yield name, within.as_posix(), damage, outcome


def summary_of(found: list[tuple[str, str, str, str]]) -> dict[str, Any]:
    """Count outcomes by command, and list the failures."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in COMMANDS}
    failures = []
    for name, file, damage, outcome in found:
        good = outcome in {"unharmed", "refused"}
        counts[name][outcome if good else "failed"] += 1
        failures += [] if good else [f"{name}, {file}, {damage}: {outcome}"]
    folders = len(found) // len(COMMANDS)
    return {"folders": folders, "outcomes": {name: dict(count) for name, count in counts.items()}, "failures": failures}


def _link_or_copy(changed: Path) -> Callable[[str, str], object]:
    """Link files that no command writes to, and copy the others: a folder takes milliseconds."""
    written = {changed.name, "report.html", "README.md"}
    return lambda source, target: (shutil.copy2 if Path(source).name in written else os.link)(source, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=2, help="How many cuts, bits and values of each file.")
    parser.add_argument("--out", type=Path, help="JSON file for the figures.")
    given = parser.parse_args()
    begun, found = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for case in make_cases(place).values():
            found += measure(case, place, each=given.each)
    result = summary_of(found) | {"seconds": round(time.monotonic() - begun)}
    if given.out:
        write_json(given.out, {**result, **describe_origin()})
    sys.stdout.write(json.dumps(result, indent=1) + "\n")
    sys.exit(bool(result["failures"]))


if __name__ == "__main__":
    main()
