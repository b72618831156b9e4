"""Official distributions of known data sets, recognized by a file that only they have."""

from pathlib import Path

from labelcontrast.data.columns import ColumnNames
from labelcontrast.data.examples import BySplit
from labelcontrast.data.official.photographs import read_coco, read_nuswide, read_voc
from labelcontrast.data.official.repositories import read_mulan, read_xmc
from labelcontrast.data.official.texts import (
    read_aapd,
    read_bgc,
    read_goemotions,
    read_newsgroups,
    read_rcv1,
    read_reuters,
    read_semeval,
)

DISTRIBUTIONS = (
    read_voc,
    read_coco,
    read_nuswide,
    read_rcv1,
    read_reuters,
    read_aapd,
    read_bgc,
    read_semeval,
    read_goemotions,
    read_newsgroups,
    read_mulan,
    read_xmc,
)
"""The readers in the order in which they are tried; each returns None for any other folder."""


def read_official(folder: Path, wanted: ColumnNames) -> BySplit | None:
    """Read the official distribution in a folder, with its own splits; None if there is none.

    Raises:
        DataError: A file of the distribution is missing or damaged; with the file and the line.
    """
    found = (read(folder, wanted) for read in DISTRIBUTIONS)
    return next((splits for splits in found if splits is not None), None)
