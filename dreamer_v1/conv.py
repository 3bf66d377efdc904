"""Convolutions of V1 and V2: without padding, for 64x64 images only."""

import dataclasses
import itertools

import torch
from torch import Tensor, nn

from common.errors import UserError
from common.nn.nets import ChannelNorm, Linear, Style, conv
from common.nn.upconv import SeedConv, UpConv


class ValidConv:
    """`conv` part: four k4 s2 convolutions 64 -> 31 -> 14 -> 6 -> 2; decoder 1 -> 5 -> 13 -> 30 -> 64.

    depth: channels of the first stage.
    Source: V1 `models.ConvEncoder`, `ConvDecoder`; V2 `common/nets.py` `Encoder`, `Decoder`.
    """

    def __init__(self, *, depth: int = 32):
        self.depth = depth

    def check(self, size: tuple[int, int]) -> None:
        """Raise UserError for an image size (H, W) other than 64x64."""
        if tuple(size) != (64, 64):
            raise UserError(
                f"conv.use ValidConv takes 64x64 images, got {size[0]}x{size[1]}. "
                "Use --env.size 64, or --conv.use PoolConv."
            )

    def encoder(self, channels: int, size: tuple[int, int], style: Style) -> "ValidEncoder":
        """Build the encoder (N, C, 64, 64) -> (N, 32 depth), flattened in the order height, width, channel."""
        return ValidEncoder(channels, self.depth, style)

    def decoder(
        self, channels: int, size: tuple[int, int], deter: int, stoch: int, units: int, style: Style
    ) -> "ValidDecoder":
        """Build the decoder (N, D), (N, Z) -> (N, C, 64, 64) without output activation."""
        return ValidDecoder(channels, deter + stoch, self.depth, style)


class BareValidConv(ValidConv):
    """`conv` part: `ValidConv` without norms, also where the other layers have one (pydreamer).

    Source: pydreamer `models/encoders.py` `ConvEncoder`, `models/decoders.py` `ConvDecoder`.
    """

    def encoder(self, channels: int, size: tuple[int, int], style: Style) -> "ValidEncoder":
        """Build the encoder of `ValidConv` without norms."""
        return super().encoder(channels, size, without_norm(style))

    def decoder(
        self, channels: int, size: tuple[int, int], deter: int, stoch: int, units: int, style: Style
    ) -> "ValidDecoder":
        """Build the decoder of `ValidConv` without norms."""
        return super().decoder(channels, size, deter, stoch, units, without_norm(style))


def without_norm(style: Style) -> Style:
    """Return a style without norms."""
    return dataclasses.replace(style, norm="none")


class ValidEncoder(nn.Sequential):
    """Encoder of `ValidConv`. size: number of outputs."""

    def __init__(self, channels: int, depth: int, style: Style):
        widths = [channels, *(depth * 2**i for i in range(4))]
        stages: list[nn.Module] = []
        for inp, out in itertools.pairwise(widths):
            stages += [conv(inp, out, 4, 2, style=style, bias=style.inner_bias), ChannelNorm(out, style)]
        super().__init__(*stages)
        self.size = 4 * widths[-1]

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, 64, 64) -> (N, size)."""
        return super().forward(image).permute(0, 2, 3, 1).flatten(1)


class ValidDecoder(nn.Module):
    """Decoder of `ValidConv`: a linear layer to a single pixel, then transposed convolutions."""

    def __init__(self, channels: int, feat: int, depth: int, style: Style):
        super().__init__()
        self.inp = Linear(feat, 32 * depth, style.init)
        stages: list[nn.Module] = []
        inp = 32 * depth
        for out, kernel, kind in ((4 * depth, 5, SeedConv), (2 * depth, 5, UpConv), (depth, 6, UpConv)):
            stages += [conv(inp, out, kernel, 2, style=style, bias=style.inner_bias, kind=kind)]
            stages += [ChannelNorm(out, style)]
            inp = out
        self.stages = nn.Sequential(*stages, conv(inp, channels, 6, 2, style=style, kind=UpConv))

    def forward(self, deter: Tensor, stoch: Tensor) -> Tensor:
        """(N, D), (N, Z) -> (N, C, 64, 64)."""
        return self.stages(self.inp(torch.cat([deter, stoch], -1))[:, :, None, None])
