"""Likelihood of pixels in V1 and V2."""

from torch import Tensor


class PixelNormal:
    """`image` part: -ln Normal(x / 255 - 0.5; out, 1) = 0.5 (out - (x / 255 - 0.5))^2, summed over pixels.

    The constant is left out. Source: V1 `models.ConvDecoder`; V2 `common/nets.py` `Decoder`.
    """

    def pred(self, out: Tensor) -> Tensor:
        """(..., H, W, C) -> image in [0, 1]."""
        return out.float() + 0.5

    def loss(self, out: Tensor, image: Tensor) -> Tensor:
        """(..., H, W, C), uint8 (..., H, W, C) -> (...)."""
        return 0.5 * (out.float() - (image.float() / 255 - 0.5)).square().sum((-3, -2, -1))
