"""Likelihood of pixels in V3."""

import torch

from common.errors import check_choice


class PixelMSE:
    """Squared error in [0, 1], factor 1, summed over pixels.

    link: the output passes a sigmoid, or a shift by 0.5 (V3-2023).
    """

    def __init__(self, *, link: str = "sigmoid"):
        check_choice("image.link", link, ("sigmoid", "shift"))
        self.pred = (lambda out: torch.sigmoid(out.float())) if link == "sigmoid" else (lambda out: out.float() + 0.5)

    def loss(self, out, image):
        """(..., H, W, C), uint8 (..., H, W, C) -> (...)."""
        return (self.pred(out) - image.float() / 255).square().sum((-3, -2, -1))
