"""Convolutions of V3: k5, max-pooling, nearest-neighbour upsampling."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import UserError, check_choice
from common.nn.nets import BlockLinear, ChannelNorm, Layer, Linear, Style, conv
from common.nn.upconv import UpConv, UpsampleConv

KERNEL = 5


class PoolConv:
    """`conv` part: four stages that halve the image; channels depth x (2, 3, 4, 4).

    resample: "pool"; or "stride", as in the paper and the code of 2024: an outer stage without resampling, then strided
    (transposed) convolutions, channels depth x (1, 2, 3, 4, 4). blocks: of the first layer of the decoder.
    Source: V3 `rssm.Encoder`, `rssm.Decoder`.
    """

    def __init__(self, *, depth: int = 64, resample: str = "pool", blocks: int = 8):
        check_choice("conv.resample", resample, ("pool", "stride"))
        self.blocks, self.resample = blocks, resample
        mults = (2, 3, 4, 4) if resample == "pool" else (1, 2, 3, 4, 4)
        self.widths = [depth * m for m in mults]

    def check(self, size: tuple[int, int]) -> None:
        """Raise UserError for an image size (H, W) that cannot be halved four times."""
        if size[0] % 16 or size[1] % 16 or min(size) < 16:
            raise UserError(
                f"conv.use PoolConv takes image sides divisible by 16, got {size[0]}x{size[1]}. Use --env.size 64."
            )

    def encoder(self, channels: int, size: tuple[int, int], style: Style) -> "PoolEncoder":
        """Build the encoder (N, C, H, W) -> (N, H/16 * W/16 * 4 depth), flattened as height, width, channel."""
        return PoolEncoder(channels, size, self.widths, self.resample, style)

    def decoder(
        self, channels: int, size: tuple[int, int], deter: int, stoch: int, units: int, style: Style
    ) -> "PoolDecoder":
        """Build the decoder (N, D), (N, Z) -> (N, C, H, W) without output activation."""
        return PoolDecoder(channels, size, deter, stoch, units, self, style)


def same_pad(x: Tensor) -> Tensor:
    """Pad for a k5 s2 convolution whose output is half the input: one pixel before, two after, as in JAX."""
    return F.pad(x, (1, 2, 1, 2))


class PoolEncoder(nn.Module):
    """Encoder of `PoolConv`. size: number of outputs."""

    def __init__(self, channels: int, size: tuple[int, int], widths: list[int], resample: str, style: Style):
        super().__init__()
        pool = resample == "pool"
        inputs = [channels, *widths[:-1]]
        strides = [1 if pool or i == 0 else 2 for i in range(len(widths))]
        self.pads = [nn.Identity() if stride == 1 else same_pad for stride in strides]
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()
        self.convs = nn.ModuleList(
            conv(i, o, KERNEL, s, KERNEL // 2 if s == 1 else 0, style=style, bias=style.inner_bias)
            for i, o, s in zip(inputs, widths, strides, strict=True)
        )
        self.norms = nn.ModuleList(ChannelNorm(o, style) for o in widths)
        self.size = size[0] // 16 * (size[1] // 16) * widths[-1]

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, size)."""
        x = image
        for pad, layer, norm in zip(self.pads, self.convs, self.norms, strict=True):
            x = norm(self.pool(layer(pad(x))))
        return x.permute(0, 2, 3, 1).flatten(1)


class PoolDecoder(nn.Module):
    """Decoder of `PoolConv`. Its small first image sums a block-diagonal layer on deter and two layers on stoch."""

    def __init__(
        self, channels: int, size: tuple[int, int], deter: int, stoch: int, units: int, part: PoolConv, style: Style
    ):
        super().__init__()
        self.part, self.start = part, (size[0] // 16, size[1] // 16, part.widths[-1])
        flat = self.start[0] * self.start[1] * self.start[2]
        self.from_deter = BlockLinear(deter, flat, part.blocks, style.init)
        self.from_stoch = nn.Sequential(Layer(stoch, 2 * units, style), Linear(2 * units, flat, style.init))
        self.start_norm = ChannelNorm(self.start[2], style)
        outs = part.widths[-2::-1]
        self.convs = nn.ModuleList(
            upward(part.resample, i, o, style=style, bias=style.inner_bias)
            for i, o in zip([self.start[2], *outs[:-1]], outs, strict=True)
        )
        self.norms = nn.ModuleList(ChannelNorm(o, style) for o in outs)
        if part.resample == "pool":
            self.out = upward("pool", outs[-1], channels, style=style)
        else:
            self.out = conv(outs[-1], channels, KERNEL, 1, 2, style=style)

    def forward(self, deter: Tensor, stoch: Tensor) -> Tensor:
        """(N, D), (N, Z) -> (N, C, H, W)."""
        h, w, c = self.start
        blocks = self.part.blocks
        x = self.from_deter(deter).unflatten(-1, (blocks, h, w, c // blocks)).permute(0, 1, 4, 2, 3).flatten(1, 2)
        x = self.start_norm(x + self.from_stoch(stoch).unflatten(-1, (h, w, c)).permute(0, 3, 1, 2))
        for layer, norm in zip(self.convs, self.norms, strict=True):
            x = norm(layer(x))
        return self.out(x)


def upward(resample: str, inp: int, out: int, **options: Any) -> nn.Module:
    """Build a convolution that doubles the image: after nearest-neighbour upsampling, or transposed as in JAX."""
    if resample == "pool":
        return conv(inp, out, KERNEL, 1, 2, kind=UpsampleConv, **options)
    return conv(inp, out, KERNEL, 2, 1, kind=UpConv, crop=1, **options)
