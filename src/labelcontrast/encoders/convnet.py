"""The embedded default for pictures: a small residual network that learns from scratch on two cores."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelcontrast.encoders.base import drawing_from
from labelcontrast.encoders.pictures import Look, PictureEncoder


class ConvNet(PictureEncoder):
    """A residual network of four stages, each twice as wide and half as fine as the one before: 1.2 M parameters.

    Args:
        width: width of the embedding, which is that of the last stage; a multiple of 8.
        image_size: height and width to which pictures are resized, in pixels; 32 to 96 suit it.
        generator: where the initial weights are drawn from.

    Example:
        >>> import numpy as np
        >>> encoder = ConvNet(width=64, image_size=32).eval()
        >>> encoder(encoder.collate(encoder.prepare([np.zeros((8, 8), np.uint8)]))).shape
        torch.Size([1, 64])

    Reference: He et al., Deep Residual Learning for Image Recognition, 2016.
    """

    def __init__(self, *, width: int = 256, image_size: int = 64, generator: torch.Generator | None = None) -> None:
        super().__init__(Look(height=image_size, width=image_size))
        self.output_dim = width
        widths = (width // 8, width // 4, width // 2, width)
        with drawing_from(generator):
            self.stem = nn.Sequential(*_convolution(3, widths[0], stride=2), nn.ReLU())
            self.stages = nn.Sequential(
                ResidualBlock(widths[0], widths[0], stride=1),
                *(ResidualBlock(narrow, wide, stride=2) for narrow, wide in pairwise(widths)),
            )

    def look_at(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Embed normalised pixels: the mean over the last stage (how much of it) plus the maximum (whether at all)."""
        maps: Tensor = self.stages(self.stem(pixels))
        return maps.mean(dim=(2, 3)) + maps.amax(dim=(2, 3))

    def settings(self) -> dict[str, object]:
        """Say how to build this encoder again."""
        return {"family": "convnet", "width": self.output_dim, "image_size": self.look.height}


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, which is averaged down and widened where the block is."""

    def __init__(self, narrow: int, wide: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_convolution(narrow, wide, stride=stride), nn.ReLU(), *_convolution(wide, wide))
        self.shortcut = (
            nn.Identity()
            if stride == 1
            else nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True), nn.Conv2d(narrow, wide, 1, bias=False), nn.BatchNorm2d(wide)
            )
        )

    def forward(self, maps: Float[Tensor, "batch narrow height width"]) -> Float[Tensor, "batch wide rows columns"]:
        """Send feature maps through."""
        out: Tensor = (self.shortcut(maps) + self.body(maps)).relu()
        return out


def _convolution(narrow: int, wide: int, *, stride: int = 1) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Make a 3 x 3 convolution and its normalisation, with weights scaled for a ReLU."""
    convolution = nn.Conv2d(narrow, wide, 3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return convolution, nn.BatchNorm2d(wide)
