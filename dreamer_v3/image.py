"""Loss of pixels in V3."""

import torch
from torch import Tensor

from common.errors import check_choice


class PixelMSE:
    """`image` part: (p(out) - x / 255)^2, without a factor 0.5, summed over pixels.

    link: p is "sigmoid", or "shift", out + 0.5 (V3-2023). Source: V3 `rssm.Decoder`; V3-2023 `nets.ImageDecoderSimple`.
    """

    def __init__(self, *, link: str = "sigmoid"):
        check_choice("image.link", link, ("sigmoid", "shift"))
        self.link = link

    def pred(self, out: Tensor) -> Tensor:
        """(..., H, W, C) -> image in [0, 1]."""
        return torch.sigmoid(out.float()) if self.link == "sigmoid" else out.float() + 0.5

    def loss(self, out: Tensor, image: Tensor) -> Tensor:
        """(..., H, W, C), uint8 (..., H, W, C) -> (...)."""
        return (self.pred(out) - image.float() / 255).square().sum((-3, -2, -1))
