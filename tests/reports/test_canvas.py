"""Figures as markup: valid, deterministic, with a text alternative, and nothing left behind in matplotlib."""

import base64
import re
from xml.etree import ElementTree as ET

import matplotlib as mpl

from labelcontrast.reports.canvas import MARKERS, PALETTE, as_image, as_png, as_svg, canvas, look_of


def drawn(writer, **more):
    with canvas() as (figure, axes):
        axes.plot([1, 2], [3, 4], label="a")
        axes.legend()
        return writer(figure, **more)


def test_svg_is_well_formed_says_what_it_shows_and_names_nothing_twice() -> None:
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


def test_the_same_figure_is_the_same_text() -> None:
    assert drawn(as_svg, alternative="x") == drawn(as_svg, alternative="x")


def test_png_stands_in_the_page_with_its_alternative() -> None:
    png = drawn(as_png)
    assert png.startswith(b"\x89PNG")
    markup = drawn(as_image, alternative="A <map>")
    assert 'alt="A &lt;map&gt;"' in markup
    assert base64.b64decode(re.search(r"base64,([^\"]*)", markup)[1]) == png


def test_the_style_does_not_leak() -> None:
    before = dict(mpl.rcParams)
    drawn(as_svg, alternative="x")
    assert dict(mpl.rcParams) == before


def luminance(color: str) -> float:
    red, green, blue = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2


def test_every_colour_stands_out_from_paper_and_no_two_things_look_alike() -> None:
    assert all(1.05 / (luminance(color) + 0.05) > 2 for color in PALETTE)
    looks = [look_of(place) for place in range(len(PALETTE) * len(MARKERS))]
    assert len(set(looks)) == len(looks)
