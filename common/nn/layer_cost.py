"""Cost of a network's layers at one position: FLOPs, outputs and weights, counted from shapes."""

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
    """Cost of one weight tensor at one position.

    flops: of the forward pass. grad: FLOPs of the gradient of its weights; that of its inputs costs as much.
    outputs, weights: elements. first: whether it reads the module's input.
    """

    flops: int
    grad: int
    outputs: int
    weights: int
    first: bool = False


def layer_costs(module: nn.Module, *inputs: Any) -> list[LayerCost]:
    """Return the cost of each layer of a module on the meta device, in the order of application to inputs (1, ...).

    A layer is `first` if its input needs no gradient.
    """
    found: list[LayerCost] = []
    count = lambda layer, args, out: found.extend(costs_of_call(layer, args, out))
    handles = [part.register_forward_hook(count) for part in module.modules() if isinstance(part, COUNTED_LAYERS)]
    with torch.enable_grad():
        module(*inputs)
    for handle in handles:
        handle.remove()
    return found


def costs_of_call(layer: Any, args: tuple, out: Tensor) -> Iterable[LayerCost]:
    """Yield the cost of each product of one layer with its inputs."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        flops, grad = (2 * n for n in convolution_multiply_adds(layer, args[0], out))
        yield LayerCost(flops, grad, out.numel(), layer.weight.numel(), not args[0].requires_grad)
        return
    for x, weight, outputs in matrix_products(layer, args):
        size = weight.numel()
        yield LayerCost(2 * size, 2 * size, outputs, size, not x.requires_grad)


def matrix_products(layer: Any, args: tuple) -> list[tuple[Tensor, Tensor, int]]:
    """Return the matrix products of a layer: input, weight, number of outputs."""
    if isinstance(layer, nn.GRUCell):
        return [(x, w, len(w)) for x, w in zip(args, (layer.weight_ih, layer.weight_hh), strict=True)]
    if isinstance(layer, BlockLinear):
        parts = layer.weight[:, : layer.own], layer.weight[:, layer.own :]
        return [(x, w, len(w) * w.shape[2]) for x, w in zip(args, parts, strict=False) if x is not None]
    return [(args[0], layer.weight, len(layer.weight))]


def convolution_multiply_adds(layer: Any, x: Tensor, out: Tensor) -> tuple[int, int]:
    """Return multiply-adds of a convolution from x (1, ...) to out (1, ...): forward, and of one gradient."""
    weights, side = layer.weight.numel(), lambda y: math.prod(y.shape[2:])
    plain = weights * side(x if isinstance(layer, nn.ConvTranspose2d) else out)
    if type(layer) not in (UpsampleConv, UpConv):
        return plain, plain
    area = layer.taps.shape[1] ** 2 / math.prod(layer.kernel_size)  # taps of each of four phases on the small image
    phases = round(4 * weights * area * math.prod((n + 1) // 2 for n in out.shape[2:]))
    return phases, phases if type(layer) is UpsampleConv else plain
