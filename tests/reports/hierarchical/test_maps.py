"""The map by level: a picture a level, with names that leave room for the dots."""

import base64
import io
import re

import numpy as np
from PIL import Image

from labelcontrast.reports.hierarchical.maps import level_figures
from labelcontrast.reports.summary import EmbeddingMap


def test_each_level_has_its_own_colours_and_long_names_leave_the_dots_their_room() -> None:
    points = np.random.default_rng(0).normal(size=(60, 2))
    labels = [["animal", "plant"], [f"a very long name of a label that is a path > {place}" for place in range(6)]]
    maps = [
        EmbeddingMap(coordinates=points, labels=[own[place % len(own)] for place in range(60)], method="PCA")
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
