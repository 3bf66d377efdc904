"""Optimiser of V3: adaptive gradient clipping and LaProp."""

import torch
from torch import Tensor

from common.agent.interfaces import Gradients, Groups, Metrics
from common.agent.optim import Optimizer, Slots, total_norm


class LaProp(Optimizer):
    """`optim` part: p <- p - lr m, where m is the momentum of g / (sqrt(nu) + eps), and nu the mean of g^2.

    Both means are corrected for their bias. The warm-up starts from 0, so the first update changes nothing.
    Weight decay (off by default) adds wd * kernel to m. Source: V3 `embodied/jax/opt.py`; Ziyin et al. 2020.
    """

    def __init__(
        self,
        *,
        lr: dict[str, float] = {"model": 4e-5, "actor": 4e-5, "critic": 4e-5},  # noqa: B006 (read only)
        eps: float = 1e-20,
        beta1: float = 0.9,
        beta2: float = 0.999,
        wd: float = 0.0,
        warmup: int = 1000,
        schedule: str = "const",
        anneal: int = 0,
    ):
        super().__init__(lr=lr, warmup=warmup, wd=wd, decay="kernels", schedule=schedule, anneal=anneal)
        self.eps, self.beta1, self.beta2 = eps, beta1, beta2

    def update(self, params: list[Tensor], grads: list[Tensor], slots: Slots, lr: float, name: str) -> None:
        """Change the parameters of a group in place."""
        mu, nu, t = slots["mu"], slots["nu"], slots["t"]
        torch._foreach_mul_(nu, self.beta2)
        torch._foreach_addcmul_(nu, grads, grads, 1 - self.beta2)
        root = torch._foreach_div(nu, 1 - self.beta2**t)
        torch._foreach_sqrt_(root)
        torch._foreach_add_(root, self.eps)
        torch._foreach_lerp_(mu, torch._foreach_div(grads, root), 1 - self.beta1)
        if self.wd:
            torch._foreach_mul_(self.decayed_params(params), 1 - lr * self.wd)
        torch._foreach_add_(params, mu, alpha=-lr / (1 - self.beta1**t))


class AGC:
    """`clip` part: adaptive gradient clipping, |g| <= clip max(|w|, floor) for every tensor; clip 0 turns it off.

    Source: V3 `embodied/jax/opt.py` `clip_by_agc`.
    """

    def __init__(self, *, clip: float = 0.3, floor: float = 1e-3):
        self.clip, self.floor = clip, floor

    @torch.no_grad()
    def __call__(self, groups: Groups, grads: Gradients) -> Metrics:
        """Clip in place; return the global norms before, as scalars by group."""
        norms = {name: total_norm(values) for name, values in grads.items()}
        for name, values in grads.items() if self.clip else ():
            limits = torch.stack(torch._foreach_norm(groups[name])).clamp(min=self.floor) * self.clip
            scale = (limits / torch.stack(torch._foreach_norm(values))).clamp(max=1.0)
            torch._foreach_mul_(values, list(scale.unbind()))
        return norms
