"""Heads: a network on the feature, and an output part that defines what its outputs mean."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.agent.interfaces import Losses, Output
from common.nn.nets import Style, mlp_to


class SquaredError(nn.Module):
    """`factor` times the squared error to the target, in float32: (..., n), (..., n) -> (..., n)."""

    size, factor = 1, 1.0

    def __init__(self, *, outscale: float = 1.0):
        super().__init__()
        self.outscale = outscale

    def pred(self, out: Tensor) -> Tensor:
        """(..., n) -> (..., n)."""
        return out.float()

    def loss(self, out: Tensor, target: Tensor) -> Tensor:
        """(..., n), (..., n) -> (..., n)."""
        return self.factor * (out.float() - target.detach()).square()


class UnitNormal(SquaredError):
    """Negative log-likelihood of a Gaussian with unit variance: 0.5 (out - target)^2.

    The constant 0.5 ln(2 pi) is left out. Source: V1 and V2, all heads of vectors, rewards and values.
    """

    factor = 0.5


class Head(nn.Module):
    """Scalar prediction from features; `dist` defines what the network's outputs mean."""

    def __init__(self, feat: int, dist: Output, style: Style, *, layers: int, units: int):
        super().__init__()
        self.dist = dist
        self.net = mlp_to(feat, dist.size, style, layers=layers, units=units, outscale=dist.outscale)

    def forward(self, feat: Tensor) -> Tensor:
        """Return the network's outputs: (..., F) -> (..., size), or (...) if size is 1."""
        out = self.net(feat)
        return out.squeeze(-1) if self.dist.size == 1 else out

    def pred(self, feat: Tensor) -> Tensor:
        """(..., F) -> (...)."""
        return self.dist.pred(self(feat))

    def loss(self, feat: Tensor, target: Tensor) -> Tensor:
        """(..., F), (...) -> (...)."""
        return self.dist.loss(self(feat), target)


class NoContinue(nn.Module):
    """No continue head: the future of every state counts `discount` (V1 and V2 on control tasks)."""

    outer_discount = 1.0

    def __init__(self, feat: int, style: Style, discount: float, *, layers: int, units: int):
        super().__init__()
        self.discount = discount

    def losses(self, feat: Tensor, is_terminal: Tensor) -> Losses:
        """Return no loss."""
        return {}

    def pred(self, feat: Tensor) -> Tensor:
        """(..., F) -> discount (...), a constant."""
        return torch.full(feat.shape[:-1], self.discount, device=feat.device)

    def start_discount(self, is_terminal: Tensor) -> Tensor:
        """Return the discount at replayed states (...)."""
        return torch.full(is_terminal.shape, self.discount, device=is_terminal.device)


class SoftContinue(nn.Module):
    """Continue head whose target contains the discount: a Bernoulli with the soft target gamma (1 - is_terminal).

    Predictions are probabilities that contain gamma. Source: V1 `pcont`, V2 `discount` head, V3 `con` with `contdisc`.
    """

    outer_discount = 1.0

    def __init__(self, feat: int, style: Style, discount: float, *, layers: int, units: int):
        super().__init__()
        self.discount = discount
        self.net = mlp_to(feat, 1, style, layers=layers, units=units)

    def losses(self, feat: Tensor, is_terminal: Tensor) -> Losses:
        """(..., F), bool (...) -> {"con": (...)}."""
        target = self.discount * (~is_terminal).float()
        return {"con": F.binary_cross_entropy_with_logits(self.logit(feat), target, reduction="none")}

    def logit(self, feat: Tensor) -> Tensor:
        """Return the logit of continuing, in float32: (..., F) -> (...)."""
        return self.net(feat).squeeze(-1).float()

    def pred(self, feat: Tensor) -> Tensor:
        """Return gamma times the probability to continue: (..., F) -> (...)."""
        return self.logit(feat).sigmoid()

    def start_discount(self, is_terminal: Tensor) -> Tensor:
        """Return the true discount at replayed states (...)."""
        return self.discount * (~is_terminal).float()
