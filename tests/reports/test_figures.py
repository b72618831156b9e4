"""Figures: valid, deterministic markup with a text alternative; their numbers, names and the edges of the data."""

import base64
import io
import re
from itertools import combinations
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.font_manager import fontManager
from PIL import Image

from labelcontrast.reports.figures import (
    MARKERS,
    MOST_NAMED,
    PALETTE,
    _families_with,
    _name_points,
    add_legend,
    as_image,
    as_png,
    as_svg,
    as_svg_file,
    binned_means,
    canvas,
    curve_figures,
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


CATS = ("猫<script>", "고양이", "قطة", "חתול", "แมว", "बिल्ली")


@pytest.fixture
def font_of_cats(tmp_path, monkeypatch):
    """Leave only Matplotlib's own fonts, and return a function that adds one with a single letter, 猫."""
    pen = TTGlyphPen(None)
    for move, *points in (("moveTo", (0, 0)), ("lineTo", (0, 900)), ("lineTo", (900, 0)), ("closePath",)):
        getattr(pen, move)(*points)
    made = FontBuilder(1000)
    made.setupGlyphOrder([".notdef", "cat"])
    made.setupCharacterMap({ord("猫"): "cat"})
    made.setupGlyf({".notdef": pen.glyph(), "cat": pen.glyph()})
    made.setupHorizontalMetrics({".notdef": (1000, 0), "cat": (1000, 0)})
    made.setupHorizontalHeader(ascent=900, descent=-100)
    made.setupNameTable({"familyName": "Cats Only", "styleName": "Regular"})
    made.setupOS2()
    made.setupPost()
    made.save(tmp_path / "cats.ttf")
    own = [font for font in fontManager.ttflist if font.fname.startswith(mpl.get_data_path())]
    monkeypatch.setattr(fontManager, "ttflist", own)
    _families_with.cache_clear()
    yield lambda: (fontManager.addfont(tmp_path / "cats.ttf"), _families_with.cache_clear())
    monkeypatch.undo()
    fontManager._findfont_cached.cache_clear()
    _families_with.cache_clear()


def test_letters_without_a_font_are_text_for_the_reader_s_fonts_and_a_line_in_a_picture(font_of_cats) -> None:
    rows = [{"label": name, "train_count": 9 - row, "f1": row / 9} for row, name in enumerate(CATS)]
    page = frequency_figure(rows)
    texts = {one.text for one in ET.fromstring(page.replace("<svg ", '<svg xmlns="x" ', 1)).iter("{x}text")}
    assert texts >= set(CATS)
    said = []
    with canvas() as (figure, axes):
        axes.set_title("猫 고양이")
        as_png(figure)
        said.append(figure.get_supxlabel())
        axes.set_title("plain")
    assert said == ["No installed font has the letters of CJK, HANGUL; the Noto fonts have them."]
    assert "<text" not in frequency_figure([{"label": "قطة", "train_count": 3, "f1": 0.1}])


def test_an_installed_font_is_found_for_letters_that_the_usual_one_lacks(font_of_cats, caplog) -> None:
    with canvas() as (figure, axes):
        axes.set_title("猫 and dog")
        before = as_png(figure)
    font_of_cats()
    with canvas() as (figure, axes):
        axes.set_title("猫 and dog")
        page, picture = as_svg(figure, alternative="x"), as_png(figure)
        assert figure.get_supxlabel() == ""
    assert "<text" not in page
    assert picture != before
    assert caplog.records == []


def test_control_characters_are_shown_so_that_a_figure_is_valid_xml() -> None:
    with canvas() as (figure, axes):
        axes.plot([1, 2], label="\x1b[31mred")
        axes.set_title("\u202eevil \x00")
        axes.legend()
        drawing = as_svg_file(figure)
        assert [text.get_text() for text in (*axes.get_legend().get_texts(), axes.title)] == ["\\x1b[31mred", ""]
        assert axes.get_title(loc="left") == "\\u202eevil \\x00"
        assert "\\x1b" in as_svg(figure, alternative="\x1b")
    ET.fromstring(drawing)
    assert label_histogram({"\x1b": 3}) == label_histogram({"\\x1b": 3})


def test_other_warnings_of_a_drawing_are_not_swallowed() -> None:
    with canvas(width=0.1, height=0.1) as (figure, _), pytest.warns(UserWarning, match="collapsed to zero"):
        as_png(figure)


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


@pytest.mark.parametrize(("letters", "lines"), [(3, 2), (16, 3), (30, 6)])
def test_a_legend_has_as_many_columns_as_the_figure_is_wide(letters: int, lines: int) -> None:
    with canvas(width=4.6, height=4) as (figure, axes):
        for place in range(6):
            axes.plot([0, 1], [place, 1], label=letters * "x" + str(place))
        assert add_legend(figure, "outside lower center", columns=3) == lines
        (legend,) = figure.legends
        assert legend.get_window_extent().width <= figure.bbox.width
