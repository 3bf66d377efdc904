"""Where each array of a foreign file lives in our modules: our parameters, and the arrangement of their elements.

A slot describes one array of the file. From slots come both directions: `arranged` gives the array that our parameters
stand for, `assign` sets our parameters from the array. Sizes are checked on the way.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Slot(NamedTuple):
    """Our parameters that make up one array of a file, and the arrangement of their elements in it.

    layout: tensors shaped like the parameters -> one tensor in the file's layout. Elements may only be moved.
    """

    params: tuple[Tensor, ...]
    layout: Callable[..., Tensor]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that the array of the file must have."""
        shapes = (torch.empty(param.shape, device="meta") for param in self.params)
        return tuple(self.layout(*shapes).shape)

    def arranged(self, tensors: Sequence[Tensor] | None = None) -> Tensor:
        """Return the parameters, or tensors in their place, as the file holds them."""
        return self.layout(*(self.params if tensors is None else tensors)).detach().clone()

    @torch.no_grad()
    def assign(self, value: Tensor, tensors: Sequence[Tensor] | None = None) -> None:
        """Set the parameters, or tensors in their place, from an array of the file."""
        places, targets = self._places(), self.params if tensors is None else tensors
        assert places.shape == value.shape, (tuple(places.shape), tuple(value.shape))
        flat = torch.empty(sum(self._sizes()))
        flat[places.flatten()] = value.flatten().float()
        for target, part in zip(targets, flat.split(self._sizes()), strict=True):
            target.copy_(part.view(target.shape))

    def _sizes(self) -> list[int]:
        return [param.numel() for param in self.params]

    def _places(self) -> Tensor:
        """Return, for each element of the file's array, its place among the flattened parameters."""
        numbers = torch.arange(sum(self._sizes())).split(self._sizes())
        return self.layout(*(n.view(p.shape) for n, p in zip(numbers, self.params, strict=True)))


Slots = dict[str, Slot]  # by the name of the array in the file


def under(prefix: str, slots: Slots, separator: str = "/") -> Slots:
    """Return slots with a prefix before their names."""
    return {f"{prefix}{separator}{name}": slot for name, slot in slots.items()}


def plain(param: Tensor) -> Slot:
    """A parameter that the file holds as we do."""
    return Slot((param,), lambda x: x)


def affine(module: Any, kernel: Callable[[Tensor], Tensor], names: tuple[str, str] = ("kernel", "bias")) -> Slots:
    """Weight, arranged by `kernel`, and bias of a module. names: those of the two in the file."""
    slots = {names[0]: Slot((module.weight,), kernel)}
    return slots if module.bias is None else slots | {names[1]: plain(module.bias)}


# Layouts of TensorFlow and JAX


def dense(linear: nn.Linear, rows: Tensor | None = None) -> Slots:
    """Kernel (in, out) and bias of a linear layer; rows: our input feature for each one of the file."""
    kernel = lambda weight: weight.t() if rows is None else weight.t()[rows]
    return affine(linear, kernel)


def conv(module: nn.Module) -> Slots:
    """Kernel (kh, kw, in, out) of a convolution, (kh, kw, out, in) of a transposed one, and bias."""
    return affine(module, lambda weight: weight.permute(2, 3, 1, 0))


# Layouts of PyTorch


def torch_linear(linear: nn.Linear, rows: Tensor | None = None, outs: Tensor | None = None) -> Slots:
    """Weight (out, in) and bias of a linear layer.

    rows: our input feature for each one of the file. outs: our output for each one of the file.
    """
    pick = lambda x: x if outs is None else x[outs]
    slots = {"weight": Slot((linear.weight,), lambda x: pick(x if rows is None else x[:, rows]))}
    return slots if linear.bias is None else slots | {"bias": Slot((linear.bias,), pick)}


def torch_conv(module: Any) -> Slots:
    """Weight and bias of a convolution, which PyTorch stores as we do, transposed or not."""
    return affine(module, lambda weight: weight, ("weight", "bias"))


# Orders of features


def feature_rows(deter: int, stoch: int) -> Tensor:
    """Return our place of each feature of a file whose feature is [stoch, deter]; ours is [deter, stoch]."""
    return torch.cat([torch.arange(stoch) + deter, torch.arange(deter)])


def channels_first_rows(channels: int, height: int, width: int) -> Tensor:
    """Return our place of each feature of an image that the file flattens as (C, H, W); we flatten (H, W, C)."""
    return torch.arange(height * width * channels).view(height, width, channels).permute(2, 0, 1).flatten()


def key_rows(keys: Sequence[str], sizes: dict[str, int]) -> Tensor:
    """Return our place of each number of vectors that the file joins in the order of `keys`; ours is sorted."""
    starts, total = {}, 0
    for key in sorted(keys):
        starts[key], total = total, total + sizes[key]
    return torch.cat([torch.arange(sizes[key]) + starts[key] for key in keys])
