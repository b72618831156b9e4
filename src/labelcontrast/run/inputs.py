"""What an experiment is made of: the files as splits, their labels multi-hot, and an encoder that fits them."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from labelcontrast.data.batches import Prepared, prepare
from labelcontrast.data.examples import Examples
from labelcontrast.data.splits import Splits, load_splits
from labelcontrast.encoders.base import Encoder
from labelcontrast.encoders.frozen import FrozenEncoder
from labelcontrast.encoders.registry import make_encoder
from labelcontrast.errors import DataError
from labelcontrast.files import cache_folder
from labelcontrast.labels.tree import LabelTree
from labelcontrast.run.fitting import Callbacks, Say, TrainingData
from labelcontrast.run.hierarchy import Unseen, close_splits, find_hierarchy, hold_out, introduce_hierarchy
from labelcontrast.settings import ColumnSettings, RunSettings


@dataclass(frozen=True)
class RunData:
    """Divided examples, with the hierarchy over their labels where there is one."""

    splits: Splits
    tree: LabelTree | None = None
    source: str = ""
    """Where the hierarchy was found, and what it is."""
    unseen: Unseen | None = None
    """Test examples of leaves that are held out of all parts."""


@dataclass(frozen=True)
class RunInputs:
    """What an experiment is made of: the examples of each split, their labels, and an encoder that fits them."""

    data: RunData
    encoder: Encoder
    prepared: dict[str, Prepared]
    """By part: ``train``, ``val`` and ``test``; and ``unseen``, without labels, where leaves are held out."""
    lowest: sp.csr_array | None = None
    """The training labels without those above others, where the encoder is to be trained on them."""

    @property
    def splits(self) -> Splits:
        """The divided examples."""
        return self.data.splits

    def truth(self, part: str) -> np.ndarray:
        """What is true of a part, dense: 0 or 1, and NaN where a label is unknown."""
        return self.prepared[part].truth()

    def labels(self, part: str) -> sp.csr_array:
        """The labels of a part, sparse: 0 or 1, and 0 where one is unknown."""
        labels = self.prepared[part].labels
        assert labels is not None
        return labels

    def lesson(self, listeners: Callbacks) -> TrainingData:
        """What the encoder is trained on, and who hears of it."""
        train = self.prepared["train"]
        return TrainingData(
            encoder=self.encoder,
            train=train if self.lowest is None else replace(train, targets=self.lowest),
            validation=self.prepared["val"],
            num_labels=len(self.splits.vocabulary),
            tree=self.data.tree,
            listen=listeners.epoch,
            bar=listeners.bar,
        )


def load_inputs(settings: RunSettings, say: Say = lambda _: None, *, device: str = "cpu") -> RunInputs:
    """Read the files, make multi-hot labels, and prepare the inputs for an encoder of their kind.

    Args:
        settings: of the run.
        say: hears what was understood.
        device: where the features of a frozen encoder are computed.
    """
    data = load_data(settings)
    splits = data.splits
    for sentence in introduce(data):
        say(sentence)
    encoder = build_encoder(settings, splits.train)
    if settings.encoder.frozen:
        say(f"the features of the frozen encoder are computed once and kept in {cache_folder() / 'features'}")
        encoder = FrozenEncoder(encoder).to(device)
    prepared = _prepare_parts(encoder, splits)
    if data.unseen:
        prepared["unseen"] = prepare(encoder, data.unseen.examples, cache=cache_folder())
    lowest = settings.hierarchy.train_on == "lowest" and data.tree
    return RunInputs(data, encoder.cpu(), prepared, lowest.lowest(prepared["train"].labels) if lowest else None)


def load_data(settings: RunSettings) -> RunData:
    """Read the files that the settings name, and do with the hierarchy over their labels what the settings say.

    Raises:
        LabelContrastError: the data or their hierarchy cannot be read, or do not go with the settings.
    """
    splits, wanted, unseen = read_splits(settings), settings.hierarchy, None
    found = find_hierarchy(settings, splits)
    if found is None:
        return RunData(splits)
    source, tree = introduce_hierarchy(found), found.tree
    if wanted.hold_out:
        splits, unseen = hold_out(splits, tree, wanted, seed=settings.split_seed)
        tree = LabelTree.over(splits.vocabulary.names, tree.nodes)
    if wanted.closure:
        splits = close_splits(splits, tree)
        tree = LabelTree.over(splits.vocabulary.names, tree.nodes)
    return RunData(splits, tree, source, unseen)


def load_transfer_inputs(settings: RunSettings, material: RunInputs, say: Say = lambda _: None) -> RunInputs:
    """Gather what the encoder is read off on: the same; or other data, where the settings transfer to them.

    Raises:
        DataError: the other data are of another kind, or vectors of another width, than the encoder reads.
    """
    if settings.transfer_to is None:
        return material
    splits = read_splits(at_target(settings))
    here, there = material.splits.train, splits.train
    if there.kind != here.kind:
        message = f"holds {there.kind} inputs; the encoder is trained on {here.kind} inputs."
        raise DataError(message, path=there.origin)
    if isinstance(here.inputs, np.ndarray) and isinstance(there.inputs, np.ndarray):
        before, now = here.inputs.shape[1], there.inputs.shape[1]
        if before != now:
            message = f"there are {now} features; the encoder is trained on {before}."
            raise DataError(message, path=there.origin)
    say(f"read off on {there.understood}")
    return RunInputs(RunData(splits), material.encoder, _prepare_parts(material.encoder, splits))


def _prepare_parts(encoder: Encoder, splits: Splits) -> dict[str, Prepared]:
    """Make the inputs of each part ready, or read them where an earlier run kept them; with multi-hot labels."""
    cache = cache_folder()
    return {name: prepare(encoder, part, splits.vocabulary, cache=cache) for name, part in splits.parts.items()}


def at_target(settings: RunSettings) -> RunSettings:
    """Make the data that a run is read off on those of its settings; without a transfer they are."""
    if settings.transfer_to is None:
        return settings
    return settings.model_copy(update={"data": settings.transfer_to, "columns": ColumnSettings(), "transfer_to": None})


def read_splits(settings: RunSettings, *, check_pictures: bool = True) -> Splits:
    """Read the files that the settings name as training, validation and test examples."""
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


def introduce(data: RunData) -> list[str]:
    """Say what was understood of the data, how they are divided, how much there is, and what to beware of."""
    splits = data.splits
    sizes = ", ".join(f"{len(part):,} {name}" for name, part in splits.parts.items())
    sizes += f", {len(data.unseen.examples):,} of unseen leaves" if data.unseen else ""
    said = [splits.train.understood, splits.how, f"{sizes}; {len(splits.vocabulary)} labels"]
    return [*said, *([data.source] if data.tree else []), *splits.warnings]


def build_encoder(settings: RunSettings, train: Examples) -> Encoder:
    """Make the encoder that the settings name for the kind of input there is."""
    wanted = settings.encoder
    width = train.inputs.shape[1] if isinstance(train.inputs, np.ndarray) else None
    return make_encoder(
        wanted.name,
        kind=train.kind,
        pooling=wanted.pooling,
        max_length=wanted.max_length,
        image_size=wanted.image_size,
        input_dim=width,
    )
