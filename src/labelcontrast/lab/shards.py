"""Predictions, embeddings or measures of a folder of files by one run: a file at a time, here or on a Ray cluster.

shards.json    the run, and what is computed
shards/        the store of records, one a file
NAME.jsonl     the predictions for the file NAME, or for NAME.jsonl; in NAME.parquet its embeddings,
               and in NAME.safetensors its labels, scores and predictions, which are measured together

A file of the folder, a shard, is computed as a trial of a study is: claimed, run in a process or on the cluster, again
if that process dies, and recorded. Its output is written whole under its name before the record, so that a command
that was killed and is resumed leaves one output of every shard, with each of its examples once.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeAlias

from labelcontrast.data.examples import Examples, SplitName
from labelcontrast.data.readers import data_files
from labelcontrast.data.table import listed
from labelcontrast.errors import DataError, LabelContrastError, RunError
from labelcontrast.files import Layout, checksum, read_json, whole_file, write_json
from labelcontrast.lab.pipeline import Options, Progress, claim_folder
from labelcontrast.lab.trials import Record, Store
from labelcontrast.lab.workers import Event, run_at
from labelcontrast.metrics.measures import Outputs
from labelcontrast.progress import steps
from labelcontrast.run.evaluation import ModelEvaluation, check_labelled, compute_outputs, measure_outputs
from labelcontrast.run.folder import MANIFEST, load_settings, load_training_labels
from labelcontrast.run.inputs import read_given, with_transfer_data
from labelcontrast.run.model import TrainedModel, load, save_embeddings, save_predictions

SHARDS, RECORDS = "shards.json", "shards"
Verb: TypeAlias = Literal["predict", "embed", "evaluate"]
SUFFIXES: dict[Verb, str] = {"predict": ".jsonl", "embed": ".parquet", "evaluate": ".safetensors"}
LAYOUT = Layout(
    kind="folder of shards",
    marker=SHARDS,
    keys={"run", "verb", "top", "split"},
    entries=(SHARDS, RECORDS, *(f"*{suffix}" for suffix in SUFFIXES.values())),
)
FIXED = {"version": "run", "verb": "labelcontrast", "top": "--top", "split": "--split"}
"""Keys of ``shards.json`` that must not change when a folder is resumed, with their names."""


@dataclass(frozen=True)
class Shard:
    """A file of inputs and the file of its output."""

    key: str
    """Its name in the store: a hash of its name, size and time."""
    path: Path
    out: Path

    @property
    def title(self) -> str:
        """The name of the file."""
        return self.path.name

    @property
    def claim_key(self) -> str:
        """The name of its claim."""
        return self.key


@dataclass(frozen=True)
class ShardRunner:
    """Computes the output of a shard; can be pickled for another process, which loads the run once."""

    run: Path
    verb: Verb
    top: int | None = None
    split: SplitName = "test"
    """The rows that are evaluated, where the files tell the split of each."""

    def __call__(self, shard: Shard) -> Record:
        """Write the output and return the record; what is wrong with the shard is recorded as one line."""
        begun = time.monotonic()
        record: Record = {"title": shard.title}
        shard.out.unlink(missing_ok=True)  # that of the file as it was before
        try:
            model = _loaded(self.run.absolute())
            examples = self._read(shard.path, model)
            if self.verb == "evaluate":
                check_labelled(model, examples)
                if len(examples):
                    compute_outputs(model, examples).save(shard.out)
            else:
                with whole_file(shard.out) as file:
                    if self.verb == "predict":
                        save_predictions(model, examples, file, top=self.top)
                    else:
                        save_embeddings(model, examples, file)
            record["examples"] = len(examples)
        except LabelContrastError as error:
            record["error"] = str(error)
        return {**record, "seconds": time.monotonic() - begun}

    def _read(self, path: Path, model: TrainedModel) -> Examples:
        settings = load_settings(self.run)
        if self.verb != "evaluate":
            return read_given(path, settings.columns)
        examples = read_given(path, with_transfer_data(settings).columns, split=self.split)
        return examples.with_labels(model.vocabulary.column) if settings.label_fraction < 1 else examples


def run_shards(
    source: str | Path, out: str | Path, perform: ShardRunner, options: Options, progress: Progress
) -> tuple[int, int]:
    """Compute the outputs of every data file of a folder that the output folder lacks.

    Args:
        source: The folder of files, each in a format that the run reads.
        out: The folder of the outputs.
        perform: Computes one, with the run.
        options: Where and how many at a time; ``resume`` keeps the outputs that are there, of files that are as before.
        progress: Reports them.

    Returns: The numbers of files and of their examples.

    Raises:
        DataError: The folder has no data file, or no example of the split.
        RunError: Earlier outputs are of another run or verb, or of a file that is gone; or files could not be computed,
            the first of which is named when all others have been.
    """
    source, out = Path(source), Path(out)
    load_settings(perform.run)  # refused before anything is written
    shards = _find_shards(source, out, suffix=SUFFIXES[perform.verb])
    others = {path.name for path in source.iterdir()} - {shard.title for shard in shards}
    if unread := sorted(name for name in others if name[0] != "."):
        progress.say(f"not read: {listed(unread, most=3)}")
    with claim_folder(out, LAYOUT, options, title=f"results of labelcontrast {perform.verb}") as hold:
        made: Record = {"run": str(perform.run), "version": checksum(perform.run / MANIFEST)}
        made |= {"verb": perform.verb, "top": perform.top, "split": perform.split}
        if hold.resumes:
            _refuse_others(out, made, shards)
        write_json(out / SHARDS, made)
        hold.share()
        store, by_key = Store(out / RECORDS), {shard.key: shard for shard in shards}
        for shard in shards:
            record = store.read(shard.key)
            if record and ("error" in record or (record["examples"] and not shard.out.exists())):
                store.remove(shard.key)
        progress.start(shards, store)
        with steps("shards", sum(not store.has(shard.key) for shard in shards)) as advance:

            def on_event(event: Event) -> None:
                if event.kind == "ended":
                    progress.ended(by_key[event.key], store.read(event.key) or {})
                    advance(1)

            run_at(options.ray)(shards, store, perform, jobs=options.jobs, on_event=on_event)
        records = [store.read(shard.key) or {} for shard in shards]
    if failed := [record for record in records if "error" in record]:
        number = f"{len(failed)} of {len(records)} files have no output; --resume tries them again"
        raise RunError(f"{number}. The first: {failed[0]['error']}")
    if not (examples := sum(record["examples"] for record in records)):
        raise DataError(f'no example is of the split "{perform.split}".', path=source)
    return len(records), examples


def measure_shards(run: str | Path, out: str | Path) -> ModelEvaluation:
    """Compute the metrics of all outputs that ``run_shards`` has left in a folder, as ``evaluate`` does.

    Measures of predictions are the same; those of rankings are of scores with three digits of their log-odds.
    """
    outputs = (Outputs.load(path) for path in sorted(Path(out).glob(f"*{SUFFIXES['evaluate']}")))
    return measure_outputs(load(run), outputs, train=load_training_labels(run))


def describe_shard(record: Record) -> str:
    """Return the result of a shard in a few words."""
    return f"failed: {record['error']}" if "error" in record else f"{record['examples']:,} examples"


@lru_cache(maxsize=1)
def _loaded(run: Path) -> TrainedModel:
    return load(run)


def _find_shards(source: Path, out: Path, *, suffix: str) -> list[Shard]:
    if not source.is_dir():
        raise DataError("expected a folder of files, one a shard.", path=source)
    if source.resolve() == out.resolve():
        raise RunError(f"--out {out} is the folder that is read; choose another name.")
    files = data_files(source)
    if not files:
        raise DataError("there is no data file in the folder.", path=source)
    shards = []
    for path in files:
        facts = path.stat()
        key = checksum(f"{path.name}\0{facts.st_size}\0{facts.st_mtime_ns}".encode())
        shards.append(Shard(key, path.absolute(), (out / (path.name.removesuffix(suffix) + suffix)).absolute()))
    names = [shard.out.name for shard in shards]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"two files would have the output {listed(twice, most=1)}; rename one.", path=source)
    return shards


def _refuse_others(out: Path, made: Record, shards: Sequence[Shard]) -> None:
    """Refuse to continue what was made otherwise, or beside outputs of files that are gone."""
    before = read_json(out / SHARDS)
    for key, name in FIXED.items():
        if before[key] != made[key]:
            what = "another state of the run" if key == "version" else f"{name} {before[key] or 'left out'}"
            raise RunError(f"{out} was made with {what}; use --force to begin anew, or another --out.")
    suffix, known = SUFFIXES[made["verb"]], {shard.out.name for shard in shards}
    if gone := sorted({path.name for path in out.glob(f"*{suffix}")} - known):
        raise RunError(
            f"{out} holds {listed(gone, most=3)}, of files that are gone; remove them, or use another --out."
        )
