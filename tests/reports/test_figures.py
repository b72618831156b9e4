"""Figures: valid, deterministic markup with a text alternative; their numbers, names and the edges of the data."""

import base64
import io
import re
from itertools import combinations
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labelcontrast.reports.figures import (
    MARKERS,
    MOST_NAMED,
    PALETTE,
    _name_points,
    as_image,
    as_png,
    as_svg,
    binned_means,
    canvas,
    curve_figures,
    embedding_figure,
    frequency_axes,
    frequency_figure,
    label_histogram,
    level_figures,
    reliability_figure,
    style_of,
)
from labelcontrast.reports.summary import EmbeddingScatter


def drawn(writer, **more):
    with canvas() as (figure, axes):
        axes.plot([1, 2], [3, 4], label="a")
        axes.legend()
        return writer(figure, **more)


def test_svg_is_well_formed_with_an_alternative_and_unique_ids() -> None:
    markup = drawn(as_svg, alternative='A "line" <rising>')
    root = ET.fromstring(markup.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == 'A "line" <rising>'
    assert "width" not in root.attrib
    assert "viewBox" in root.attrib
    names = re.findall(r' id="([^"]*)"', markup)
    assert len(names) == len(set(names))
    assert not any(re.fullmatch(r"\w+_\d+", name) for name in names)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]*)', markup))
    assert used <= set(names)


def test_svg_is_deterministic() -> None:
    assert drawn(as_svg, alternative="x") == drawn(as_svg, alternative="x")


def test_png_is_inline_with_its_alternative() -> None:
    png = drawn(as_png)
    assert png.startswith(b"\x89PNG")
    markup = drawn(as_image, alternative="A <plot>")
    assert 'alt="A &lt;plot&gt;"' in markup
    assert base64.b64decode(re.search(r"base64,([^\"]*)", markup)[1]) == png


def test_the_style_leaves_matplotlib_as_it_was() -> None:
    before = dict(mpl.rcParams)
    drawn(as_svg, alternative="x")
    assert dict(mpl.rcParams) == before


def luminance(color: str) -> float:
    red, green, blue = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2


def test_colours_contrast_with_white_and_styles_are_distinct() -> None:
    assert all(1.05 / (luminance(color) + 0.05) > 2 for color in PALETTE)
    styles = [style_of(place) for place in range(len(PALETTE) * len(MARKERS))]
    assert len(set(styles)) == len(styles)


def test_the_calibration_error_is_the_mean_difference_over_pairs() -> None:
    before = ([30, 0, 10], [0.1, 0.0, 0.9], [0.2, 0.0, 0.5])
    markup = reliability_figure({"before": before, "after": ([4], [0.5], [0.5])})
    expected = 100 * (30 * 0.1 + 10 * 0.4) / 40
    assert f"Expected calibration error: before {expected:.2f} %; after 0.00 %." in markup
    assert markup.startswith("<svg")


@pytest.mark.parametrize("diagrams", [{}, {"before": ([0, 0], [0.0, 0.0], [0.0, 0.0])}])
def test_empty_reliability_diagrams_are_drawn(diagrams) -> None:
    assert "Reliability diagram" in reliability_figure(diagrams)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(1, 5000), st.floats(0, 100)), min_size=1, max_size=60))
def test_bins_divide_the_labels_evenly_by_frequency(pairs) -> None:
    count, f1 = np.array(pairs, dtype=float).T
    middle, mean = binned_means(count, f1)
    assert len(middle) == min(8, len(pairs))
    assert (np.diff(middle) >= -1e-5).all()
    sizes = [len(group) for group in np.array_split(np.arange(len(pairs)), len(middle))]
    assert np.dot(sizes, mean) / len(pairs) == pytest.approx(f1.mean(), abs=1e-6)


def test_the_frequency_figure_describes_itself(run) -> None:
    markup = frequency_figure(run.per_label)
    assert markup.startswith("<svg")
    assert "Scatter plot of 135 labels" in markup
    rare = sorted(run.per_label, key=lambda row: row["train_count"])[:17]
    assert f"Mean F1 from {100 * np.mean([row['f1'] for row in rare]):.0f} % for the rarest" in markup


def test_the_frequency_figure_of_one_label_and_of_a_thousand(run) -> None:
    assert "Scatter plot of 1 labels" in frequency_figure(run.per_label[:1])
    assert frequency_figure(list(run.per_label) * 8).startswith("<img")


def test_names_of_points_do_not_overlap() -> None:
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


def test_each_curve_has_a_panel_with_its_first_and_last_value(run) -> None:
    drawn = curve_figures({"train loss": ([1, 2, 3], [2.5, 1.5, 1.25]), "learning rate": ([1], [0.001])})
    assert "train loss by epoch, from 2.5 to 1.25." in drawn[0]
    assert "learning rate by epoch, from 0.001 to 0.001." in drawn[1]
    assert curve_figures({}) == []


def test_the_scatter_plot_names_the_most_frequent_labels() -> None:
    labels = [f"label {rank}" for rank in range(12) for _ in range(12 - rank)] + [None]
    coordinates = np.random.default_rng(0).normal(size=(len(labels), 2))
    markup = embedding_figure(EmbeddingScatter(coordinates=coordinates, labels=labels, method="UMAP"))
    assert f"Scatter plot of {len(labels)} embeddings (UMAP)" in markup
    assert "label 6." in markup
    assert "label 7" not in markup
    many = EmbeddingScatter(coordinates=np.tile(coordinates, (13, 1)), labels=labels * 13, method="UMAP")
    assert embedding_figure(many).startswith("<img")


def test_the_histogram_has_a_row_per_label_if_these_are_few() -> None:
    def height(labels: int) -> int:
        return Image.open(io.BytesIO(label_histogram({f"l{rank}": labels - rank for rank in range(labels)}))).height

    assert height(4) < height(30)
    assert height(100) == height(900)


def test_levels_have_their_own_colours_and_long_names_leave_room_for_the_points() -> None:
    points = np.random.default_rng(0).normal(size=(60, 2))
    labels = [["animal", "plant"], [f"a very long name of a label that is a path > {place}" for place in range(6)]]
    scatters = [
        EmbeddingScatter(coordinates=points, labels=[own[place % len(own)] for place in range(60)], method="PCA")
        for own in labels
    ]
    roots, leaves = level_figures(scatters)
    assert 'alt="Scatter plot of 60 embeddings (PCA), level 0: animal, plant."' in roots
    assert "level 1: a very long name of a label that is a path &gt; 0," in leaves
    sizes = set()
    for markup in (roots, leaves):
        data = re.search(r'base64,([^"]+)"', markup)
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data[1]))).convert("RGB")).astype(int)
        sizes.add(picture.shape)
        blue = (picture[..., 2] - picture[..., 0] > 60).sum(1) > 0  # rows with a point of the first label
        assert np.flatnonzero(blue).min() < 0.3 * len(picture)
        assert blue[: len(picture) // 2].sum() > 0.1 * len(picture)
    assert len(sizes) == 1
