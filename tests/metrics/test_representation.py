"""Alignment, uniformity and effective rank: the published numbers, loops, and estimates with an error that holds."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast import metrics
from labelcontrast.errors import EmbeddingError, LabelShapeError
from labelcontrast.metrics.representation import (
    alignment,
    closing_angles,
    describe_representation,
    effective_rank,
    uniformity,
)


def golden(folder: Path, name: str) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((folder / "golden").glob(f"{name}__*.json"))]


def test_alignment_equals_the_published_code(shared: Path) -> None:
    files = golden(shared, "align")
    assert len(files) == 6
    for file in files:
        found = alignment(np.array(file["embeddings"]), np.array(file["labels"]), without_labels=True)
        expected = math.nan if file["n_pairs"] == 0 else file["value"]
        assert found == pytest.approx(expected, rel=1e-10, nan_ok=True)


def test_angles_are_those_between_steps_and_great_circles() -> None:
    """A short walk along the step, and one along the great circle to the other, leave a point at this angle."""
    random = np.random.default_rng(0)
    points, steps = random.normal(size=(2, 6, 3))
    steps[4] = 2 * points[4]  # changes the length alone
    points[5] = 3 * points[0]
    got = closing_angles(torch.from_numpy(points), torch.from_numpy(steps)).numpy()
    units = points / np.linalg.norm(points, axis=1, keepdims=True)

    def leave(place: int, towards: np.ndarray) -> np.ndarray:
        there = units[place] + 1e-6 * towards
        move = there / np.linalg.norm(there) - units[place]
        return move / np.linalg.norm(move)

    for i in range(6):
        for j in range(6):
            if i in {j, 4} or {i, j} == {0, 5}:
                assert math.isnan(got[i, j]) or i == 4, (i, j)
            else:
                cosine = leave(i, steps[i]) @ leave(i, units[j])
                assert got[i, j] == pytest.approx(math.degrees(math.acos(cosine)), abs=1e-3)


def test_an_example_with_an_unknown_label_is_left_out() -> None:
    generator = np.random.default_rng(0)
    points, labels = generator.normal(size=(40, 3)), (generator.random((40, 2)) < 0.5).astype(np.float32)
    unknown = generator.random(40) < 0.4
    holed = np.where(unknown[:, None] & np.array([True, False]), np.nan, labels)
    assert alignment(points, holed) == alignment(points[~unknown], labels[~unknown]) != alignment(points, labels)


def test_uniformity_equals_the_published_code(shared: Path) -> None:
    files = golden(shared, "uniform")
    assert len(files) == 6
    for file in files:
        found = uniformity(np.array(file["embeddings"]), generator=np.random.default_rng(0))
        assert found.error == 0
        assert found.value == pytest.approx(file["value"], rel=1e-10)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 14), st.integers(1, 12), st.booleans())
def test_alignment_by_its_definition_in_loops(seed: int, examples: int, columns: int, without_labels: bool) -> None:
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(examples, 3))
    labels = (generator.random((examples, columns)) < 0.3 / columns**0.5).astype(np.uint8)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    distances = [
        float(((unit[i] - unit[j]) ** 2).sum())
        for i in range(examples)
        for j in range(i)
        if (labels[i] == labels[j]).all() and (without_labels or labels[i].any())
    ]
    expected = sum(distances) / len(distances) if distances else math.nan
    assert alignment(features, labels, without_labels=without_labels) == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_uniformity_in_blocks_by_its_definition() -> None:
    features = np.random.default_rng(0).normal(size=(2100, 4))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    potential = np.exp(-2 * ((unit[:, None] - unit) ** 2).sum(2))
    expected = math.log((potential.sum() - 2100) / (2100 * 2099))
    assert uniformity(features, generator=np.random.default_rng(0)).value == pytest.approx(expected, abs=1e-9)


def test_the_standard_error_of_sampled_pairs_holds() -> None:
    features = np.random.default_rng(0).normal(size=(300, 6)) + 0.3
    exact = uniformity(features, generator=np.random.default_rng(0)).value
    estimates = [
        uniformity(features, generator=np.random.default_rng(seed), exact_up_to=10, pairs=2000) for seed in range(200)
    ]
    off = np.array([(estimate.value - exact) / estimate.error for estimate in estimates])
    assert 0.9 < (np.abs(off) < 1.96).mean() < 0.99
    assert abs(off.mean()) < 0.25


def test_collapsed_embeddings_are_aligned_and_not_uniform() -> None:
    generator = np.random.default_rng(1)
    labels = np.eye(3, dtype=np.uint8)[generator.integers(0, 3, 90)]
    corners = np.eye(3)[labels.argmax(1)]
    assert alignment(corners, labels) == pytest.approx(0, abs=1e-12)
    assert uniformity(np.ones((9, 4)), generator=generator).value == pytest.approx(0, abs=1e-12)
    assert math.isnan(alignment(np.eye(3), np.eye(3)))
    assert math.isnan(uniformity(np.ones((1, 4)), generator=generator).value)


@pytest.mark.parametrize("shape", [(50, 8), (5, 20)])
def test_effective_rank_by_the_singular_values(shape: tuple[int, int]) -> None:
    features = np.random.default_rng(3).normal(size=shape) * np.logspace(0, -3, shape[1]) + 7
    values = np.linalg.svd(features - features.mean(0), compute_uv=False)
    share = values[values > 1e-7 * values[0]] / values[values > 1e-7 * values[0]].sum()
    assert effective_rank(features) == pytest.approx(math.exp(-(share * np.log(share)).sum()), rel=1e-4)
    assert effective_rank(1000 * features) == pytest.approx(effective_rank(features), rel=1e-6)


def test_effective_rank_at_its_ends() -> None:
    line = np.outer(np.arange(9.0), [1.0, 2.0, 3.0])
    assert effective_rank(line) == pytest.approx(1, abs=1e-6)
    assert effective_rank(np.ones((5, 3))) == 0


def test_zero_embeddings_are_left_out_of_alignment_and_uniformity() -> None:
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(20, 4)), np.eye(2)[generator.integers(0, 2, 20)]
    features[3] = 0
    found = describe_representation(features, labels, generator=generator)
    others = np.arange(20) != 3
    assert found["alignment"] == alignment(features[others], labels[others])
    assert found["uniformity"] == uniformity(features[others], generator=generator).value
    assert found["uniformity_error"] == 0
    assert found["effective_rank"] == effective_rank(features)


@pytest.mark.usefixtures("unchecked")
def test_refusals() -> None:
    with pytest.raises(LabelShapeError, match=r"^features and labels .* Got 4 and 3\.$"):
        alignment(np.ones((4, 2)), np.ones((3, 2)))
    with pytest.raises(EmbeddingError, match=r"Got 4 rows that are not\.$"):
        alignment(np.zeros((4, 2)), np.ones((4, 2)))


def test_lists_and_tensors_are_measured_as_arrays() -> None:
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(20, 3)), generator.integers(0, 2, (20, 2))
    for convert in (np.ndarray.tolist, torch.from_numpy):
        other, true = convert(features), convert(labels)
        assert metrics.alignment(other, true) == metrics.alignment(features, labels)
        assert metrics.effective_rank(other) == metrics.effective_rank(features)
        spread = metrics.uniformity(other, generator=generator)
        assert spread == metrics.uniformity(features, generator=generator)
        purity = metrics.neighbourhood_purity(other, true, neighbours=3)
        np.testing.assert_array_equal(purity, metrics.neighbourhood_purity(features, labels, neighbours=3))
        assert metrics.mean_average_precision(true, convert(features[:, :2])) == metrics.mean_average_precision(
            labels, features[:, :2]
        )
