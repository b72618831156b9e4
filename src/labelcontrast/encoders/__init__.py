"""Encoders of texts, pictures and feature vectors: embedded ones, pretrained ones, and frozen ones with an adapter.

An encoder prepares raw inputs, collates them to a batch, and embeds the batch:

    >>> import numpy as np
    >>> from labelcontrast import encoders
    >>> encoder = encoders.make_encoder("mlp", kind="vector", input_dim=16).eval()
    >>> encoder(encoder.collate(encoder.prepare(np.zeros((3, 16))))).shape
    torch.Size([3, 256])
"""

from typing import TYPE_CHECKING

from labelcontrast.doors import lazy_names

if TYPE_CHECKING:
    from labelcontrast.encoders.base import Encoder as Encoder
    from labelcontrast.encoders.base import Projector as Projector
    from labelcontrast.encoders.base import TextEncoder as TextEncoder
    from labelcontrast.encoders.embedded import ConvNet as ConvNet
    from labelcontrast.encoders.embedded import HashedEncoder as HashedEncoder
    from labelcontrast.encoders.embedded import LatentSemanticEncoder as LatentSemanticEncoder
    from labelcontrast.encoders.embedded import VectorEncoder as VectorEncoder
    from labelcontrast.encoders.frozen import FrozenEncoder as FrozenEncoder
    from labelcontrast.encoders.pretrained import find_installed as find_installed
    from labelcontrast.encoders.registry import load_encoder as load_encoder
    from labelcontrast.encoders.registry import make_encoder as make_encoder
    from labelcontrast.encoders.vision import PictureEncoder as PictureEncoder
    from labelcontrast.encoders.vision import describe_pictures as describe_pictures

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "base": ["Encoder", "Projector", "TextEncoder"],
        "embedded": ["ConvNet", "HashedEncoder", "LatentSemanticEncoder", "VectorEncoder"],
        "frozen": ["FrozenEncoder"],
        "pretrained": ["find_installed"],
        "registry": ["load_encoder", "make_encoder"],
        "vision": ["PictureEncoder", "describe_pictures"],
    },
)
