"""Which official distribution a folder holds, found by looking for the file that only it has."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from labelcontrast.data.columns import ColumnNames
from labelcontrast.data.official.arff import find_arff, read_arff_folder
from labelcontrast.data.official.extreme import find_extreme, read_extreme
from labelcontrast.data.official.photographs import find_coco, find_nuswide, find_voc, read_coco, read_nuswide, read_voc
from labelcontrast.data.official.source import Parts
from labelcontrast.data.official.texts import (
    find_aapd,
    find_bgc,
    find_goemotions,
    find_newsgroups,
    find_rcv1,
    find_reuters,
    find_semeval,
    read_aapd,
    read_bgc,
    read_goemotions,
    read_newsgroups,
    read_rcv1,
    read_reuters,
    read_semeval,
)


class Distribution(NamedTuple):
    """How a distribution is known, and how it is read."""

    find: Callable[[Path], Path | None]
    read: Callable[[Path, ColumnNames], Parts]


DISTRIBUTIONS = (
    Distribution(find_voc, read_voc),
    Distribution(find_coco, read_coco),
    Distribution(find_nuswide, read_nuswide),
    Distribution(find_rcv1, read_rcv1),
    Distribution(find_reuters, read_reuters),
    Distribution(find_aapd, read_aapd),
    Distribution(find_bgc, read_bgc),
    Distribution(find_semeval, read_semeval),
    Distribution(find_goemotions, read_goemotions),
    Distribution(find_newsgroups, read_newsgroups),
    Distribution(find_arff, read_arff_folder),
    Distribution(find_extreme, read_extreme),
)


def read_official(folder: Path, wanted: ColumnNames) -> Parts | None:
    """Read the official distribution that a folder holds, in its own parts; None where it holds none that is known.

    Raises:
        DataError: when it is known, but a file of it is missing or damaged; with the file and the line.
    """
    for distribution in DISTRIBUTIONS:
        if distribution.find(folder) is not None:
            return distribution.read(folder, wanted)
    return None
