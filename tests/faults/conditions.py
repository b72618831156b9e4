"""Commands on a machine that is not as it should be: they refuse in one line, and end well once it is.

    python tests/faults/conditions.py --each 5 --out conditions.json
    python tests/faults/conditions.py --only "a full disk"

Each command of ``kill.py`` meets each condition ``--each`` times, at other moments, sizes and files. Where it does not
end as on a sound machine, it must say so in one line and exit with 1. Then it is continued without the condition, and
must leave the files that it leaves without any. What it cannot mend it must name, and ``--force`` must begin anew.
"""

import argparse
import ctypes
import json
import os
import pwd
import random
import re
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from faults.kill import COMMANDS, LONGEST, Command, Place, contents, differences, reference, wait
from labelcontrast.encoders.cache import saved_arrays
from labelcontrast.errors import RunError
from labelcontrast.files import read_json, write_json
from labelcontrast.run.folder import FEATURES, MANIFEST, MODEL_FILES, check_files
from labelcontrast.run.machine import describe_origin

SMALLEST = 20_000
"""Bytes of the smallest disk: what a command prints has room."""


@dataclass(frozen=True)
class Trial:
    """A command that is to meet a condition once."""

    place: Place
    what: Command
    chance: random.Random
    seconds: float
    """What the command takes."""
    largest: int
    """Bytes of the largest file that it writes."""

    def start(self, disturb: Callable[[], object] = lambda: None) -> int:
        """Start the command."""
        return self.place.start(self.what.words, disturb=disturb)

    def moment(self) -> float:
        """Return a moment while the command is at work, in seconds."""
        return self.chance.uniform(0, 1) * self.seconds

    def files(self) -> list[Path]:
        """Return what the command has written, in an order that does not change."""
        out = self.place.out
        return sorted(path for path in [*out.parent.glob(f"{out.name}*"), *out.rglob("*")] if path.is_file())

    def folders(self) -> list[Path]:
        """Return the folders in which the command writes."""
        return [self.place.folder, *(path for path in [self.place.out, *self.place.out.rglob("*")] if path.is_dir())]


def full_disk(trial: Trial) -> list[int]:
    """Let every write fail that makes a file larger than a random size."""
    most = int(trial.chance.uniform(SMALLEST, trial.largest + SMALLEST))

    def disturb() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    return [trial.start(disturb)]


def no_right(trial: Trial) -> list[int]:
    """Take the right to write away from the folders, at the begin or at a moment of the work."""
    child = trial.start(become_ordinary)
    time.sleep(trial.chance.choice([0, trial.moment()]))
    for path in trial.folders():
        path.chmod(0o555)
    return [child]


def removed(trial: Trial) -> list[int]:
    """Remove a file that the command has written, while it goes on."""
    child = trial.start()
    time.sleep(trial.moment())
    if files := trial.files():
        trial.chance.choice(files).unlink(missing_ok=True)
    return [child]


def damaged(trial: Trial) -> list[int]:
    """Kill the command, and cut or change a file that it has written."""
    wait(trial.start(), trial.moment())
    if files := [path for path in trial.files() if path.stat().st_size]:
        path = trial.chance.choice(files)
        content = bytearray(path.read_bytes())
        at = trial.chance.randrange(len(content))
        content[at] ^= 1 << trial.chance.randrange(8)
        path.write_bytes(content[:at] if trial.chance.random() < 0.5 else content)
    return []


def two_processes(trial: Trial) -> list[int]:
    """Start the command again, into the same folder, while it is at work."""
    first = trial.start()
    time.sleep(trial.moment())
    return [first, trial.start()]


def clock_back(trial: Trial) -> list[int]:
    """Kill the command, and go back to the day before."""
    wait(trial.start(), trial.moment())
    for path in trial.files():
        os.utime(path, (time.time() + 86_400,) * 2)
    return []


def no_home(trial: Trial) -> list[int]:
    """Run the command as a user without a name and a home."""

    def disturb() -> None:
        for name in ("HOME", "USER", "LOGNAME", "XDG_CACHE_HOME", "LABELCONTRAST_CACHE"):
            os.environ.pop(name, None)
        pwd.getpwuid = lambda number: {}[number]

    return [trial.start(disturb)]


CONDITIONS: dict[str, Callable[[Trial], list[int]]] = {
    "a full disk": full_disk,
    "no right to write": no_right,
    "a file removed in use": removed,
    "a file damaged after a kill": damaged,
    "two processes at once": two_processes,
    "a clock set back": clock_back,
    "no home": no_home,
}


def become_ordinary() -> None:
    """Give up the power of the superuser to write where the rights of a file forbid it."""
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    ctypes.CDLL(None, use_errno=True).capset(header, none)


