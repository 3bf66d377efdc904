"""Ensemble of predictors of the next latent state; the spread of their predictions is the disagreement.

Source: Sekar et al. 2020 (Plan2Explore, arXiv 2005.05960). Shapes: M members, I inputs, A action, D target.
"""

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor, nn

from common.nn.compile import compilable
from common.nn.nets import Layer, Linear, Style, mlp_to

MIN_STD = 1e-6  # where all members agree, the gradient of the standard deviation would be infinite


class MLPMember(nn.Module):
    """A plain network on inputs and action (V2, V3): (..., I + A), (..., A) -> (..., D)."""

    def __init__(self, inp: int, action: int, out: int, style: Style, *, layers: int, units: int):
        super().__init__()
        self.net = mlp_to(inp + action, out, style, layers=layers, units=units)

    def forward(self, x: Tensor, action: Tensor) -> Tensor:
        return self.net(x)


class ActionLayersMember(nn.Module):
    """ReLU layers that each read the action next to their input, the linear output included (V1).

    (..., I + A), (..., A) -> (..., D). Source: ramanans1/plan2explore `networks.one_step_model`.
    """

    def __init__(self, inp: int, action: int, out: int, style: Style, *, layers: int, units: int):
        super().__init__()
        relu = dataclasses.replace(style, act="relu", norm="none")
        self.layers = nn.ModuleList(Layer((units if i else inp) + action, units, relu) for i in range(layers))
        self.out = Linear((units if layers else inp) + action, out, style.init)

    def forward(self, x: Tensor, action: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([layer(x), action], -1)
        return self.out(x)


MEMBERS = {"mlp": MLPMember, "action_layers": ActionLayersMember}


class EnsembleLoss(NamedTuple):
    """Losses (B, T) of one update, summed over members; mean squared error of each member (M,), without gradient."""

    loss: Tensor
    errors: Tensor


class Ensemble(nn.Module):
    """M predictors that differ in their initial weights only.

    factor: weight of the squared error. average: its mean over the target's numbers instead of its sum. spread: "std"
    or "var" of the predictions. log: the logarithm of the disagreement.
    """

    def __init__(
        self,
        inp: int,
        action: int,
        out: int,
        style: Style,
        *,
        models: int,
        net: str,
        layers: int,
        units: int,
        factor: float,
        average: bool,
        spread: str,
        log: bool,
    ):
        super().__init__()
        self.factor, self.average, self.spread, self.log = factor, average, spread, log
        build = lambda: MEMBERS[net](inp, action, out, style, layers=layers, units=units)
        self.members = nn.ModuleList(build() for _ in range(models))

    def forward(self, x: Tensor, action: Tensor) -> Tensor:
        """Predict the target: (..., I), (..., A) -> float32 (M, ..., D)."""
        joined = torch.cat([x, action], -1)
        return torch.stack([member(joined, action).float() for member in self.members])

    @compilable
    def loss(self, x: Tensor, action: Tensor, target: Tensor, rows: Tensor | None) -> EnsembleLoss:
        """Inputs (B, T, I), actions (B, T, A), targets (B, T, D), replay rows (M, B) that each member sees, or None."""
        if rows is None:
            error = (self(x, action) - target).square()
        else:
            own = [
                member(torch.cat([x[r], action[r]], -1), action[r])
                for member, r in zip(self.members, rows, strict=True)
            ]
            error = (torch.stack(own).float() - target[rows]).square()
        total = error.mean(-1) if self.average else error.sum(-1)
        return EnsembleLoss(self.factor * total.sum(0), error.detach().flatten(1).mean(1))

    def disagreement(self, x: Tensor, action: Tensor) -> Tensor:
        """Return the spread of the predictions, averaged over the target's numbers: (..., I), (..., A) -> (...).

        It is differentiable with respect to inputs and actions, also where all members agree.
        """
        variance = self(x, action).var(0, correction=0)
        spread = variance if self.spread == "var" else variance.clamp(min=MIN_STD**2).sqrt()
        mean = spread.mean(-1)
        return mean.clamp(min=torch.finfo(torch.float32).tiny).log() if self.log else mean
