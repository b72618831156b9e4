"""The folder of a run: what is in it, how it is claimed, written and read again, with no pickle.

config.toml         every setting, resolved
labels.json         the vocabulary, in the order of the score columns
hierarchy.json      what is above each label, where there is a hierarchy: its first nodes are the labels
encoder/            the encoder's own files (configuration, tokenizer) and settings.json
model.safetensors   weights of the encoder and of the linear classifier on it
features.safetensors the embeddings of all examples, for stages that are repeated
thresholds.json     probability -> label
metrics.json        metrics of validation and test, facts, versions, the command
per_label.json      the per-label table of the test split
per_node.json       every node of the hierarchy with its F1 on the test split
test.safetensors    scores, labels and predictions of every test example
history.csv         loss, validation score and learning rate by epoch
map.json            the map of embeddings
report.html         the page made of all these
README.md           the model card
checkpoints/        best and last, for resuming
finetuning/         history and checkpoints of a second stage
epochs-N/           those of each number of epochs, where several were tried
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from torch import Tensor

from labelcontrast.encoders.base import Encoder
from labelcontrast.encoders.registry import load_encoder
from labelcontrast.errors import ConfigError, DataError, LabelError, RunError
from labelcontrast.files import is_claimed, read_json, whole_file, write_json
from labelcontrast.labels.hierarchy_files import read_hierarchy, write_hierarchy
from labelcontrast.labels.tree import LabelTree
from labelcontrast.labels.vocabulary import LabelVocabulary
from labelcontrast.metrics.counting import TrainingLabels
from labelcontrast.probes.calibration import Calibration
from labelcontrast.probes.linear import Classifier, build_classifier
from labelcontrast.probes.thresholds import Thresholds
from labelcontrast.run.hierarchy_use import Decoder
from labelcontrast.settings import RunSettings, flatten, read_settings

CONFIG, METRICS, MODEL = "config.toml", "metrics.json", "model.safetensors"
CALIBRATION = "calibration.json"
LABELS, THRESHOLDS, ENCODER, CHECKPOINTS = "labels.json", "thresholds.json", "encoder", "checkpoints"
PER_LABEL, SCATTER, REPORT = "per_label.json", "map.json", "report.html"
HIERARCHY, PER_NODE = "hierarchy.json", "per_node.json"
FEATURES, OUTPUTS = "features.safetensors", "test.safetensors"
REPEATED = ("evaluation.", "hierarchy.consistency", "hierarchy.decoding", "transfer_to")
"""Settings of the stages after the training, which can be repeated alone."""


@dataclass(frozen=True)
class TrainedModel:
    """All that prediction needs."""

    encoder: Encoder
    classifier: Classifier
    vocabulary: LabelVocabulary
    thresholds: Thresholds
    calibration: Calibration | None = None
    decoder: Decoder | None = None
    """What scores and label sets owe to a hierarchy, where there is one."""

    def decide(self, scores: Float[np.ndarray, "examples labels"]) -> Bool[np.ndarray, "examples labels"]:
        """Predict label sets from the scores of this model."""
        return self.thresholds.predict(scores) if self.decoder is None else self.decoder.decide(scores, self.thresholds)


def claim(folder: Path, settings: RunSettings, *, resume: bool, force: bool) -> None:
    """Make sure that a run may write here, before anything is read or computed.

    Args:
        folder: the run folder to be.
        settings: of the run that asks.
        resume: go on with the same run where it is there.
        force: another run may be removed, which ``make_room`` does; never a folder that is not a run.

    Raises:
        RunError: when the folder holds something and neither switch allows it.
        ConfigError: when the run to be resumed had other settings, but for those of what comes after the training,
            which can be repeated; it names the first that differs.
    """
    if is_claimed(folder, CONFIG, "run", named="a run already", resume=resume, force=force) and not force:
        _refuse_other_settings(folder, settings)


def make_room(folder: Path, *, force: bool) -> None:
    """Remove the run that is there where that was asked for; called once nothing can be refused any more."""
    if force and (folder / CONFIG).exists():
        shutil.rmtree(folder)


def reopen(folder: Path) -> None:
    """Take back what a run came to, where its last stages are to be repeated; what they start from stays."""
    for name in (METRICS, REPORT, CALIBRATION, HIERARCHY, PER_NODE):
        (folder / name).unlink(missing_ok=True)


def copy_course(training: Path, folder: Path) -> None:
    """Copy the histories of a training that is kept elsewhere; its checkpoints and features stay there."""
    shutil.copytree(training, folder, ignore=shutil.ignore_patterns(CHECKPOINTS, FEATURES), dirs_exist_ok=True)


def is_finished(folder: Path) -> bool:
    """Say whether the run came to its metrics, which are written last."""
    return (folder / METRICS).exists()


def save_model(folder: Path, model: TrainedModel) -> None:
    """Write everything that prediction needs."""
    model.vocabulary.save(folder / LABELS)
    model.thresholds.save(folder / THRESHOLDS)
    if model.calibration is not None:
        model.calibration.save(folder / CALIBRATION)
    if model.decoder is not None:
        write_hierarchy(model.decoder.tree.nodes, folder / HIERARCHY)
    try:
        model.encoder.save_assets(folder / ENCODER)
    except OSError as error:
        message = f"{folder / ENCODER} could not be written: {error.strerror or error}."
        raise RunError(message) from error
    write_json(folder / ENCODER / "settings.json", model.encoder.settings())
    weights = {f"encoder.{name}": value for name, value in model.encoder.state_dict().items()}
    weights |= {f"classifier.{name}": value for name, value in model.classifier.state_dict().items()}
    with whole_file(folder / MODEL) as file:
        file.write(safetensors.torch.save({name: value.contiguous().cpu() for name, value in weights.items()}))


def load_model(folder: Path) -> TrainedModel:
    """Read a trained model back; nothing is downloaded and no code is run from the folder.

    Raises:
        RunError: when the folder is not a finished run, or its files do not fit one another.
    """
    if not (folder / MODEL).exists():
        message = f"{folder} {_what_it_is(folder)}."
        raise RunError(message)
    try:
        weights = safetensors.torch.load_file(folder / MODEL)
        encoder = load_encoder(folder / ENCODER, read_json(folder / ENCODER / "settings.json"))
        encoder.load_state_dict(_part(weights, "encoder."))
        classifier = build_classifier(**_part(weights, "classifier."))
        vocabulary = LabelVocabulary.load(folder / LABELS)
        thresholds = Thresholds.load(folder / THRESHOLDS)
        calibrated = (folder / CALIBRATION).exists()
        calibration = Calibration.load(folder / CALIBRATION) if calibrated else None
        decoder = _load_decoder(folder, vocabulary)
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError, DataError) as error:
        message = f"{folder} is damaged: {str(error).splitlines()[0]}"
        raise RunError(message) from error
    sizes = len(vocabulary), len(thresholds.values), classifier.out_features
    if len(set(sizes)) > 1:
        message = f"{folder} is damaged: {sizes[0]} labels, {sizes[1]} thresholds and {sizes[2]} rows of weights."
        raise RunError(message)
    return TrainedModel(encoder.eval(), classifier.eval(), vocabulary, thresholds, calibration, decoder)


def _load_decoder(folder: Path, vocabulary: LabelVocabulary) -> Decoder | None:
    """Read the hierarchy of a run, where it has one, and what its settings make of it."""
    if not (folder / HIERARCHY).exists():
        return None
    nodes = read_hierarchy(folder / HIERARCHY)
    if nodes.names[: len(vocabulary)] != vocabulary.names:
        raise LabelError("the first nodes are not the labels of the run.", path=folder / HIERARCHY)
    return Decoder(LabelTree(nodes, len(vocabulary)), load_settings(folder).hierarchy)


def load_training_labels(folder: Path) -> TrainingLabels | None:
    """Read how frequent the labels were in training, from the results of a run; None where these are not there."""
    if not (folder / PER_LABEL).exists() or not is_finished(folder):
        return None
    counts = [row["train_count"] for row in read_json(folder / PER_LABEL)]
    return TrainingLabels(np.array(counts), read_json(folder / METRICS)["examples"]["train"])


def drop_weights(folder: Path) -> None:
    """Keep the results of a finished run and remove weights and features, which are large."""
    for name in (MODEL, FEATURES):
        (folder / name).unlink(missing_ok=True)
    for part in (folder / ENCODER, *folder.rglob(CHECKPOINTS)):
        shutil.rmtree(part, ignore_errors=True)


def load_settings(folder: Path) -> RunSettings:
    """Read the settings of a run.

    Raises:
        RunError: when the folder is not a run.
    """
    if not (folder / CONFIG).exists():
        message = f"{folder} is not a run: it has no {CONFIG}."
        raise RunError(message)
    return RunSettings.build(read_settings(folder / CONFIG))


def _what_it_is(folder: Path) -> str:
    """Say why there is no model in a folder."""
    if not (folder / CONFIG).exists():
        return "is not a run"
    return (
        "has results only; its weights were not kept"
        if is_finished(folder)
        else "is not finished; train --resume goes on"
    )


def _part(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Pick the weights of one module."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _refuse_other_settings(folder: Path, settings: RunSettings) -> None:
    """Compare what was with what is asked, field by field, but for what comes after the training."""
    old, new = (flatten(one.model_dump(mode="json")) for one in (load_settings(folder), settings))
    for name in [*new, *(name for name in old if name not in new)]:
        if old.get(name) != new.get(name) and not name.startswith(REPEATED):
            message = (
                f"{folder} was run with {name} = {old.get(name)!r}, not {new.get(name)!r}; it cannot be resumed so."
            )
            raise ConfigError(message)
