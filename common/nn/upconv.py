"""Convolutions that double the size of an image, computed on the small image.

Every second output pixel of a convolution on an upsampled image, or of a transposed convolution of stride 2, is an
ordinary convolution of the small image with some taps of the kernel. One convolution computes these four phases as
channels; their pixels are then interleaved. The result is the same. Nearest neighbours need 9/25 of the multiplications
of a 5x5 kernel, and no zeros or repeated pixels are written.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def nearest_taps(kernel: int, padding: int) -> tuple[Tensor, int]:
    """Return the taps of nearest-neighbour upsampling and a convolution, and the padding of the small convolution."""
    return phase_taps(kernel, lambda k, phase: (phase + k - padding) // 2)


def transposed_taps(kernel: int, padding: int) -> tuple[Tensor, int]:
    """Return the same for a transposed convolution of stride 2 that drops `padding` pixels on each side."""
    even = lambda k, phase: (phase + padding - k) // 2 if (phase + padding - k) % 2 == 0 else None
    return phase_taps(kernel, even)


def phase_taps(kernel: int, place: Callable[[int, int], int | None]) -> tuple[Tensor, int]:
    """Return 0-1 matrices (2, M, kernel): which tap of the kernel reads which of M small pixels, for both phases.

    place(k, phase): position of the small pixel that tap k reads, relative to that of the output pixel, or None.
    Also returns how far before the output pixel the M pixels begin.
    """
    places = [[place(k, phase) for k in range(kernel)] for phase in (0, 1)]
    used = [p for row in places for p in row if p is not None]
    taps = torch.zeros(2, max(used) - min(used) + 1, kernel)
    for phase, row in enumerate(places):
        for k, p in enumerate(row):
            if p is not None:
                taps[phase, p - min(used), k] = 1
    return taps, -min(used)


def conv_to_double_size(
    x: Tensor, weight: Tensor, bias: Tensor | None, taps: Tensor, before: int, size: Sequence[int]
) -> Tensor:
    """Convolve (N, I, H, W) with weight (O, I, K, K) and taps (2, M, K) to (N, O, *size).

    before: zero pixels before the image; after it there are as many as `size` needs.
    """
    out, wide = len(weight), taps.shape[1]
    kernel = torch.einsum("aum,bvn,oimn->aboiuv", taps, taps, weight).flatten(0, 2)
    behind = [(s + 1) // 2 - n - before + wide - 1 for s, n in zip(size, x.shape[2:], strict=True)]
    if behind == [before, before]:
        padding = before
    else:
        padding, x = 0, F.pad(x, (before, behind[1], before, behind[0]))
    y = F.conv2d(x, kernel, None if bias is None else bias.repeat(4), padding=padding)
    y = y.permute(0, 2, 3, 1).unflatten(-1, (2, 2, out)).permute(0, 1, 3, 2, 4, 5)
    y = y.flatten(3, 4).flatten(1, 2)[:, : size[0], : size[1]]
    return y.permute(0, 3, 1, 2)


class UpsampleConv(nn.Conv2d):
    """Nearest-neighbour upsampling by 2, then this convolution: (N, I, H, W) -> (N, O, 2 H, 2 W)."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.taps: Tensor
        taps, self.before = nearest_taps(self.kernel_size[0], int(self.padding[0]))
        self.register_buffer("taps", taps, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        size = [2 * n for n in x.shape[2:]]
        return conv_to_double_size(x, self.weight, self.bias, self.taps, self.before, size)


class UpConv(nn.ConvTranspose2d):
    """Transposed convolution of stride 2: (N, I, H, W) -> (N, O, 2 H + K - 2 P - 2, ...), minus the last `crop` pixels.

    Only the forward pass is faster on the small image, so the backward pass is that of torch.
    """

    def __init__(self, *args: Any, crop: int = 0, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.crop = crop
        self.taps: Tensor
        taps, self.before = transposed_taps(self.kernel_size[0], int(self.padding[0]))
        self.register_buffer("taps", taps, persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        dtype, sizes = compute_dtype(x), (self.before, self.padding[0], self.crop)
        bias = None if self.bias is None else self.bias.to(dtype)
        return TransposedFunction.apply(x.to(dtype), self.weight.to(dtype), bias, self.taps, *sizes)


class TransposedFunction(torch.autograd.Function):
    """`conv_to_double_size` forward, a transposed convolution backward."""

    @staticmethod
    def forward(ctx, x, weight, bias, taps, before, padding, crop):
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.crop = padding, crop
        size = [2 * n + weight.shape[2] - 2 * padding - 2 - crop for n in x.shape[2:]]
        return conv_to_double_size(x, weight.transpose(0, 1), bias, taps.to(x.dtype), before, size)

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        pad, crop = [ctx.padding] * 2, ctx.crop
        grad = F.pad(grad, (0, crop, 0, crop)) if crop else grad
        shape = [2, 2], pad, [1, 1], True, [0, 0], 1  # stride, padding, dilation, transposed, output padding, groups
        wanted = list(ctx.needs_input_grad[:3])
        grads = torch.ops.aten.convolution_backward(grad, x, weight, [weight.shape[1]], *shape, wanted)
        return *grads, None, None, None, None


class SeedConv(nn.ConvTranspose2d):
    """Transposed convolution of a single pixel, which is a linear layer: (N, I, 1, 1) -> (N, O, K, K)."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        kernel = self.weight.permute(2, 3, 1, 0).flatten(0, 2)
        y = F.linear(x.flatten(1), kernel).unflatten(-1, (*self.kernel_size, -1))
        return (y if self.bias is None else y + self.bias.to(y.dtype)).permute(0, 3, 1, 2)


def compute_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype of matrix products with x. The meta device has no autocast."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if device != "meta" and torch.is_autocast_enabled(device) else x.dtype
