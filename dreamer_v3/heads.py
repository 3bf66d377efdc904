"""Outputs of V3's heads: two-hot distributions over exponentially spaced bins, symlog and Huber regression."""

import torch
import torch.nn.functional as F
from torch import nn

from common.agent.heads import SoftContinue, SquaredError
from common.errors import UserError, check_choice
from common.nn.nets import symexp, symlog


class SymexpTwohot(nn.Module):
    """Categorical over bins spaced by symexp; targets are two-hot in raw space.

    The bins are mirrored exactly, the prediction is summed in mirrored pairs and the output layer starts at zero, so
    the first prediction is exactly 0. Source: V3 `outs.TwoHot`, section "Robust predictions" of the paper.
    """

    def __init__(self, *, outscale: float = 0.0, bins: int = 255):
        super().__init__()
        if bins < 3 or bins % 2 == 0:
            raise UserError(f"Two-hot heads need an odd number of bins, 3 or more, got {bins}.")
        self.size, self.outscale = bins, outscale
        half = self.spacing(torch.linspace(-20, 0, bins // 2 + 1))
        self.register_buffer("bins", torch.cat([half, -half[:-1].flip(0)]), persistent=False)

    spacing = staticmethod(symexp)
    encode = staticmethod(lambda x: x)
    decode = staticmethod(lambda x: x)

    def pred(self, out):
        """(..., bins) -> (...)."""
        half = self.size // 2
        mass = out.float().softmax(-1) * self.bins
        pairs = mass[..., :half].flip(-1) + mass[..., half + 1 :]
        return self.decode(mass[..., half] + pairs.sum(-1))

    def two_hot(self, target):
        """(...) -> indices below and above (...), weight of above (...); one bin of weight 1 beyond the range."""
        target = self.encode(target.detach().float())
        above = torch.searchsorted(self.bins, target.contiguous(), right=True)
        below, above = (above - 1).clamp(min=0), above.clamp(max=self.size - 1)
        lo, hi = self.bins[below], self.bins[above]
        return below, above, torch.where(below == above, 0.5, (target - lo) / (hi - lo).clamp(min=1e-30))

    def loss(self, out, target):
        """(..., bins), (...) -> cross entropy (...)."""
        below, above, weight = self.two_hot(target)
        logp = out.float().log_softmax(-1)
        pick = lambda index: logp.gather(-1, index[..., None]).squeeze(-1)
        return -((1 - weight) * pick(below) + weight * pick(above))


class SymlogTwohot(SymexpTwohot):
    """Two-hot in symlog space: evenly spaced bins, symexp of the mean (V3-2023 `DiscDist`)."""

    spacing = staticmethod(lambda x: x)
    encode = staticmethod(symlog)
    decode = staticmethod(symexp)


class MSE(SquaredError):
    """Squared error, factor 1."""


class SymlogMSE(SquaredError):
    """Squared error to symlog of the target, factor 1; squared errors below `tolerance` count as 0 (V3-2023: 1e-8)."""

    def __init__(self, *, outscale: float = 1.0, tolerance: float = 0.0):
        super().__init__(outscale=outscale)
        self.tolerance = tolerance

    def pred(self, out):
        """(..., n) -> symexp of it (..., n)."""
        return symexp(out.float())

    def loss(self, out, target):
        error = (out.float() - symlog(target.detach().float())).square()
        return torch.where(error < self.tolerance, torch.zeros_like(error), error) if self.tolerance else error


class Huber(SquaredError):
    """sqrt(d^2 + 1) - 1 on raw targets (the V3 paper's ablation of the two-hot loss)."""

    def loss(self, out, target):
        return ((out.float() - target.detach()).square() + 1).sqrt() - 1


#: `con.predict`: what the logit of an episode going on counts as.
CONTINUE_PREDICTIONS = {"mode": lambda logit: (logit > 0).float(), "mean": torch.sigmoid}


class BinaryContinue(SoftContinue):
    """Continue head with the target 1 - is_terminal and the discount outside of it (V3-2023).

    `predict`: mode uses 0 or 1, mean the probability.
    """

    def __init__(self, feat, style, discount, *, layers, units, predict: str = "mode"):
        check_choice("con.predict", predict, CONTINUE_PREDICTIONS)
        super().__init__(feat, style, discount, layers=layers, units=units)
        self.outer_discount, self.flag = discount, CONTINUE_PREDICTIONS[predict]

    def losses(self, feat, is_terminal):
        """(..., F), (...) bool -> {"con": (...)}."""
        target = (~is_terminal).float()
        return {"con": F.binary_cross_entropy_with_logits(self.logit(feat), target, reduction="none")}

    def pred(self, feat):
        """(..., F) -> (...), gamma times the predicted flag."""
        return self.discount * self.flag(self.logit(feat))
