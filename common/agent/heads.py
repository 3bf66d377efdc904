"""Heads: a network on the feature and a part that says what its outputs mean.

An output part has `size` (network outputs per predicted number), `outscale` (initial scale of the output layer),
`pred(out)` and `loss(out, target)`; both keep the leading shape and drop the last axis if `size` is not 1.
"""

import torch
import torch.nn.functional as F
from torch import nn

from common.nn.nets import Style, mlp_to


class SquaredError(nn.Module):
    """`factor` times the squared error to the target, in float32."""

    size, factor = 1, 1.0

    def __init__(self, *, outscale: float = 1.0):
        super().__init__()
        self.outscale = outscale

    def pred(self, out):
        """(..., n) -> (..., n)."""
        return out.float()

    def loss(self, out, target):
        """(..., n), (..., n) -> (..., n)."""
        return self.factor * (out.float() - target.detach()).square()


class UnitNormal(SquaredError):
    """Gaussian of unit variance: half the squared error, without the constant 0.5 ln(2 pi) (V1, V2)."""

    factor = 0.5


class Head(nn.Module):
    """A scalar prediction from features: pred (..., F) -> (...), loss (..., F), (...) -> (...)."""

    def __init__(self, feat, dist, style: Style, *, layers: int, units: int):
        super().__init__()
        self.dist = dist
        self.net = mlp_to(feat, dist.size, style, layers=layers, units=units, outscale=dist.outscale)

    def forward(self, feat):
        """(..., F) -> raw outputs (..., size), or (...) where size is 1."""
        out = self.net(feat)
        return out.squeeze(-1) if self.dist.size == 1 else out

    def pred(self, feat):
        """(..., F) -> (...)."""
        return self.dist.pred(self(feat))

    def loss(self, feat, target):
        """(..., F), (...) -> (...)."""
        return self.dist.loss(self(feat), target)


class NoContinue(nn.Module):
    """No continue head: every state is worth `discount` of the next (V1 and V2 on control tasks)."""

    outer_discount = 1.0

    def __init__(self, feat, style, discount, *, layers, units):
        super().__init__()
        self.discount = discount

    def losses(self, feat, is_terminal):
        """No loss: {}."""
        return {}

    def pred(self, feat):
        """(..., F) -> discount (...), a constant."""
        return torch.full(feat.shape[:-1], self.discount, device=feat.device)

    def start(self, is_terminal):
        """Discount at replayed states (...)."""
        return torch.full(is_terminal.shape, self.discount, device=is_terminal.device)


class SoftContinue(nn.Module):
    """Continue head whose target holds the discount: gamma (1 - is_terminal), a soft Bernoulli target.

    V1 `pcont`, V2 `discount` head, V3 `con` with `contdisc`. Predictions are probabilities that contain gamma.
    """

    outer_discount = 1.0

    def __init__(self, feat, style, discount, *, layers, units):
        super().__init__()
        self.discount = discount
        self.net = mlp_to(feat, 1, style, layers=layers, units=units)

    def losses(self, feat, is_terminal):
        """(..., F), (...) bool -> {"con": (...)}."""
        target = self.discount * (~is_terminal).float()
        return {"con": F.binary_cross_entropy_with_logits(self.logit(feat), target, reduction="none")}

    def logit(self, feat):
        """(..., F) -> logit of going on (...), float32."""
        return self.net(feat).squeeze(-1).float()

    def pred(self, feat):
        """(..., F) -> (...), gamma times the probability to go on."""
        return self.logit(feat).sigmoid()

    def start(self, is_terminal):
        """True discount at replayed states (...)."""
        return self.discount * (~is_terminal).float()
