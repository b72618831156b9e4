"""Views of a batch: the same examples more than once, each time altered anew."""

from collections.abc import Callable, Mapping
from importlib import import_module

import torch
from torch import Tensor

from labelcontrast.errors import MissingExtraError
from labelcontrast.settings import TrainingSettings

Inputs = Mapping[str, Tensor]
OPERATIONS, MAGNITUDE = 2, 9
"""RandAugment as in the paper: two operations of strength 9 of 30."""


def make_views(settings: TrainingSettings) -> Callable[[Inputs], list[Inputs]]:
    """Build what makes ``settings.views`` views of the inputs of a batch.

    With ``augment = "randaugment"`` each view of pictures is altered by two random operations, where the pictures are.
    Inputs of another kind stay as they are: their views differ by the dropout of the encoder.

    Raises:
        MissingExtraError: when pictures shall be augmented and kornia is not installed.
    """
    if settings.augment == "none":
        return lambda inputs: [inputs] * settings.views
    alter = _rand_augment()
    return lambda inputs: [_altered(inputs, alter) for _ in range(settings.views)]


def _altered(inputs: Inputs, alter: Callable[[Tensor], Tensor]) -> Inputs:
    """Alter the pictures of a batch; they come and go as bytes [batch, height, width, 3]."""
    if "pixels" not in inputs:
        return inputs
    pixels = inputs["pixels"].permute(0, 3, 1, 2).float() / 255
    changed = alter(pixels).clamp(0, 1).mul(255).round().to(torch.uint8)
    return {**inputs, "pixels": changed.permute(0, 2, 3, 1)}


def _rand_augment() -> Callable[[Tensor], Tensor]:
    """Build kornia's RandAugment: a batch has its operations in common, each picture its own strengths and signs.

    Reference: Cubuk, Zoph, Shlens and Le, RandAugment, 2020.
    """
    try:
        build = import_module("kornia.augmentation.auto").RandAugment
    except ImportError:
        what = "the augmentation of pictures"
        raise MissingExtraError(what, "kornia") from None
    augment: Callable[[Tensor], Tensor] = build(n=OPERATIONS, m=MAGNITUDE)
    return augment