def measure(place: Place, name: str, each: int, seed: int, only: str | None = None) -> Iterator[tuple[str, str]]:
    """Let a command meet each condition this often; yield its name with ``held``, ``refused``, or what went wrong."""
    what = COMMANDS[name]
    expected, seconds = reference(place, what)
    largest = max(path.stat().st_size for path in Trial(place, what, random.Random(), 0, 0).files())
    for condition, number in product([only] if only else CONDITIONS, range(each)):
        place.clear()
        if what.first:
            place.finish(what.first)
        trial = Trial(place, what, random.Random(f"{name} {condition} {seed} {number}"), seconds, largest)
        ends = [_ended(place, child) for child in CONDITIONS[condition](trial)]
        for path in trial.folders():
            path.chmod(0o755)
        outcome = next((problem for _, problem in ends if problem), None) or _continued(trial, expected)
        yield condition, outcome if outcome in {"held", "refused"} else f"{name}, {number}: {outcome}"


def _ended(place: Place, child: int) -> tuple[int, str | None]:
    """Wait for a command; return its exit code, and what is wrong with how it ended."""
    code, hangs = wait(child, LONGEST)
    said = place.said(child)
    if hangs:
        return code, "hangs"
    if code not in {0, 1} or "Traceback" in said:
        return code, f"exit {code}: {said[-300:]}"
    last = said.splitlines()[-1:]
    return code, None if code == 0 or (last and last[0].startswith("labelcontrast: ")) else f"says {last}"


def _continued(trial: Trial, expected: dict[str, Any]) -> str:
    """Continue the command on a sound machine, from the beginning if it refuses to."""
    place, what, outcome = trial.place, trial.what, "held"
    child = place.start(what.again if place.out.exists() else what.words)
    code, problem = _ended(place, child)
    if problem:
        return problem
    if code:
        child = place.start((*what.words, *(["--force"] if place.out.is_dir() else [])))
        code, problem = _ended(place, child)
        if code and re.search(r"is not a (run|comparison|study|search); choose another folder\.", place.said(child)):
            return "refused"  # what made it one of our results is gone: nothing in it is removed
        if code:
            return f"cannot begin anew: {problem or place.said(child).splitlines()[-1:]}"
        outcome = "refused"
    judged = [_judged(place.out.parent, found) for found in differences(expected, contents(place.out))]
    problem = next((one for one in judged if one not in {"held", "refused"}), None)
    return problem or ("refused" if "refused" in judged else outcome)


def _judged(folder: Path, found: str) -> str:
    """Judge a file of a run that had ended: it is refused when it is used, or missing and no part of the model.

    A run without its manifest is one that its user chose to read unchecked: the refusals say so.
    """
    path = Path(found.rsplit(" is ", 1)[0])
    if path.name == MANIFEST and found.endswith(" is missing"):
        return "held"
    run = next((folder / above for above in path.parents if (folder / above / MANIFEST).exists()), None)
    if run is None:
        return found
    name = (folder / path).relative_to(run).parts[0]
    try:
        check_files(run, [name])
        if name == FEATURES:
            saved_arrays(run / FEATURES)
    except RunError:
        return "refused"
    return "held" if found.endswith(" is missing") and name not in MODEL_FILES else found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=3, help="How often each command meets each condition.")
    parser.add_argument("--only", choices=CONDITIONS, help="The condition; by default all.")
    parser.add_argument("--command", choices=COMMANDS, help="The command; by default all.")
    parser.add_argument("--seed", type=int, default=0, help="Of moments, sizes and files.")
    parser.add_argument("--out", type=Path, help="JSON file for the figures; an earlier one is continued.")
    given = parser.parse_args()
    found: dict[str, Any] = read_json(given.out)["commands"] if given.out and given.out.exists() else {}
    for name in [given.command] if given.command else COMMANDS:
        if name in found:
            continue
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            outcomes = list(measure(Place(Path(folder)), name, given.each, given.seed, given.only))
        failures = [f"{condition}, {one}" for condition, one in outcomes if one not in {"held", "refused"}]
        counts = {condition: Counter[str]() for condition, _ in outcomes}
        for condition, one in outcomes:
            counts[condition][one if one in {"held", "refused"} else "failed"] += 1
        found[name] = {**counts, "failures": failures, "seconds": round(time.monotonic() - begun)}
        sys.stdout.write(f"{name}: {json.dumps(found[name])}\n")
        sys.stdout.flush()
        if given.out:
            write_json(given.out, {"commands": found, "each": given.each, "seed": given.seed, **describe_origin()})
    sys.exit(any(one["failures"] for one in found.values()))


if __name__ == "__main__":
    main()
