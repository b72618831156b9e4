"""The reliability diagram: the error that it says, an empty bin, and what a screen reader reads.

The figures of a run: their numbers by hand, what they say in words, and the edges of the data.

The map by level: a picture a level, with names that leave room for the dots.
"""

import base64
import io
import re
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labelcontrast.reports.canvas import canvas
from labelcontrast.reports.figures import (
    MOST_NAMED,
    _name_points,
    binned_means,
    curve_figures,
    embedding_figure,
    frequency_axes,
    frequency_figure,
    label_histogram,
    level_figures,
    reliability_figure,
)
from labelcontrast.reports.summary import EmbeddingScatter


def test_the_error_is_the_mean_distance_over_pairs() -> None:
    before = ([30, 0, 10], [0.1, 0.0, 0.9], [0.2, 0.0, 0.5])
    markup = reliability_figure({"before": before, "after": ([4], [0.5], [0.5])})
    expected = 100 * (30 * 0.1 + 10 * 0.4) / 40
    assert f"Expected calibration error: before {expected:.2f} %; after 0.00 %." in markup
    assert markup.startswith("<svg")


@pytest.mark.parametrize("diagrams", [{}, {"before": ([0, 0], [0.0, 0.0], [0.0, 0.0])}])
def test_nothing_to_draw_is_drawn_as_nothing(diagrams) -> None:
    assert "Reliability diagram" in reliability_figure(diagrams)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(1, 5000), st.floats(0, 100)), min_size=1, max_size=60))
def test_bins_share_the_labels_evenly_in_the_order_of_frequency(pairs) -> None:
    count, f1 = np.array(pairs, dtype=float).T
    middle, mean = binned_means(count, f1)
    assert len(middle) == min(8, len(pairs))
    assert (np.diff(middle) >= -1e-5).all()
    sizes = [len(group) for group in np.array_split(np.arange(len(pairs)), len(middle))]
    assert np.dot(sizes, mean) / len(pairs) == pytest.approx(f1.mean(), abs=1e-6)


def test_f1_against_frequency_says_what_it_shows(run) -> None:
    markup = frequency_figure(run.per_label)
    assert markup.startswith("<svg")
    assert "Scatter plot of 135 labels" in markup
    rare = sorted(run.per_label, key=lambda row: row["train_count"])[:17]
    assert f"Mean F1 from {100 * np.mean([row['f1'] for row in rare]):.0f} % for the rarest" in markup


def test_f1_against_frequency_with_one_label_and_with_a_thousand(run) -> None:
    assert "Scatter plot of 1 labels" in frequency_figure(run.per_label[:1])
    assert frequency_figure(list(run.per_label) * 8).startswith("<img")


def test_no_name_lies_on_another() -> None:
    random = np.random.default_rng(0)
    names = ["x" * int(length) for length in random.integers(3, 40, 300)]
    count, f1 = 10 ** random.uniform(0, 3, 300), random.uniform(0, 100, 300)
    with canvas() as (figure, axes):
        axes.scatter(count, f1)
        frequency_axes(axes, count)
        _name_points(axes, names, count, f1)
        figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == MOST_NAMED
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_a_panel_a_curve_with_its_ends_in_words(run) -> None:
    drawn = curve_figures({"train loss": ([1, 2, 3], [2.5, 1.5, 1.25]), "learning rate": ([1], [0.001])})
    assert "train loss by epoch, from 2.5 to 1.25." in drawn[0]
    assert "learning rate by epoch, from 0.001 to 0.001." in drawn[1]
    assert curve_figures({}) == []


def test_the_map_names_the_most_frequent_labels_and_greys_the_others() -> None:
    labels = [f"label {rank}" for rank in range(12) for _ in range(12 - rank)] + [None]
    coordinates = np.random.default_rng(0).normal(size=(len(labels), 2))
    markup = embedding_figure(EmbeddingScatter(coordinates=coordinates, labels=labels, method="UMAP"))
    assert f"Map of {len(labels)} embeddings (UMAP)" in markup
    assert "label 6." in markup
    assert "label 7" not in markup
    many = EmbeddingScatter(coordinates=np.tile(coordinates, (13, 1)), labels=labels * 13, method="UMAP")
    assert embedding_figure(many).startswith("<img")


def test_the_histogram_of_few_labels_has_a_row_each_and_of_many_one_size() -> None:
    def height(labels: int) -> int:
        return Image.open(io.BytesIO(label_histogram({f"l{rank}": labels - rank for rank in range(labels)}))).height

    assert height(4) < height(30)
    assert height(100) == height(900)


def test_each_level_has_its_own_colours_and_long_names_leave_the_dots_their_room() -> None:
    points = np.random.default_rng(0).normal(size=(60, 2))
    labels = [["animal", "plant"], [f"a very long name of a label that is a path > {place}" for place in range(6)]]
    maps = [
        EmbeddingScatter(coordinates=points, labels=[own[place % len(own)] for place in range(60)], method="PCA")
        for own in labels
    ]
    roots, leaves = level_figures(maps)
    assert 'alt="Map of 60 embeddings (PCA), level 0: animal, plant."' in roots
    assert "level 1: a very long name of a label that is a path &gt; 0," in leaves
    sizes = set()
    for markup in (roots, leaves):
        data = re.search(r'base64,([^"]+)"', markup)
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data[1]))).convert("RGB")).astype(int)
        sizes.add(picture.shape)
        blue = (picture[..., 2] - picture[..., 0] > 60).sum(1) > 0  # rows with a dot of the first label
        assert np.flatnonzero(blue).min() < 0.3 * len(picture)
        assert blue[: len(picture) // 2].sum() > 0.1 * len(picture)
    assert len(sizes) == 1
