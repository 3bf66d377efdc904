"""Layers of all networks, and their style: activation, norm, initialisation.

The order is always: linear or convolution, then norm, then activation. Images are (N, C, H, W) tensors that are
channels-last in memory, so a norm over the last axis needs no copy.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import UserError, check_choice
from common.nn.activations import KEEP

ACTS: dict[str, Callable[[Tensor], Tensor]] = {
    "elu": F.elu,
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": torch.tanh,
    "none": lambda x: x,
}
INITS = ("glorot", "fan_in", "fan_avg")


def symlog(x: Tensor) -> Tensor:
    """Return sign(x) ln(1 + |x|), elementwise."""
    return x.sign() * x.abs().log1p()


def symexp(x: Tensor) -> Tensor:
    """Return sign(x) (exp(|x|) - 1), elementwise; the inverse of `symlog`."""
    return x.sign() * x.abs().expm1()


@dataclasses.dataclass(frozen=True)
class Style:
    """Style of all networks of an agent: the config keys `net.*`.

    act, conv_act: names in ACTS. norm: none, layer or rms, with its eps. init: glorot (uniform, Keras), fan_in or
    fan_avg (truncated normal, V3 and V3-2023). bias: keep the bias before a norm.
    """

    act: str = "elu"
    conv_act: str = "elu"
    norm: str = "none"
    eps: float = 1e-3
    init: str = "glorot"
    bias: bool = True

    def __post_init__(self) -> None:
        check_choice("net.act", self.act, ACTS)
        check_choice("net.conv_act", self.conv_act, ACTS)
        check_choice("net.norm", self.norm, NORMS)
        check_choice("net.init", self.init, INITS)

    @property
    def inner_bias(self) -> bool:
        """Whether a layer before this style's norm has a bias."""
        return self.bias or self.norm == "none"

    def make_norm(self, size: int) -> nn.Module:
        """Build the norm of `size` features."""
        return NORMS[self.norm](size, self.eps)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * scale over the last axis, in float32."""

    def __init__(self, size: int, eps: float = 1e-4):
        super().__init__()
        self.eps, self.scale = eps, nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.scale.shape, self.scale, self.eps).to(x.dtype)


class LayerNorm(nn.Module):
    """Layer norm with scale and shift over the last axis, in float32."""

    def __init__(self, size: int, eps: float = 1e-3):
        super().__init__()
        self.eps = eps
        self.scale, self.shift = nn.Parameter(torch.ones(size)), nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        if len(self.scale) == 1:
            x = x - x  # one feature is its own mean; the fused kernel would leave rounding errors in the gradient
        return F.layer_norm(x.float(), self.scale.shape, self.scale, self.shift, self.eps).to(x.dtype)


no_norm = lambda size, eps: nn.Identity()
TRUNCATED_STD = 0.87962566  # standard deviation of a standard normal truncated to [-2, 2]
INVERSE_TRUNCATED_STD = 1.1368  # its inverse, rounded as in V3's code
NORMS: dict[str, Callable[..., nn.Module]] = {"none": no_norm, "layer": LayerNorm, "rms": RMSNorm}


@torch.no_grad()
def init_weight(weight: Tensor, fan_in: float, fan_out: float, init: str = "glorot", outscale: float = 1.0) -> Tensor:
    """Fill a kernel in place. `outscale` scales the values; with fan_avg it scales the variance, as in V3-2023."""
    if init == "glorot":
        bound = outscale * math.sqrt(6 / (fan_in + fan_out))
        return weight.uniform_(-bound, bound)
    if init == "fan_in":
        std = INVERSE_TRUNCATED_STD * math.sqrt(1 / fan_in)
        return nn.init.trunc_normal_(weight, 0.0, std, -2 * std, 2 * std).mul_(outscale)
    std = math.sqrt(max(outscale, 1e-30) / ((fan_in + fan_out) / 2)) / TRUNCATED_STD
    return nn.init.trunc_normal_(weight, 0.0, std, -2 * std, 2 * std).mul_(float(outscale > 0))


class Linear(nn.Linear):
    """Linear layer with the style's initialisation and a zero bias."""

    def __init__(self, inp: int, out: int, init: str = "glorot", outscale: float = 1.0, bias: bool = True):
        super().__init__(inp, out, bias)
        init_weight(self.weight, inp, out, init, outscale)
        if bias:
            nn.init.zeros_(self.bias)


