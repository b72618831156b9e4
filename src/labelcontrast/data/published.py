"""The published figures of known data sets, beside those that were found."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from labelcontrast.data.splits import Splits
from labelcontrast.labels.label_sets import LabelSets


@dataclass(frozen=True, kw_only=True)
class Published:
    """What the source of a data set says of it; a figure that it does not give is None."""

    title: str
    source: str
    train: int
    """Training examples; with those of validation where the source has no validation part."""
    val: int | None = None
    test: int | None = None
    labels: int
    labels_mean: float | None = None
    """Labels an example, over all parts."""


@dataclass(frozen=True)
class Figure:
    """A published figure and the one found."""

    name: str
    published: float
    found: float

    @property
    def agrees(self) -> bool:
        """Whether the two are the same; a mean, to the hundredths that are published."""
        return abs(self.published - self.found) < (0.006 if self.name == "labels each" else 0.5)


@dataclass(frozen=True)
class PublishedComparison:
    """The published figures of a data set beside those found."""

    title: str
    source: str
    figures: tuple[Figure, ...]


_READ = "Read et al. and Tsoumakas et al., as the MULAN repository lists them"
_XMC = "Bhatia et al., The extreme classification repository, 2016"
PUBLISHED: dict[str, Published] = {
    "voc2007": Published(
        title="PASCAL VOC 2007", source="Everingham et al., IJCV 2010", train=5011, test=4952, labels=20
    ),
    "voc2012": Published(
        title="PASCAL VOC 2012", source="Everingham et al., IJCV 2015", train=5717, val=5823, labels=20
    ),
    "coco2014": Published(title="MS-COCO 2014", source="Lin et al., ECCV 2014", train=82783, val=40504, labels=80),
    "coco2017": Published(title="MS-COCO 2017", source="Lin et al., ECCV 2014", train=118287, val=5000, labels=80),
    "nuswide": Published(title="NUS-WIDE", source="Chua et al., CIVR 2009", train=161789, test=107859, labels=81),
    "rcv1": Published(
        title="RCV1-v2", source="Lewis et al., JMLR 2004", train=23149, test=781265, labels=103, labels_mean=3.24
    ),
    "aapd": Published(
        title="AAPD",
        source="Yang et al., SGM, COLING 2018",
        train=53840,
        val=1000,
        test=1000,
        labels=54,
        labels_mean=2.41,
    ),
    "bgc": Published(
        title="Blurb Genre Collection",
        source="Aly, Remus and Biemann, ACL 2019",
        train=58715,
        val=14785,
        test=18394,
        labels=146,
        labels_mean=3.01,
    ),
    "semeval2018_ec": Published(
        title="SemEval-2018 E-c (English)",
        source="Mohammad et al., SemEval 2018",
        train=6838,
        val=886,
        test=3259,
        labels=11,
    ),
    "goemotions": Published(
        title="GoEmotions", source="Demszky et al., ACL 2020", train=43410, val=5426, test=5427, labels=28
    ),
    "newsgroups20": Published(
        title="20 Newsgroups, by date", source="Rennie, 2008", train=11314, test=7532, labels=20, labels_mean=1.0
    ),
    "reuters21578": Published(
        title="Reuters-21578, ModApte, 90 topics",
        source="Yang and Liu, SIGIR 1999",
        train=7769,
        test=3019,
        labels=90,
    ),
    "eurlex4k": Published(title="EURLex-4K", source=_XMC, train=15539, test=3809, labels=3993, labels_mean=5.31),
    "wiki10_31k": Published(title="Wiki10-31K", source=_XMC, train=14146, test=6616, labels=30938, labels_mean=18.64),
    "clinc150": Published(
        title="CLINC150, in scope",
        source="Larson et al., EMNLP 2019",
        train=15000,
        val=3000,
        test=4500,
        labels=150,
        labels_mean=1.0,
    ),
    "hoc": Published(title="Hallmarks of Cancer", source="Baker et al., 2016", train=1852, labels=37),
    "corel5k": Published(title="Corel5k", source="Duygulu et al., ECCV 2002", train=4500, test=500, labels=374),
    "ucm_multilabel": Published(
        title="UC Merced, multi-label", source="Chaudhuri et al., TGRS 2018", train=2100, labels=17, labels_mean=3.33
    ),
    "emotions": Published(title="emotions", source=_READ, train=391, test=202, labels=6, labels_mean=1.87),
    "scene": Published(title="scene", source=_READ, train=1211, test=1196, labels=6, labels_mean=1.07),
    "yeast": Published(title="yeast", source=_READ, train=1500, test=917, labels=14, labels_mean=4.24),
    "birds": Published(title="birds", source=_READ, train=322, test=323, labels=19, labels_mean=1.01),
    "enron": Published(title="enron", source=_READ, train=1123, test=579, labels=53, labels_mean=3.38),
    "bibtex": Published(title="bibtex", source=_READ, train=4880, test=2515, labels=159, labels_mean=2.40),
    "delicious": Published(title="delicious", source=_READ, train=12920, test=3185, labels=983, labels_mean=19.02),
}


def compare_published(splits: Splits) -> PublishedComparison | None:
    """Put the published figures beside those found, where the data are of a known set.

    A set is known by its distribution, else by the name of its folder or file. Parts that its source does not have, as
    a validation part that was taken from train, are added to train.

    Returns:
        None for data that are not known.

    Example:
        >>> Figure("train", 7769, 7770).agrees, Figure("labels each", 2.41, 2.408).agrees
        (False, True)
    """
    published = _known(splits)
    if published is None:
        return None
    sizes: dict[str, int] = {part: len(examples) for part, examples in splits.parts.items()}
    given = {"val": published.val, "test": published.test}
    sizes["train"] += sum(sizes[part] for part, size in given.items() if size is None)
    figures = [Figure("train", published.train, sizes["train"])]
    figures += [Figure(part, size, sizes[part]) for part, size in given.items() if size is not None]
    figures.append(Figure("labels", published.labels, len(splits.vocabulary)))
    if published.labels_mean is not None:
        held = sum(len(LabelSets.of(examples.label_sets or []).codes) for examples in splits.parts.values())
        mean = held / sum(map(len, splits.parts.values()))
        figures.append(Figure("labels each", published.labels_mean, mean))
    return PublishedComparison(published.title, published.source, tuple(figures))


def _known(splits: Splits) -> Published | None:
    """Find the published figures by the name of the set, of the folder or of the file."""
    origin = PurePath(splits.train.origin)
    names: Sequence[str | None] = (splits.train.dataset, origin.stem, origin.parent.name)
    plain = {_plain(name): published for name, published in PUBLISHED.items()}
    return next((plain[_plain(name)] for name in names if name and _plain(name) in plain), None)


def _plain(name: str) -> str:
    """Return the letters and digits of a name, in small letters."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
