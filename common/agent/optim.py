"""Optimisers: every loss names the parameter groups it trains, and no gradient reaches another group."""

import torch
from torch import nn

from common.agent.update_guard import make_restorer
from common.errors import UserError, check_choice
from common.nn.sections import section


class Optimizer(nn.Module):
    """Gradients, clipping and one update rule for named groups of parameters.

    Its state (moments and step counts) is part of the module's state, so a checkpoint of the agent is complete.
    """

    def __init__(self, *, lr, warmup=0, wd=0.0, decay="all", schedule="const", anneal=0):
        super().__init__()
        check_choice("optim.schedule", schedule, ("const", "linear"))
        check_choice("optim.decay", decay, ("all", "kernels"))
        if schedule == "linear" and anneal <= warmup:
            raise UserError(f"optim.schedule linear needs optim.anneal > optim.warmup ({warmup}), got {anneal}.")
        self.lr, self.warmup, self.schedule, self.anneal = lr, warmup, schedule, anneal
        self.wd, self.decay = wd, decay

    def setup(self, groups, clip):
        """groups: name -> list of parameters; clip: part with `clip(groups, grads) -> norms by name`."""
        self.groups, self.clip = groups, clip
        zeros = lambda params: [torch.zeros_like(p, memory_format=torch.preserve_format) for p in params]
        self.slots = {name: {"t": 0, "mu": zeros(ps), "nu": zeros(ps)} for name, ps in groups.items()}

    def step(self, losses, trains):
        """losses: name -> scaled scalar; trains: name -> groups. Returns gradient norms of the groups."""
        norms, grads = self.differentiate(losses, trains)
        self.apply(grads)
        return norms

    def differentiate(self, losses, trains):
        """As `step`, but takes none: returns gradient norms, and clipped gradients by group for `apply`.

        The graph of a loss ends at its groups, so one backward pass serves all losses together.
        """
        with section("backward"):
            grads = self.gradients(sum(losses.values()), sorted({name for loss in losses for name in trains[loss]}))
        with section("optimiser"):
            return self.clip(self.groups, grads), grads

    def apply(self, grads):
        """One update of every group that has gradients."""
        with section("optimiser"):
            for name, values in grads.items():
                self.update_group(name, values)

    def make_restorer(self, names):
        """A function that undoes all steps of some groups from now on."""
        slots = [self.slots[name] for name in names]
        tensors = [p for name in names for p in self.groups[name]] + [x for s in slots for x in s["mu"] + s["nu"]]
        restore, counts = make_restorer(tensors), [slot["t"] for slot in slots]

        def undo():
            restore()
            for slot, t in zip(slots, counts, strict=True):
                slot["t"] = t

        return undo

    def gradients(self, loss, names):
        """Gradients of `loss` with respect to the groups `names`, by group."""
        params = [p for name in names for p in self.groups[name]]
        grads = iter(torch.autograd.grad(loss, params, materialize_grads=True))
        return {name: [next(grads) for _ in self.groups[name]] for name in names}

    @torch.no_grad()
    def update_group(self, name, grads):
        """One update of one group with clipped gradients."""
        slots = self.slots[name]
        lr = self.lr[name] * self.lr_factor(slots["t"])
        slots["t"] += 1
        self.update(self.groups[name], grads, slots, lr, name)

    def lr_factor(self, t):
        """Warm-up from 0 (the first update has none), then constant or linear down to a tenth at `anneal`."""
        if t < self.warmup:
            return t / self.warmup
        if self.schedule == "const":
            return 1.0
        return 1 - 0.9 * min((t - self.warmup) / (self.anneal - self.warmup), 1.0)

    def decayed_params(self, params):
        """Parameters that decay: all, or only kernels (two axes and more)."""
        return [p for p in params if self.decay == "all" or p.ndim > 1]

    def get_extra_state(self):
        return self.slots

    def set_extra_state(self, state):
        for name, slots in self.slots.items():
            slots["t"] = state[name]["t"]
            for slot in ("mu", "nu"):
                for old, new in zip(slots[slot], state[name][slot], strict=True):
                    old.copy_(new)


class Adam(Optimizer):
    """Adam, in Keras' form (eps beside the uncorrected root) or in the usual one.

    Weight decay multiplies parameters by 1 - wd before the step, whatever the learning rate.
    Source: V1 `tools.Adam`, V2 `common/tfutils.py` `Optimizer`.
    """

    def __init__(
        self,
        *,
        lr: dict = {"model": 6e-4, "actor": 8e-5, "critic": 8e-5},  # noqa: B006 (read only)
        eps: dict = {"model": 1e-7, "actor": 1e-7, "critic": 1e-7},  # noqa: B006
        beta1: float = 0.9,
        beta2: float = 0.999,
        keras: bool = True,
        wd: float = 0.0,
        decay: str = "all",
        warmup: int = 0,
    ):
        super().__init__(lr=lr, warmup=warmup, wd=wd, decay=decay)
        self.eps, self.beta1, self.beta2, self.keras = eps, beta1, beta2, keras

    def update(self, params, grads, slots, lr, name):
        mu, nu, t = slots["mu"], slots["nu"], slots["t"]
        if self.wd:
            torch._foreach_mul_(self.decayed_params(params), 1 - self.wd)
        torch._foreach_lerp_(mu, grads, 1 - self.beta1)
        torch._foreach_mul_(nu, self.beta2)
        torch._foreach_addcmul_(nu, grads, grads, 1 - self.beta2)
        root = torch._foreach_sqrt(nu)
        correction = (1 - self.beta2**t) ** 0.5
        if not self.keras:
            torch._foreach_div_(root, correction)
            correction = 1.0
        torch._foreach_add_(root, self.eps[name])
        torch._foreach_addcdiv_(params, mu, root, -lr * correction / (1 - self.beta1**t))


class GlobalNorm:
    """Scales the gradients of a group down to a global norm; 0 leaves them. `shared`: one norm over all groups."""

    def __init__(self, *, model: float = 100.0, actor: float = 100.0, critic: float = 100.0, shared: bool = False):
        self.limits, self.shared = {"model": model, "actor": actor, "critic": critic}, shared

    def __call__(self, groups, grads):
        """Clips in place; returns the norms before, name -> scalar tensor."""
        norms = {name: total_norm(values) for name, values in grads.items()}
        joint = torch.stack([n.square() for n in norms.values()]).sum().sqrt()
        for name, values in grads.items():
            limit, norm = self.limits[name], joint if self.shared else norms[name]
            if limit:
                torch._foreach_mul_(values, limit / norm.clamp(min=limit))
        return norms


def total_norm(tensors):
    """Euclidean norm of a list of tensors taken as one vector."""
    return torch.stack(torch._foreach_norm(tensors)).norm()
