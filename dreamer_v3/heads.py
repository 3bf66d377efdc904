"""Heads of V3: two-hot over exponentially spaced bins, symlog and Huber regression, continue."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.agent.heads import SoftContinue, SquaredError
from common.agent.interfaces import Losses
from common.errors import UserError, check_choice
from common.nn.nets import Style, symexp, symlog


class SymexpTwohot(nn.Module):
    """`reward`, `critic` part: categorical over bins b = symexp(linspace(-20, 20)); targets are two-hot in raw space.

    Loss: cross entropy -sum twohot(target) log softmax(out). Prediction: sum softmax(out) b.
    The bins are mirrored exactly, the prediction is summed in mirrored pairs, and the output layer starts at zero, so
    the first prediction is exactly 0. Source: V3 `outs.TwoHot`, section "Robust predictions" of the paper.
    """

    def __init__(self, *, outscale: float = 0.0, bins: int = 255):
        super().__init__()
        if bins < 3 or bins % 2 == 0:
            raise UserError(f"Two-hot heads need an odd number of bins, 3 or more, got {bins}.")
        self.size, self.outscale = bins, outscale
        half = self.spacing(torch.linspace(-20, 0, bins // 2 + 1))
        self.bins: Tensor
        self.register_buffer("bins", torch.cat([half, -half[:-1].flip(0)]), persistent=False)

    spacing = staticmethod(symexp)
    encode = staticmethod(lambda x: x)
    decode = staticmethod(lambda x: x)

    def pred(self, out: Tensor) -> Tensor:
        """(..., bins) -> (...)."""
        half = self.size // 2
        mass = out.float().softmax(-1) * self.bins
        pairs = mass[..., :half].flip(-1) + mass[..., half + 1 :]
        return self.decode(mass[..., half] + pairs.sum(-1))

    def two_hot(self, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(...) -> indices of the bins below and above (...), weight of the one above (...).

        Beyond the range both are the last bin.
        """
        target = self.encode(target.detach().float())
        above = torch.searchsorted(self.bins, target.contiguous(), right=True)
        below, above = (above - 1).clamp(min=0), above.clamp(max=self.size - 1)
        lo, hi = self.bins[below], self.bins[above]
        return below, above, torch.where(below == above, 0.5, (target - lo) / (hi - lo).clamp(min=1e-30))

    def loss(self, out: Tensor, target: Tensor) -> Tensor:
        """(..., bins), (...) -> cross entropy (...)."""
        below, above, weight = self.two_hot(target)
        logp = out.float().log_softmax(-1)
        pick = lambda index: logp.gather(-1, index[..., None]).squeeze(-1)
        return -((1 - weight) * pick(below) + weight * pick(above))


class SymlogTwohot(SymexpTwohot):
    """`reward`, `critic` part: two-hot in symlog space, with evenly spaced bins and symexp of the mean.

    Source: V3-2023 `jaxutils.DiscDist`.
    """

    spacing = staticmethod(lambda x: x)
    encode = staticmethod(symlog)
    decode = staticmethod(symexp)


class MSE(SquaredError):
    """`vector` part: (out - target)^2, without the factor 0.5 of `UnitNormal`."""


class SymlogMSE(SquaredError):
    """`vector`, `reward`, `critic` part: (out - symlog(target))^2; the prediction is symexp(out).

    tolerance: squared errors below it count as 0 (V3-2023: 1e-8). Source: V3 `outs.MSE` with `symlog`.
    """

    def __init__(self, *, outscale: float = 1.0, tolerance: float = 0.0):
        super().__init__(outscale=outscale)
        self.tolerance = tolerance

    def pred(self, out: Tensor) -> Tensor:
        """(..., n) -> (..., n)."""
        return symexp(out.float())

    def loss(self, out: Tensor, target: Tensor) -> Tensor:
        """(..., n), (..., n) -> (..., n)."""
        error = (out.float() - symlog(target.detach().float())).square()
        return torch.where(error < self.tolerance, torch.zeros_like(error), error) if self.tolerance else error


class Huber(SquaredError):
    """`reward`, `critic` part: sqrt(d^2 + 1) - 1 with d = out - target (an ablation of the V3 paper)."""

    def loss(self, out: Tensor, target: Tensor) -> Tensor:
        """(..., n), (..., n) -> (..., n)."""
        return ((out.float() - target.detach()).square() + 1).sqrt() - 1


#: `con.predict` -> how the logit of continuing becomes a number in [0, 1].
CONTINUE_PREDICTIONS = {"mode": lambda logit: (logit > 0).float(), "mean": torch.sigmoid}


class BinaryContinue(SoftContinue):
    """`con` part: Bernoulli with the target 1 - is_terminal; predictions are multiplied by the discount.

    predict: "mode" predicts 0 or 1, "mean" the probability. Source: V3-2023 `nets.Dist` with `binary`.
    """

    def __init__(self, feat: int, style: Style, discount: float, *, layers: int, units: int, predict: str = "mode"):
        check_choice("con.predict", predict, CONTINUE_PREDICTIONS)
        super().__init__(feat, style, discount, layers=layers, units=units)
        self.outer_discount, self.flag = discount, CONTINUE_PREDICTIONS[predict]

    def losses(self, feat: Tensor, is_terminal: Tensor) -> Losses:
        """(..., F), bool (...) -> {"con": (...)}."""
        target = (~is_terminal).float()
        return {"con": F.binary_cross_entropy_with_logits(self.logit(feat), target, reduction="none")}

    def pred(self, feat: Tensor) -> Tensor:
        """Return gamma times the predicted flag: (..., F) -> (...)."""
        return self.discount * self.flag(self.logit(feat))