class BlockLinear(nn.Module):
    """Block-diagonal linear layer: each contiguous group of input features has its own matrix.

    weight: (blocks, inp / blocks + shared, out / blocks). Every group also reads `shared` more inputs.
    The fan-in of its initialisation is the full width, with the shared inputs counted in every group (official V3).
    """

    def __init__(self, inp: int, out: int, blocks: int, init: str = "fan_in", bias: bool = True, shared: int = 0):
        super().__init__()
        if inp % blocks or out % blocks:
            raise UserError(f"Block layers need sizes divisible by {blocks} blocks, got {inp} -> {out}.")
        self.blocks, self.own = blocks, inp // blocks
        self.weight = nn.Parameter(torch.empty(blocks, self.own + shared, out // blocks))
        self.bias = nn.Parameter(torch.zeros(out)) if bias else None
        init_weight(self.weight, inp + blocks * shared, out, init)

    def forward(self, x: Tensor, shared: Tensor | None = None) -> Tensor:
        """(..., inp), shared inputs (..., S) or None -> (..., out)."""
        groups = x.unflatten(-1, (self.blocks, -1)).flatten(0, -3).transpose(0, 1)
        out = torch.bmm(groups, self.weight[:, : self.own]).transpose(0, 1).reshape(*x.shape[:-1], -1)
        if shared is not None:  # one matrix for all groups: their shared inputs are not copied
            out = out + shared @ self.weight[:, self.own :].transpose(0, 1).flatten(1)
        return out if self.bias is None else out + self.bias


class Layer(nn.Module):
    """Linear, norm, activation: (..., inp) -> (..., out)."""

    def __init__(self, inp: int, out: int, style: Style):
        super().__init__()
        self.linear = Linear(inp, out, style.init, bias=style.inner_bias)
        self.norm, self.act = style.make_norm(out), ACTS[style.act]

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.linear(x)))


class MLP(nn.Sequential):
    """`layers` hidden layers of `units`: (..., inp) -> (..., self.size)."""

    def __init__(self, inp: int, style: Style, *, layers: int, units: int):
        super().__init__(*(Layer(units if i else inp, units, style) for i in range(layers)))
        self.size = units if layers else inp
        self.activations = KEEP

    def forward(self, x: Tensor) -> Tensor:
        return self.activations(super().forward, x)


def mlp_to(inp: int, out: int, style: Style, *, layers: int, units: int, outscale: float = 1.0) -> nn.Sequential:
    """Build hidden layers and a linear output: (..., inp) -> (..., out)."""
    hidden = MLP(inp, style, layers=layers, units=units)
    return nn.Sequential(hidden, Linear(hidden.size, out, style.init, outscale))


class ChannelNorm(nn.Module):
    """The style's norm over the channels of (N, C, H, W), then the convolution activation."""

    def __init__(self, channels: int, style: Style):
        super().__init__()
        self.norm, self.act = style.make_norm(channels), ACTS[style.conv_act]

    def forward(self, x: Tensor) -> Tensor:
        if not isinstance(self.norm, nn.Identity):
            x = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.act(x)


def conv(
    inp: int,
    out: int,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    *,
    style: Style,
    bias: bool = True,
    kind: type[nn.Conv2d] | type[nn.ConvTranspose2d] = nn.Conv2d,
    **options: Any,
) -> nn.Module:
    """Build a convolution of class `kind` with the style's initialisation and a zero bias."""
    module = kind(inp, out, kernel, stride, padding, bias=bias, **options)
    init_weight(module.weight, inp * kernel**2, out * kernel**2, style.init)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@contextlib.contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Treat the parameters of a module as constants; gradients still flow to its inputs."""
    params = [p for p in module.parameters() if p.requires_grad]
    for p in params:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in params:
            p.requires_grad_(True)
