"""The inputs of a run: the data as splits, their labels multi-hot, and an encoder that fits them."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from labelcontrast.data.batches import Prepared, encode_labels, prepare
from labelcontrast.data.columns import ColumnNames
from labelcontrast.data.examples import Examples, SplitName
from labelcontrast.data.readers import read_as
from labelcontrast.data.relabelling import add_label, read_examples_of, relabel_splits
from labelcontrast.data.splits import Splits, load_splits
from labelcontrast.encoders.base import Encoder, Kind, TextEncoder
from labelcontrast.encoders.cache import content_key
from labelcontrast.encoders.frozen import FrozenEncoder
from labelcontrast.encoders.pretrained import find_installed
from labelcontrast.encoders.registry import make_encoder
from labelcontrast.errors import ConfigError, DataError, LabelError, nearest
from labelcontrast.files import cache_folder
from labelcontrast.labels.hierarchy import Hierarchy, LabelTree
from labelcontrast.metrics.counting import Matrix
from labelcontrast.run.hierarchy import UnseenLeaves, close_splits, find_hierarchy, hold_out
from labelcontrast.settings import (
    AUTO,
    EMBEDDED,
    EMBEDDED_ENCODERS,
    ColumnSettings,
    Effort,
    EncoderSettings,
    LabelChange,
    RunSettings,
)

EPOCHS: dict[tuple[Effort, Kind], int] = {
    ("standard", "text"): 5,
    ("quick", "text"): 2,
    ("quick", "image"): 5,
    ("quick", "vector"): 5,
}
"""Passes over the training examples that an encoder makes which learns from scratch, where fewer than usual do."""
FINE_TUNING_EPOCHS = 4
"""Passes of an encoder that the effort ``best`` fine-tunes."""
COUNTED_TEXTS = 2000
"""Texts whose tokens are counted to say what is cut."""
HELD_OUT: tuple[SplitName, ...] = ("val", "test")
"""Splits that no view is fitted on."""
OnMessage = Callable[[str], None]
"""Receives a sentence about the progress of a run."""


@dataclass(frozen=True)
class RunData:
    """The splits of the data, with the hierarchy over their labels where there is one."""

    splits: Splits
    tree: LabelTree | None = None
    source: str = ""
    """A sentence on the file and the size of the hierarchy."""
    unseen: UnseenLeaves | None = None
    """Test examples of leaves that are held out of all splits."""
    weights: Mapping[SplitName, NDArray[np.float64]] | None = None
    """The weight of each example, above 0, by split; by default each counts once."""

    def summary(self) -> list[str]:
        """Describe in sentences how the data were read and divided, their size, their hierarchy, and any warnings."""
        splits = self.splits
        sizes = ", ".join(f"{len(split):,} {name}" for name, split in splits.by_name.items())
        sizes += f", {len(self.unseen.examples):,} of unseen leaves" if self.unseen else ""
        sentences = [splits.train.understood, splits.how, f"{sizes}; {len(splits.vocabulary)} labels"]
        return [*sentences, *([self.source] if self.tree else []), *splits.warnings]


@dataclass(frozen=True)
class RunInputs:
    """The examples of each split as the encoder takes them, their labels, and the encoder."""

    data: RunData
    encoder: Encoder
    prepared: dict[str, Prepared]
    """Examples of ``train``, ``val`` and ``test``; and of ``unseen``, without labels, if leaves are held out."""
    lowest: sp.csr_array | None = None
    """The training labels without the ancestors of others, where the encoder is to be trained on them."""

    @property
    def splits(self) -> Splits:
        """The splits of the data."""
        return self.data.splits

    @property
    def train(self) -> Prepared:
        """The training split with the labels that the encoder is trained on."""
        train = self.prepared["train"]
        return train if self.lowest is None else replace(train, targets=self.lowest)

    def truth(self, split: str) -> Matrix:
        """Return the labels of a split as a matrix with dense blocks: 0 or 1, and NaN where a label is unknown."""
        return self.prepared[split].truth()

    def labels(self, split: str) -> sp.csr_array:
        """Return the labels of a split as a sparse matrix: 0 or 1, and 0 where a label is unknown."""
        labels = self.prepared[split].labels
        assert labels is not None
        return labels


def load_inputs(settings: RunSettings, on_message: OnMessage = lambda _: None, *, device: str = "cpu") -> RunInputs:
    """Read the data, encode their labels, and prepare the examples for an encoder of their kind.

    Args:
        settings: Settings of the run.
        on_message: Receives sentences about the encoder.
        device: Where the features of a frozen encoder are computed.

    Raises:
        LabelContrastError: The data or their hierarchy cannot be read, or do not fit the settings.
    """
    return prepare_inputs(settings, load_data(settings), on_message, device=device)


def resolve_settings(settings: RunSettings, kind: Kind, on_message: OnMessage = lambda _: None) -> RunSettings:
    """Choose what the encoder ``auto`` and the effort leave open, for data of one kind.

    Raises:
        ConfigError: An encoder is to be frozen, and no pretrained one is installed; or one without an adapter is not.
    """
    encoder, effort = settings.encoder, settings.effort
    name, frozen = encoder.name, encoder.frozen
    if name == AUTO:
        found = find_installed(kind) if effort != "quick" or frozen else None
        name = found or EMBEDDED
        if found is None and frozen:
            raise ConfigError(f"encoder.frozen needs a pretrained encoder. None for {kind} inputs is installed.")
        if found is None and not encoder.pretrained:
            raise ConfigError(f"encoder.pretrained=false needs an architecture. None for {kind} inputs is installed.")
        if frozen is None:
            frozen = found is not None and effort != "best" and encoder.pretrained
        if found:
            trained = "fine-tuned" if encoder.pretrained else "trained from random weights"
            network = "a network trained" if encoder.adapter else "no network"
            how = f"frozen, with {network} on its features" if frozen else trained
            on_message(f"encoder {name}, which is installed: {how}; --encoder embedded needs less time")
    if not encoder.adapter and not frozen:
        raise ConfigError("encoder.adapter=false needs encoder.frozen=true: it leaves out the network on the features.")
    values = settings.model_dump(exclude_unset=True)
    values["encoder"] = values.get("encoder", {}) | {"name": name, "frozen": bool(frozen)}
    embedded = name in EMBEDDED_ENCODERS
    if effort == "best" and (embedded or frozen):
        on_message("the effort best is the standard one here: there is no pretrained encoder to fine-tune")
        effort = "standard"
    fewer = EPOCHS.get((effort, kind)) if embedded or effort == "quick" else None
    epochs = FINE_TUNING_EPOCHS if effort == "best" else fewer
    return RunSettings.build(values).with_defaults({"training.epochs": epochs} if epochs else {})


def fit_settings(settings: RunSettings, on_message: OnMessage = lambda _: None) -> RunSettings:
    """Set what a run would find in its data: the columns, the encoder, and the number of epochs.

    Args:
        settings: What is given; it is kept.
        on_message: Receives sentences about the data and the encoder.

    Raises:
        LabelContrastError: As ``load_inputs``.
    """
    data = load_data(settings)
    for sentence in data.summary():
        on_message(sentence)
    splits = data.splits
    settings = resolve_settings(with_found_columns(settings, splits), splits.train.kind, on_message)
    encoder = build_encoder(settings.encoder, splits.train)
    if isinstance(encoder, TextEncoder) and (cut := describe_cut(encoder, splits.train.inputs)):
        on_message(cut)
    return settings


def prepare_inputs(
    settings: RunSettings, data: RunData, on_message: OnMessage = lambda _: None, *, device: str = "cpu"
) -> RunInputs:
    """Encode the labels, and prepare the examples for an encoder; the arguments are those of ``load_inputs``."""
    splits = data.splits
    encoder = build_run_encoder(settings.encoder, splits.train, device, on_message)
    prepared = _prepare_splits(encoder, splits, data.weights)
    if data.unseen:
        prepared["unseen"] = prepare(encoder, data.unseen.examples, cache=cache_folder())
    return RunInputs(data, encoder.cpu(), prepared, lowest_labels(settings, data, prepared))


def build_run_encoder(
    settings: EncoderSettings, train: Examples, device: str = "cpu", on_message: OnMessage = lambda _: None
) -> Encoder:
    """Build the encoder of a run, frozen if the settings say so, and fit it to the training inputs."""
    encoder = build_encoder(settings, train)
    if isinstance(encoder, TextEncoder) and (cut := describe_cut(encoder, train.inputs)):
        on_message(cut)
    if settings.frozen:
        on_message(f"the features of the frozen encoder are computed once and cached in {cache_folder() / 'features'}")
        encoder = (FrozenEncoder(encoder) if settings.adapter else FrozenEncoder(encoder, width=None)).to(device)
    encoder.fit(train.inputs)
    return encoder


def lowest_labels(settings: RunSettings, data: RunData, prepared: Mapping[str, Prepared]) -> sp.csr_array | None:
    """Return the training labels without the ancestors of others, if the encoder is to be trained on these."""
    if settings.hierarchy.train_on != "lowest" or data.tree is None:
        return None
    return data.tree.lowest(prepared["train"].labels)


def describe_cut(encoder: TextEncoder, texts: Any) -> str | None:  # noqa: ANN401
    """Describe in a sentence what share of the tokens an encoder cuts, and what half its limit would save.

    It is estimated on ``COUNTED_TEXTS`` texts at most. None if nothing is cut.
    """
    limit = encoder.max_length
    if limit is None or not len(texts):
        return None
    drawn = np.random.default_rng(0).permutation(len(texts))[:COUNTED_TEXTS]
    lengths = encoder.token_lengths([texts[place] for place in drawn])
    kept, half = np.minimum(lengths, limit).sum(), np.minimum(lengths, limit // 2).sum()
    if kept == lengths.sum():
        return None
    return (
        f"{1 - kept / lengths.sum():.1%} of the tokens are cut, those after {limit} in a text; encoder.max_length="
        f"{limit // 2} would cut {1 - half / lengths.sum():.1%} and save {1 - half / kept:.0%} of the encoder's time"
    )


def load_data(settings: RunSettings) -> RunData:
    """Read the data; find their hierarchy, hold leaves out and close the label sets; and apply changes of the labels.

    Raises:
        LabelContrastError: The data or their hierarchy cannot be read, or do not fit the settings.
    """
    splits, unseen = read_splits(settings), None
    found = find_hierarchy(settings, splits)
    tree, source = (None, "") if found is None else (found.tree, found.summary)
    if tree and settings.hierarchy.hold_out:
        splits, unseen = hold_out(splits, tree, settings.hierarchy, seed=settings.split_seed)
        tree = LabelTree.over(splits.vocabulary.names, tree.nodes)
    if tree and settings.hierarchy.closure:
        splits = close_splits(splits, tree)
        tree = LabelTree.over(splits.vocabulary.names, tree.nodes)
    data = RunData(splits, tree, source, unseen)
    for change in settings.changes:
        data = change_data(data, change, settings)
    return data


def change_data(data: RunData, change: LabelChange, settings: RunSettings) -> RunData:
    """Change the labels of data that are read.

    Raises:
        LabelError: A label is not there, there is one of the new name already, or a node would be its own ancestor.
        ConfigError: No label would be left, or one that others need under ``hierarchy.closure``.
        DataError: The examples of a new label cannot be read, or are of another kind.
    """
    names, tree, old = data.splits.vocabulary.names, data.tree, change.labels
    new = change.into or old[0]
    if change.verb == "merge" and len(set(old)) < 2:
        raise LabelError(f"merging needs two labels or more. Got {len(set(old))}.")
    if change.verb != "add" and (missing := next((name for name in old if name not in names), None)) is not None:
        raise LabelError(f'label "{missing}" is not in the vocabulary{nearest(missing, names)}.')
    if change.verb in ("add", "rename") or (change.verb == "merge" and new not in old):
        if new in names:
            raise LabelError(f'there is a label "{new}" already.')
        if change.verb != "add" and tree is not None and new in tree.nodes.vocabulary.column:
            raise LabelError(f'there is a node "{new}" in the hierarchy already.')
    if change.verb == "add":
        return _with_added_label(data, change, settings)
    become = {name: new if name in old else name for name in names if change.verb != "remove" or name not in old}
    if not become:
        raise ConfigError("no label would be left; a model needs one.")
    splits = relabel_splits(data.splits, become)
    if tree is not None:
        tree = LabelTree.over(splits.vocabulary.names, tree.nodes.renamed(become))
        if settings.hierarchy.closure and len(tree.nodes) > tree.num_labels:
            raise ConfigError(f'"{old[0]}" is above other labels, which need it under hierarchy.closure=true.')
    return replace(data, splits=splits, tree=tree)


def with_label_of(data: RunData, name: str, given: Examples) -> RunData:
    """Add a label to data without a hierarchy: training examples lack it but for those given, elsewhere it is unknown.

    Raises:
        DataError: The examples given are of another kind, or vectors of another width.
    """
    _check_same_inputs(data.splits.train, given)
    possible = {split: np.ones(len(data.splits.by_name[split]), dtype=bool) for split in HELD_OUT}
    return replace(data, splits=add_label(data.splits, name, given, possible))


def with_found_columns(settings: RunSettings, splits: Splits) -> RunSettings:
    """Name the columns that the data were read from in the settings, so that the run reads the same ones later."""
    train = splits.train
    if train.columns is None or train.kind == "vector":
        return settings
    found = ColumnSettings(
        text=train.columns.inputs if train.kind == "text" else None,
        image=train.columns.inputs if train.kind == "image" else None,
        labels=train.columns.labels,
        separator=train.columns.form.separator,
        multi_hot=train.columns.form.multi_hot,
    )
    return settings.model_copy(update={"columns": found})


def load_transfer_inputs(settings: RunSettings, inputs: RunInputs, on_message: OnMessage = lambda _: None) -> RunInputs:
    """Load the inputs that the encoder is evaluated on: those it is trained on, or the data of ``transfer_to``.

    Raises:
        DataError: The other data are of another kind, or vectors of another width, than the encoder reads.
    """
    if settings.transfer_to is None:
        return inputs
    splits = read_splits(with_transfer_data(settings))
    _check_same_inputs(inputs.splits.train, splits.train)
    on_message(f"evaluated on {splits.train.understood}")
    return RunInputs(RunData(splits), inputs.encoder, _prepare_splits(inputs.encoder, splits))


def fingerprint_data(data: RunData) -> str:
    """Hash everything that a training reads: inputs and labels of every split in their order, names, and hierarchy."""
    nodes = data.tree.nodes.to_parents() if data.tree else {}
    contents: list[Iterable[Any]] = [data.splits.vocabulary.names, [json.dumps(nodes)]]
    for examples in data.splits.by_name.values():
        if isinstance(examples.inputs, np.ndarray):
            contents.append([examples.inputs])
        elif isinstance(examples.inputs, sp.csr_array):
            contents.append([examples.inputs.indptr, examples.inputs.indices, examples.inputs.data])
        else:  # a picture may be named by its path as text: what counts is the content of the file
            files = examples.kind == "image"
            contents.append(Path(one) if files and isinstance(one, str) else one for one in examples.inputs)
        for labels in encode_labels(examples, data.splits.vocabulary):
            if labels is not None:
                contents.append([labels.indptr, labels.indices, labels.data])
    contents.extend([weights] for weights in (data.weights or {}).values())
    return content_key(*contents)


def with_transfer_data(settings: RunSettings) -> RunSettings:
    """Replace the data of a run by those of ``transfer_to``, if it has some."""
    if settings.transfer_to is None:
        return settings
    return settings.model_copy(update={"data": settings.transfer_to, "columns": ColumnSettings(), "transfer_to": None})


def read_given(path: Path, columns: ColumnSettings, *, split: SplitName | None = None) -> Examples:
    """Read a file from the columns that a run was trained on: the inputs alone, or the labelled rows of a split."""
    if split is None:
        wanted = ColumnNames(text=columns.text, image=columns.image, remembered=True, with_labels=False)
        return read_as(path, wanted)
    examples = read_as(path, ColumnNames(**columns.model_dump(), remembered=True))
    return examples if examples.splits is None else examples.select(np.flatnonzero(np.array(examples.splits) == split))


def read_splits(settings: RunSettings, *, check_pictures: bool = True) -> Splits:
    """Read the data that the settings name as training, validation and test examples."""
    return load_splits(
        Path(settings.data),
        seed=settings.split_seed,
        fractions=settings.fractions,
        protocol=settings.protocol,
        check_pictures=check_pictures,
        difficult=settings.difficult,
        train_fraction=settings.train_fraction,
        val_fraction=settings.val_fraction,
        label_fraction=settings.label_fraction,
        folds=settings.folds,
        fold=settings.tested_fold,
        **settings.columns.model_dump(),
    )


def build_encoder(settings: EncoderSettings, train: Examples) -> Encoder:
    """Build the encoder that the settings name for the kind of input of the examples."""
    return make_encoder(
        settings.name,
        kind=train.kind,
        pooling=settings.pooling,
        max_length=settings.max_length,
        image_size=settings.image_size,
        input_dim=train.inputs.shape[1] if isinstance(train.inputs, np.ndarray | sp.csr_array) else None,
        pretrained=settings.pretrained,
    )


def _with_added_label(data: RunData, change: LabelChange, settings: RunSettings) -> RunData:
    """Add a label with its examples; others lack it in training, and may have it elsewhere if all above it is there."""
    splits, tree, name = data.splits, data.tree, change.labels[0]
    wanted = ColumnNames(**settings.columns.model_dump(), remembered=True)
    given = read_examples_of(name, Path(change.examples), splits.vocabulary, wanted)
    if tree is None:
        if change.below:
            raise ConfigError(f'"{name}" cannot be below "{change.below}": the labels of this run have no hierarchy.')
        return with_label_of(data, name, given)
    _check_same_inputs(splits.train, given)
    possible: dict[SplitName, Any] = {}
    nodes, column = tree.nodes.to_parents(), tree.nodes.vocabulary.column
    if change.below and change.below not in nodes:
        raise LabelError(f'there is no node "{change.below}" in the hierarchy{nearest(change.below, nodes)}.')
    hierarchy = Hierarchy.from_parents({**nodes, name: change.below or nodes.get(name)})
    grown = LabelTree.over((*splits.vocabulary.names, name), hierarchy)
    line = grown.nodes.ancestors[[grown.nodes.vocabulary.column[name]]]
    above = [column[one] for one in grown.nodes.vocabulary.decode(line)[0] if one != name]
    for split in HELD_OUT:
        labels = splits.vocabulary.encode(splits.by_name[split].label_sets or [])
        possible[split] = tree.close(labels)[:, above].toarray().all(axis=1)
    splits = add_label(splits, name, given, possible)
    return replace(data, splits=close_splits(splits, grown) if settings.hierarchy.closure else splits, tree=grown)


def _check_same_inputs(source: Examples, target: Examples) -> None:
    """Refuse examples of another kind, or vectors of another width, than the encoder is trained on."""
    if target.kind != source.kind:
        message = f"holds {target.kind} inputs; the encoder is trained on {source.kind} inputs."
        raise DataError(message, path=target.origin)
    if isinstance(source.inputs, np.ndarray) and isinstance(target.inputs, np.ndarray):
        trained, given = source.inputs.shape[1], target.inputs.shape[1]
        if trained != given:
            message = f"there are {given} features; the encoder is trained on {trained}."
            raise DataError(message, path=target.origin)


def _prepare_splits(
    encoder: Encoder, splits: Splits, weights: Mapping[SplitName, NDArray[np.float64]] | None = None
) -> dict[str, Prepared]:
    cache = cache_folder()
    prepared: dict[str, Prepared] = {
        name: prepare(encoder, split, splits.vocabulary, cache=cache) for name, split in splits.by_name.items()
    }
    if weights is None:
        return prepared
    return {name: replace(prepared[name], weights=own) for name, own in weights.items()}
