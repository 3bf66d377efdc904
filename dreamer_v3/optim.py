"""Optimiser of V3: adaptive gradient clipping and LaProp."""

import torch

from common.agent.optim import Optimizer, total_norm


class LaProp(Optimizer):
    """Divides the gradient by its RMS first and takes the momentum of the result.

    Warm-up from 0, so the first update changes nothing. Weight decay (off) adds wd * kernel to the update.
    Source: V3 `embodied/jax/opt.py`; Ziyin et al. 2020.
    """

    def __init__(
        self,
        *,
        lr: dict = {"model": 4e-5, "actor": 4e-5, "critic": 4e-5},  # noqa: B006 (read only)
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

    def update(self, params, grads, slots, lr, name):
        """Moves a group in place; slots: its moments `mu` and `nu`, and `t`, the number of this step."""
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
    """Adaptive gradient clipping: |g| at most `clip` max(|w|, `floor`) for every tensor; 0 leaves gradients alone."""

    def __init__(self, *, clip: float = 0.3, floor: float = 1e-3):
        self.clip, self.floor = clip, floor

    @torch.no_grad()
    def __call__(self, groups, grads):
        """Clips in place; returns the global norms before, name -> scalar tensor."""
        norms = {name: total_norm(values) for name, values in grads.items()}
        for name, values in grads.items() if self.clip else ():
            limits = torch.stack(torch._foreach_norm(groups[name])).clamp(min=self.floor) * self.clip
            scale = (limits / torch.stack(torch._foreach_norm(values))).clamp(max=1.0)
            torch._foreach_mul_(values, list(scale.unbind()))
        return norms
