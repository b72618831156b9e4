"""Losses on projections and on logits: ``losses.reg(num_labels=54, dim=256)`` makes a module.

There is one function for each loss of the catalogue, registered ones included. The functions that compute the losses
on logits are in :mod:`labelcontrast.losses.logits`, the affinities of label sets in
:mod:`labelcontrast.losses.affinity`.
"""

from typing import TYPE_CHECKING

from labelcontrast.doors import lazy_names

if TYPE_CHECKING:
    from labelcontrast.losses.affinity import any_shared as any_shared
    from labelcontrast.losses.affinity import coverage as coverage
    from labelcontrast.losses.affinity import exact_match as exact_match
    from labelcontrast.losses.affinity import inverse_union as inverse_union
    from labelcontrast.losses.affinity import jaccard as jaccard
    from labelcontrast.losses.affinity import jaccard_above as jaccard_above
    from labelcontrast.losses.affinity import scaled as scaled
    from labelcontrast.losses.affinity import shared_labels as shared_labels
    from labelcontrast.losses.axes import Contrast as Contrast
    from labelcontrast.losses.axes import LossRow as LossRow
    from labelcontrast.losses.axes import Parameter as Parameter
    from labelcontrast.losses.factory import asl as asl
    from labelcontrast.losses.factory import base as base
    from labelcontrast.losses.factory import bce as bce
    from labelcontrast.losses.factory import bcl as bcl
    from labelcontrast.losses.factory import focal as focal
    from labelcontrast.losses.factory import hicone as hicone
    from labelcontrast.losses.factory import himulcon as himulcon
    from labelcontrast.losses.factory import himulcone as himulcone
    from labelcontrast.losses.factory import jaccard_sigmoid as jaccard_sigmoid
    from labelcontrast.losses.factory import jscl as jscl
    from labelcontrast.losses.factory import lacon as lacon
    from labelcontrast.losses.factory import lsep as lsep
    from labelcontrast.losses.factory import make_loss as make_loss
    from labelcontrast.losses.factory import msc as msc
    from labelcontrast.losses.factory import mulsupcon as mulsupcon
    from labelcontrast.losses.factory import multisupcon as multisupcon
    from labelcontrast.losses.factory import overlap as overlap
    from labelcontrast.losses.factory import paco as paco
    from labelcontrast.losses.factory import proto as proto
    from labelcontrast.losses.factory import reg as reg
    from labelcontrast.losses.factory import simclr as simclr
    from labelcontrast.losses.factory import similarity_dissimilarity as similarity_dissimilarity
    from labelcontrast.losses.factory import sincere as sincere
    from labelcontrast.losses.factory import supcon as supcon
    from labelcontrast.losses.factory import weighted as weighted
    from labelcontrast.losses.factory import wo_reg as wo_reg
    from labelcontrast.losses.factory import zlpr as zlpr
    from labelcontrast.losses.levels import HierarchyArrays as HierarchyArrays
    from labelcontrast.losses.logits import LogitLoss as LogitLoss
    from labelcontrast.losses.loss import ContrastiveLoss as ContrastiveLoss
    from labelcontrast.losses.registry import check_loss as check_loss
    from labelcontrast.losses.registry import loss_catalogue as loss_catalogue
    from labelcontrast.losses.registry import register_loss as register_loss
    from labelcontrast.losses.registry import unregister_loss as unregister_loss

_public_name, __dir__, __all__ = lazy_names(
    __name__,
    {
        "affinity": [
            "any_shared",
            "coverage",
            "exact_match",
            "inverse_union",
            "jaccard",
            "jaccard_above",
            "scaled",
            "shared_labels",
        ],
        "axes": ["Contrast", "LossRow", "Parameter"],
        "factory": [
            "make_loss",
            *("bce", "focal", "asl", "lsep", "zlpr"),
            *("simclr", "supcon", "base", "jscl", "proto", "mulsupcon", "msc", "wo_reg", "reg"),
            *("sincere", "similarity_dissimilarity", "jaccard_sigmoid", "weighted"),
            *("overlap", "multisupcon", "bcl", "paco", "lacon"),
            *("himulcon", "hicone", "himulcone"),
        ],
        "levels": ["HierarchyArrays"],
        "logits": ["LogitLoss"],
        "loss": ["ContrastiveLoss"],
        "registry": ["check_loss", "loss_catalogue", "register_loss", "unregister_loss"],
    },
)


def __getattr__(name: str) -> object:
    """Return a public name, or the function that makes a registered loss."""
    try:
        return _public_name(name)
    except AttributeError:
        from labelcontrast.losses.registry import loss_catalogue

        if name.startswith("_") or name not in {row.name for row in loss_catalogue()}:
            raise
        from labelcontrast.losses.factory import maker

        return maker(name)
