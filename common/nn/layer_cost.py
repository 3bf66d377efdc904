"""What the layers of a network cost at one position: FLOPs, outputs, weights, counted from shapes."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from common.nn.nets import BlockLinear
from common.nn.upconv import UpConv, UpsampleConv

COUNTED_LAYERS = nn.Linear | BlockLinear | nn.GRUCell | nn.Conv2d | nn.ConvTranspose2d


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """One weight at one position.

    flops: forward; grad: FLOPs of the gradient of its weights, and of its inputs; outputs, weights: elements; first:
    whether it reads the input of its module.
    """

    flops: int
    grad: int
    outputs: int
    weights: int
    first: bool = False


def layer_costs(module: nn.Module, *inputs) -> list[LayerCost]:
    """Layers of a module on the meta device, in the order in which they are applied to inputs (1, ...).

    Those are `first` that read nothing with a gradient: inputs that need none, and what follows from them alone.
    """
    found: list[LayerCost] = []
    seen = lambda layer, args, out: found.extend(costs_of_call(layer, args, out))
    handles = [part.register_forward_hook(seen) for part in module.modules() if isinstance(part, COUNTED_LAYERS)]
    with torch.enable_grad():
        module(*inputs)
    for handle in handles:
        handle.remove()
    return found


def costs_of_call(layer: Any, args: tuple, out: Tensor) -> Iterable[LayerCost]:
    """The products of one layer with its inputs, one `Layer` for each."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        flops, grad = (2 * n for n in convolution_multiply_adds(layer, args[0], out))
        yield LayerCost(flops, grad, out.numel(), layer.weight.numel(), not args[0].requires_grad)
        return
    for x, weight, outputs in matrix_products(layer, args):
        size = weight.numel()
        yield LayerCost(2 * size, 2 * size, outputs, size, not x.requires_grad)


def matrix_products(layer: Any, args: tuple) -> list[tuple[Tensor, Tensor, int]]:
    """Matrix products of a layer: what is multiplied, by which weight, to how many outputs."""
    if isinstance(layer, nn.GRUCell):
        return [(x, w, len(w)) for x, w in zip(args, (layer.weight_ih, layer.weight_hh), strict=True)]
    if isinstance(layer, BlockLinear):
        parts = layer.weight[:, : layer.own], layer.weight[:, layer.own :]
        return [(x, w, len(w) * w.shape[2]) for x, w in zip(args, parts, strict=False) if x is not None]
    return [(args[0], layer.weight, len(layer.weight))]


def convolution_multiply_adds(layer: Any, x: Tensor, out: Tensor) -> tuple[int, int]:
    """Multiply-adds of a convolution of x (1, ...) to out (1, ...): forward, and of a gradient of its weight or x."""
    weights, side = layer.weight.numel(), lambda y: math.prod(y.shape[2:])
    plain = weights * side(x if isinstance(layer, nn.ConvTranspose2d) else out)
    if type(layer) not in (UpsampleConv, UpConv):
        return plain, plain
    area = layer.taps.shape[1] ** 2 / math.prod(layer.kernel_size)  # taps of each of four phases on the small image
    phases = round(4 * weights * area * math.prod((n + 1) // 2 for n in out.shape[2:]))
    return phases, phases if type(layer) is UpsampleConv else plain
