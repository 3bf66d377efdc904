"""Convolutions of the first V3 (arXiv 2301.04104v1): k4 s2 with padding, down to 4x4 and back."""

import math

import torch
from torch import Tensor, nn

from common.errors import UserError
from common.nn.nets import ChannelNorm, Linear, Style, conv
from common.nn.upconv import UpConv

START_SIDE = 4


class StrideConv:
    """`conv` part: one k4 s2 stage for each halving down to 4x4; channels depth x (1, 2, 4, ...).

    Source: V3 of January 2023, `nets.ImageEncoderSimple`, `nets.ImageDecoderSimple`.
    """

    def __init__(self, *, depth: int = 96):
        self.depth = depth

    def check(self, size: tuple[int, int]) -> None:
        """Raise UserError unless the image is square with a side of 4 x 2^n."""
        stages = math.log2(size[0] / START_SIDE)
        if size[0] != size[1] or stages < 1 or stages != int(stages):
            raise UserError(
                f"conv.use StrideConv takes square images of 8, 16, 32, 64 ... pixels, got {size[0]}x{size[1]}. "
                "Use --env.size 64."
            )

    def widths(self, size: tuple[int, int]) -> list[int]:
        """Return the channels after each stage, for images of size (H, W)."""
        return [self.depth * 2**i for i in range(int(math.log2(size[0] / START_SIDE)))]

    def encoder(self, channels: int, size: tuple[int, int], style: Style) -> "StrideEncoder":
        """Build the encoder (N, C, H, W) -> (N, 4 * 4 * C'), flattened in the order height, width, channel."""
        return StrideEncoder(channels, self.widths(size), style)

    def decoder(
        self, channels: int, size: tuple[int, int], deter: int, stoch: int, units: int, style: Style
    ) -> "StrideDecoder":
        """Build the decoder (N, D), (N, Z) -> (N, C, H, W) without output activation."""
        return StrideDecoder(channels, deter + stoch, self.widths(size), style)


class StrideEncoder(nn.Sequential):
    """Encoder of `StrideConv`. size: number of outputs."""

    def __init__(self, channels: int, widths: list[int], style: Style):
        stages: list[nn.Module] = []
        for inp, out in zip([channels, *widths[:-1]], widths, strict=True):
            stages += [conv(inp, out, 4, 2, 1, style=style, bias=style.inner_bias), ChannelNorm(out, style)]
        super().__init__(*stages)
        self.size = START_SIDE**2 * widths[-1]

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, size)."""
        return super().forward(image).permute(0, 2, 3, 1).flatten(1)


class StrideDecoder(nn.Module):
    """Decoder of `StrideConv`: a linear layer to 4x4, then transposed convolutions."""

    def __init__(self, channels: int, feat: int, widths: list[int], style: Style):
        super().__init__()
        self.inp = Linear(feat, START_SIDE**2 * widths[-1], style.init)
        stages: list[nn.Module] = []
        for inp, out in zip(widths[:0:-1], widths[-2::-1], strict=True):
            up = conv(inp, out, 4, 2, 1, style=style, bias=style.inner_bias, kind=UpConv)
            stages += [up, ChannelNorm(out, style)]
        self.stages = nn.Sequential(*stages, conv(widths[0], channels, 4, 2, 1, style=style, kind=UpConv))

    def forward(self, deter: Tensor, stoch: Tensor) -> Tensor:
        """(N, D), (N, Z) -> (N, C, H, W)."""
        x = self.inp(torch.cat([deter, stoch], -1)).unflatten(-1, (START_SIDE, START_SIDE, -1))
        return self.stages(x.permute(0, 3, 1, 2))
