"""What each part of the built-in text encoder brings, alone and blended with TF-IDF + SVM; beside the hashed encoder.

python benchmarks/text_encoder.py DATA_FOLDER [DATA_FOLDER ...] --seeds 3 --out benchmarks/results/text_encoder

Settings are the defaults of `train`. The weight of the SVM in the blend is chosen on validation. Times are of the
processor.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import sklearn
import torch
from scipy.special import expit, logit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from labelcontrast.data.batches import dense_truth, encode_labels, prepare
from labelcontrast.encoders.base import Encoder
from labelcontrast.encoders.embedded import HashedEncoder, LatentSemanticEncoder
from labelcontrast.losses.registry import loss_row
from labelcontrast.metrics.measures import compute_metrics
from labelcontrast.metrics.ranking import mean_average_precision
from labelcontrast.probes.thresholds import choose_thresholds
from labelcontrast.reports.tables import Cell, Table, as_markdown
from labelcontrast.run.evaluation import compute_split_features, fit_classifier
from labelcontrast.run.fitting import train_encoder
from labelcontrast.run.inputs import RunData, RunInputs, load_data
from labelcontrast.run.machine import seeded
from labelcontrast.run.model import classify
from labelcontrast.settings import RunSettings

Scores = dict[str, np.ndarray]
Record = dict[str, str | int | float]
HELD_OUT = ("val", "test")
METRICS = {"micro_f1": "micro-F1", "macro_f1": "macro-F1", "map_macro": "mAP"}
SVM = "TF-IDF + SVM"
WEIGHTS = np.linspace(0, 1, 11)


def hashed(texts: Sequence[str]) -> Encoder:  # noqa: ARG001
    """Build the encoder that has none of the parts: the mean of random vectors."""
    return HashedEncoder()


def fitted(**settings: int) -> Callable[[Sequence[str]], LatentSemanticEncoder]:
    """Return a function that builds the latent semantic encoder and fits it on texts."""

    def build(texts: Sequence[str]) -> LatentSemanticEncoder:
        encoder = LatentSemanticEncoder(**settings)  # type: ignore[arg-type]
        encoder.fit(texts)
        return encoder

    return build


def untrained_table(texts: Sequence[str]) -> Encoder:
    """Build the encoder with a table that training does not change."""
    encoder = fitted()(texts)
    encoder.table.requires_grad_(requires_grad=False)
    return encoder


def random_table(texts: Sequence[str]) -> Encoder:
    """Build the encoder with document frequencies, but random vectors of the same scale."""
    encoder = fitted()(texts)
    with torch.no_grad():
        encoder.table.weight.normal_()
        encoder.centre.zero_()
    return encoder


ENCODERS: dict[str, Callable[[Sequence[str]], Encoder]] = {
    "hashed": hashed,
    "lsa, random table": random_table,
    "lsa, table not trained": untrained_table,
    "lsa": fitted(),
    "lsa, dim 128": fitted(dim=128),
    "lsa, 65,536 rows": fitted(rows=2**16),
}


def fit_svm(texts: dict[str, Sequence[str]], train: np.ndarray) -> Scores:
    """Compute the margins of a linear SVM for each label, on words and word pairs of at least two texts."""
    vectoriser = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    rows = vectoriser.fit_transform(texts["train"])
    held_out = {name: vectoriser.transform(texts[name]) for name in HELD_OUT}
    margins = {name: np.full((one.shape[0], train.shape[1]), -1.0) for name, one in held_out.items()}
    for label, target in enumerate(train.T):
        if 0 < target.sum() < len(target):
            svm = LinearSVC(random_state=0).fit(rows, target)
            for name, one in held_out.items():
                margins[name][:, label] = svm.decision_function(one)
    return margins


def train(data: RunData, settings: RunSettings, name: str) -> Scores:
    """Train one encoder with the settings, and compute the logits of its probe or head."""
    splits = data.splits
    with TemporaryDirectory() as folder, seeded(settings.seed):
        encoder = ENCODERS[name](splits.train.inputs)
        prepared = {part: prepare(encoder, one, splits.vocabulary) for part, one in splits.by_name.items()}
        inputs = RunInputs(data, encoder, prepared)
        trained = train_encoder(settings, loss_row(settings.loss.name).kind, inputs, folder)
        features = compute_split_features(Path(folder) / "features.safetensors", inputs, with_train=True)
        classifier = trained.classifier or fit_classifier(settings.evaluation, inputs, features, seed=settings.seed)
        probabilities = {part: classify(classifier, features[part]).astype(np.float64) for part in HELD_OUT}
    return {part: logit(one.clip(1e-7, 1 - 1e-7)) for part, one in probabilities.items()}


def blend(first: Scores, second: Scores, truth: Scores) -> tuple[Scores, float]:
    """Blend two scores of deviation 1 with the weight of the second that has the best mAP on validation."""

    def blended(weight: float) -> Scores:
        return {
            part: (1 - weight) * first[part] / first["val"].std() + weight * second[part] / second["val"].std()
            for part in HELD_OUT
        }

    weight = max(WEIGHTS, key=lambda one: mean_average_precision(truth["val"], blended(one)["val"]))
    return blended(weight), float(weight)


def measure(scores: Scores, truth: Scores, prefix: str = "") -> dict[str, float]:
    """Measure the test scores with one threshold chosen on validation; and mAP on validation."""
    probabilities = {part: expit(one) for part, one in scores.items()}
    decided = choose_thresholds("global", truth["val"], probabilities["val"]).predict(probabilities["test"])
    found = compute_metrics(truth["test"], probabilities["test"], decided)
    values = {name: found[name] for name in METRICS} | {"val_map": mean_average_precision(truth["val"], scores["val"])}
    return {f"{prefix}{name}": round(100 * value, 2) for name, value in values.items()}


def measure_data(folder: str, losses: Sequence[str], names: Sequence[str], seeds: int) -> list[Record]:
    """Measure the SVM once, and each encoder with each loss and seed."""
    records: list[Record] = []
    data = load_data(RunSettings.build({"data": folder}))
    splits, title = data.splits, Path(folder).name
    truth = {part: dense_truth(*encode_labels(one, splits.vocabulary)) for part, one in splits.by_name.items()}
    start = time.process_time()
    svm = fit_svm({part: one.inputs for part, one in splits.by_name.items()}, truth["train"])
    seconds = time.process_time() - start
    records.append({"data": title, "encoder": SVM, "seconds": round(seconds, 1), **measure(svm, truth)})
    for loss, name, seed in product(losses, names, range(seeds)):
        settings = RunSettings.build({"data": folder, "seed": seed, "loss": {"name": loss}})
        start = time.process_time()
        scores = train(data, settings, name)
        seconds = round(time.process_time() - start, 1)
        both, weight = blend(scores, svm, truth)
        alone = {"data": title, "encoder": name, "loss": loss, "seed": seed, "seconds": seconds, "weight": weight}
        records.append({**alone, **measure(scores, truth), **measure(both, truth, "blend_")})
        print(records[-1], flush=True)
    return records


def table(records: Sequence[Record]) -> str:
    """Return means over the seeds as a table, the encoders of each set and loss below each other."""
    columns = [*METRICS, *(f"blend_{name}" for name in METRICS), "seconds"]
    titles = [*METRICS.values(), *(f"blend {title}" for title in METRICS.values()), "seconds"]
    keys = dict.fromkeys((record["data"], record.get("loss", ""), record["encoder"]) for record in records)
    rows = []
    for key in keys:
        own = [one for one in records if (one["data"], one.get("loss", ""), one["encoder"]) == key]
        values = ([float(one[name]) for one in own if name in one] for name in columns)
        rows.append(
            tuple(Cell(str(text)) for text in key) + tuple(Cell(f"{np.mean(one):.1f}" if one else "") for one in values)
        )
    return as_markdown(Table(("data", "loss", "encoder", *titles), tuple(rows), texts=3))


def main() -> None:
    """Measure, and write a JSON file and a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--losses", default="reg")
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS), choices=list(ENCODERS))
    parser.add_argument("--out", required=True, help="path without a suffix; records of an earlier call are kept")
    parser.add_argument("--note", default="", help="a sentence below the table")
    given = parser.parse_args()
    path = Path(f"{given.out}.json")
    before = json.loads(path.read_text())["records"] if path.exists() else []
    records = list(before)
    for folder in given.data:
        fresh = measure_data(folder, given.losses.split(","), given.encoders, given.seeds)
        places = [place(one) for one in fresh]
        records = [one for one in records if place(one) not in places] + fresh
        versions = {"torch": torch.__version__, "scikit-learn": sklearn.__version__}
        origin = {"date": datetime.now(UTC).date().isoformat(), "threads": torch.get_num_threads(), **versions}
        write(path, records, origin, given.note)


def write(path: Path, records: Sequence[Record], origin: dict[str, str | int], note: str) -> None:
    """Write the records, and the table with the number of seeds and the origin below it."""
    path.write_text(json.dumps({"origin": origin, "note": note, "records": records}, indent=1) + "\n")
    seeds = len({record["seed"] for record in records if "seed" in record})
    below = ", ".join(f"{name} {value}" for name, value in {"seeds": seeds, **origin}.items())
    path.with_suffix(".md").write_text(f"{table(records)}\n\n{below}. {note}".rstrip() + "\n")


def place(record: Record) -> tuple[str | int | float, ...]:
    """Return what identifies a record."""
    return tuple(record.get(name, "") for name in ("data", "encoder", "loss", "seed"))


if __name__ == "__main__":
    main()
