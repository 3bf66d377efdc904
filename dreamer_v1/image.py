"""Likelihood of pixels in V1 and V2."""


class PixelNormal:
    """Unit-variance Gaussian around x / 255 - 0.5: half the squared error, summed over pixels."""

    def pred(self, out):
        """Decoder output (..., H, W, C) -> image in [0, 1]."""
        return out.float() + 0.5

    def loss(self, out, image):
        """(..., H, W, C), uint8 (..., H, W, C) -> (...)."""
        return 0.5 * (out.float() - (image.float() / 255 - 0.5)).square().sum((-3, -2, -1))
