"""Features: in order, without dropout or gradient; cached ones equal new ones, and belong to encoder and inputs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor

from labelcontrast.data.batches import Prepared
from labelcontrast.encoders.embedded import VectorEncoder
from labelcontrast.encoders.frozen import FrozenEncoder
from labelcontrast.settings import TrainingSettings
from labelcontrast.training.features import compute_features, stored_features
from labelcontrast.training.learner import Learner


def test_features_are_the_rows_in_order(prepared: Prepared, build_learner: Callable[..., Learner]) -> None:
    encoder = build_learner(TrainingSettings()).encoder
    encoder.train()
    features = compute_features(encoder, prepared, batch_size=5)
    assert encoder.training
    assert not features.requires_grad
    with torch.no_grad():
        expected = encoder.eval()(prepared.batch(range(len(prepared)))[0])
    torch.testing.assert_close(features, expected)


def test_features_do_not_depend_on_the_batch_size(prepared: Prepared, build_learner: Callable[..., Learner]) -> None:
    encoder = build_learner(TrainingSettings()).encoder
    whole = compute_features(encoder, prepared, batch_size=100)
    torch.testing.assert_close(compute_features(encoder, prepared, batch_size=1), whole)


Splits = dict[str, Prepared]


class Counted(VectorEncoder):
    """An encoder with dropout that counts its forward passes."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(input_dim=6, width=8, dropout=0.5, generator=torch.Generator().manual_seed(seed))
        self.calls = 0

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        self.calls += 1
        return super().forward(inputs)


@pytest.fixture
def splits() -> Callable[[float], Splits]:
    def build(shift: float) -> Splits:
        rows = (np.random.default_rng(0).normal(size=(30, 6)) + shift).astype(np.float32)
        prepared = Prepared(rows, np.ones(30, int), VectorEncoder(input_dim=6).collate)
        return {"train": prepared.select(np.arange(20)), "test": prepared.select(np.arange(20, 30))}

    return build


def test_features_are_computed_once_and_then_read(splits: Callable[[float], Splits], tmp_path: Path) -> None:
    encoder, path = Counted().train(), tmp_path / "features.safetensors"
    first = stored_features(path, encoder, splits(0.0))
    assert encoder.calls == 2
    assert encoder.training
    again = stored_features(path, encoder, splits(0.0))
    assert encoder.calls == 2
    for name, split in splits(0.0).items():
        np.testing.assert_array_equal(first[name], again[name])
        np.testing.assert_array_equal(first[name], compute_features(encoder, split).numpy())


def test_a_file_of_more_splits_is_read(splits: Callable[[float], Splits], tmp_path: Path) -> None:
    encoder, path, both = Counted(), tmp_path / "features.safetensors", splits(0.0)
    test = {"test": both["test"]}
    stored_features(path, encoder, test)
    stored_features(path, encoder, both)
    assert encoder.calls == 3
    assert set(stored_features(path, encoder, test)) == {"test"}
    assert encoder.calls == 3


@pytest.mark.parametrize("change", ["weights", "inputs", "settings", "damage"])
def test_a_file_of_other_features_is_replaced(splits: Callable[[float], Splits], tmp_path: Path, change: str) -> None:
    path = tmp_path / "features.safetensors"
    old = {name: rows.copy() for name, rows in stored_features(path, Counted(), splits(0.0)).items()}
    encoder, now = Counted(seed=int(change == "weights")), splits(float(change == "inputs"))
    if change == "settings":
        encoder.dropout = 0.4
    if change == "damage":
        path.write_bytes(path.read_bytes()[:50])
    new = stored_features(path, encoder, now)
    assert encoder.calls == 2
    assert (change in ("settings", "damage")) == np.array_equal(old["train"], new["train"])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_safetensors_reads_the_file_and_writing_into_mapped_features_does_not_change_it(
    splits: Callable[[float], Splits], tmp_path: Path
) -> None:
    path, wanted = tmp_path / "features.safetensors", splits(0.0)
    wanted["unseen"] = wanted["train"].select(np.arange(0))
    kept = stored_features(path, Counted(), wanted)
    before = {name: rows.copy() for name, rows in kept.items()}
    kept["train"][:] = 0
    there = load_file(path)
    for name, rows in before.items():
        np.testing.assert_array_equal(there[name], rows)
        assert rows.shape == (len(wanted[name]), 8)


def test_a_file_of_an_earlier_version_is_replaced(splits: Callable[[float], Splits], tmp_path: Path) -> None:
    path, wanted = tmp_path / "features.safetensors", splits(0.0)
    old = {name: np.zeros((len(split), 8), np.float32) for name, split in wanted.items()}
    save_file(old, path, {"key": '{"encoder": {}, "weights": "", "inputs": {}}'})
    assert stored_features(path, Counted(), wanted)["train"].any()
    assert load_file(path)["train"].any()


def test_features_of_a_frozen_encoder_depend_on_both_networks(
    splits: Callable[[float], Splits], tmp_path: Path
) -> None:
    path, wanted = tmp_path / "features.safetensors", splits(0.0)

    def build(base: int, adapter: int) -> FrozenEncoder:
        return FrozenEncoder(Counted(seed=base), width=8, generator=torch.Generator().manual_seed(adapter))

    prepared = {
        name: Prepared(build(0, 0).prepare(np.array(split.items)), split.lengths, build(0, 0).collate)
        for name, split in wanted.items()
    }
    written = []
    for seeds in ((0, 0), (0, 0), (0, 1), (1, 1)):
        stored_features(path, build(*seeds), prepared)
        written.append(path.read_bytes())
    assert written[0] == written[1]
    assert len(set(written)) == 3
