"""The published figures of known data sets, compared with those of data that were read."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple

from labelcontrast.data.splits import Splits
from labelcontrast.labels.label_sets import LabelSets


class Published(NamedTuple):
    """The figures of a data set according to its source; a figure that the source does not give is None."""

    title: str
    source: str
    train: int
    """Training examples; with those of validation if the source has no validation split."""
    val: int | None
    test: int | None
    labels: int
    labels_mean: float | None = None
    """Labels an example, over all splits."""


@dataclass(frozen=True)
class PublishedFigure:
    """A published figure and the one found."""

    name: str
    published: float
    found: float

    @property
    def agrees(self) -> bool:
        """True if both are equal; means are compared to two decimals, as published."""
        return abs(self.published - self.found) < (0.006 if self.name == "labels each" else 0.5)


@dataclass(frozen=True)
class PublishedComparison:
    """The published figures of a data set beside those found."""

    title: str
    source: str
    figures: tuple[PublishedFigure, ...]


_COCO = "Lin et al., ECCV 2014"
_READ = "Read et al. and Tsoumakas et al., as the MULAN repository lists them"
_XMC = "Bhatia et al., The extreme classification repository, 2016"
PUBLISHED: dict[str, Published] = {
    "voc2007": Published("PASCAL VOC 2007", "Everingham et al., IJCV 2010", 5011, None, 4952, 20),
    "voc2012": Published("PASCAL VOC 2012", "Everingham et al., IJCV 2015", 5717, 5823, None, 20),
    "coco2014": Published("MS-COCO 2014", _COCO, 82783, 40504, None, 80),
    "coco2017": Published("MS-COCO 2017", _COCO, 118287, 5000, None, 80),
    "nuswide": Published("NUS-WIDE", "Chua et al., CIVR 2009", 161789, None, 107859, 81),
    "rcv1": Published("RCV1-v2", "Lewis et al., JMLR 2004", 23149, None, 781265, 103, 3.24),
    "aapd": Published("AAPD", "Yang et al., SGM, COLING 2018", 53840, 1000, 1000, 54, 2.41),
    "bgc": Published("Blurb Genre Collection", "Aly, Remus and Biemann, ACL 2019", 58715, 14785, 18394, 146, 3.01),
    "semeval2018_ec": Published("SemEval-2018 E-c (English)", "Mohammad et al., SemEval 2018", 6838, 886, 3259, 11),
    "goemotions": Published("GoEmotions", "Demszky et al., ACL 2020", 43410, 5426, 5427, 28),
    "newsgroups20": Published("20 Newsgroups, by date", "Rennie, 2008", 11314, None, 7532, 20, 1.0),
    "reuters21578": Published("Reuters-21578, ModApte, 90 topics", "Yang and Liu, SIGIR 1999", 7769, None, 3019, 90),
    "eurlex4k": Published("EURLex-4K", _XMC, 15539, None, 3809, 3993, 5.31),
    "wiki10_31k": Published("Wiki10-31K", _XMC, 14146, None, 6616, 30938, 18.64),
    "clinc150": Published("CLINC150, in scope", "Larson et al., EMNLP 2019", 15000, 3000, 4500, 150, 1.0),
    "hoc": Published("Hallmarks of Cancer", "Baker et al., 2016", 1852, None, None, 37),
    "corel5k": Published("Corel5k", "Duygulu et al., ECCV 2002", 4500, None, 500, 374),
    "ucm_multilabel": Published("UC Merced, multi-label", "Chaudhuri et al., TGRS 2018", 2100, None, None, 17, 3.33),
    "emotions": Published("emotions", _READ, 391, None, 202, 6, 1.87),
    "scene": Published("scene", _READ, 1211, None, 1196, 6, 1.07),
    "yeast": Published("yeast", _READ, 1500, None, 917, 14, 4.24),
    "birds": Published("birds", _READ, 322, None, 323, 19, 1.01),
    "enron": Published("enron", _READ, 1123, None, 579, 53, 3.38),
    "bibtex": Published("bibtex", _READ, 4880, None, 2515, 159, 2.40),
    "delicious": Published("delicious", _READ, 12920, None, 3185, 983, 19.02),
}


def compare_published(splits: Splits) -> PublishedComparison | None:
    """Compare the published figures with those found, if the data are a known set; else return None.

    A set is known by its distribution, else by the name of its folder or file. Splits that its source does not have,
    such as a validation split that was drawn from train, are added to train.

    Example:
        >>> PublishedFigure("train", 7769, 7770).agrees, PublishedFigure("labels each", 2.41, 2.408).agrees
        (False, True)
    """
    published = _known(splits)
    if published is None:
        return None
    sizes: dict[str, int] = {split: len(examples) for split, examples in splits.by_name.items()}
    given = {"val": published.val, "test": published.test}
    sizes["train"] += sum(sizes[split] for split, size in given.items() if size is None)
    figures = [PublishedFigure("train", published.train, sizes["train"])]
    figures += [PublishedFigure(split, size, sizes[split]) for split, size in given.items() if size is not None]
    figures.append(PublishedFigure("labels", published.labels, len(splits.vocabulary)))
    if published.labels_mean is not None:
        held = sum(len(LabelSets.of(examples.label_sets or []).codes) for examples in splits.by_name.values())
        mean = held / sum(map(len, splits.by_name.values()))
        figures.append(PublishedFigure("labels each", published.labels_mean, mean))
    return PublishedComparison(published.title, published.source, tuple(figures))


def _known(splits: Splits) -> Published | None:
    """Look up the published figures by the name of the distribution, of the file or of the folder."""
    origin = PurePath(splits.train.origin)
    names: Sequence[str | None] = (splits.train.dataset, origin.stem, origin.parent.name)
    plain = {_plain(name): published for name, published in PUBLISHED.items()}
    return next((plain[_plain(name)] for name in names if name and _plain(name) in plain), None)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
