"""Optimisers: one update rule for named groups of parameters, and clipping by global norm."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from common.agent.interfaces import Clip, Gradients, Groups, Losses, Metrics
from common.agent.update_guard import make_restorer
from common.errors import UserError, check_choice
from common.nn import ranks
from common.nn.sections import section

#: Group of exploration -> the group whose settings it takes, unless it has one of its own.
SETTINGS_OF = {
    "ensemble": "critic",
    "explore_actor": "actor",
    "explore_critic": "critic",
    "explore_critic_extr": "critic",
}
Slots = dict[str, Any]  # state of one group: number of steps `t`, moments `mu` and `nu`, a tensor for each parameter


class Optimizer(nn.Module):
    """Gradients, clipping and the step of named groups of parameters. Subclasses define `update`, the rule.

    Each loss names the groups it trains, and no gradient reaches another group. Moments and step counts are extra
    state of the module, so a checkpoint of the agent is complete.

    lr: group -> rate. warmup: steps. wd: weight decay of parameters chosen by decay ("all" or "kernels").
    schedule: "const", or "linear" down to a tenth of the rate at step `anneal`.
    """

    def __init__(
        self,
        *,
        lr: dict[str, float],
        warmup: int = 0,
        wd: float = 0.0,
        decay: str = "all",
        schedule: str = "const",
        anneal: int = 0,
    ):
        super().__init__()
        check_choice("optim.schedule", schedule, ("const", "linear"))
        check_choice("optim.decay", decay, ("all", "kernels"))
        if schedule == "linear" and anneal <= warmup:
            raise UserError(f"optim.schedule linear needs optim.anneal > optim.warmup ({warmup}), got {anneal}.")
        self.lr, self.warmup, self.schedule, self.anneal = lr, warmup, schedule, anneal
        self.wd, self.decay = wd, decay

    def setup(self, groups: Groups, clip: Clip) -> None:
        """Take the parameters by group and the part that clips their gradients; create the moments."""
        self.groups, self.clip = groups, clip
        zeros = lambda params: [torch.zeros_like(p, memory_format=torch.preserve_format) for p in params]
        self.slots: dict[str, Slots] = {name: {"t": 0, "mu": zeros(ps), "nu": zeros(ps)} for name, ps in groups.items()}

    def step(self, losses: Losses, trained_groups: dict[str, tuple[str, ...]]) -> Metrics:
        """Differentiate scaled scalar losses and step the groups they train; return gradient norms by group."""
        norms, grads = self.differentiate(losses, trained_groups)
        self.step_groups(grads)
        return norms

    def differentiate(self, losses: Losses, trained_groups: dict[str, tuple[str, ...]]) -> tuple[Metrics, Gradients]:
        """Differentiate scaled scalar losses; return gradient norms before clipping, and clipped gradients by group.

        The graph of a loss ends at its groups, so one backward pass serves all losses together. Gradients are those of
        the whole batch, also if several processes have a share of it.
        """
        with section("backward"):
            names = sorted({name for loss in losses for name in trained_groups[loss]})
            grads = self.gradients(sum(losses.values()), names)  # type: ignore[arg-type]
        for values in grads.values():
            ranks.current().reduce(values)
        with section("optimiser"):
            return self.clip(self.groups, grads), grads

    def step_groups(self, grads: Gradients) -> None:
        """Step every group that has gradients."""
        with section("optimiser"):
            for name, values in grads.items():
                self.update_group(name, values)

    def make_restorer(self, names: Iterable[str]) -> Callable[[], object]:
        """Return a function that undoes all later steps of some groups."""
        names = list(names)
        slots = [self.slots[name] for name in names]
        tensors = [p for name in names for p in self.groups[name]] + [x for s in slots for x in s["mu"] + s["nu"]]
        restore, counts = make_restorer(tensors), [slot["t"] for slot in slots]

        def undo() -> None:
            restore()
            for slot, t in zip(slots, counts, strict=True):
                slot["t"] = t

        return undo

    def gradients(self, loss: Tensor, names: list[str]) -> Gradients:
        """Return the gradients of a scalar loss by group."""
        params = [p for name in names for p in self.groups[name]]
        grads = iter(torch.autograd.grad(loss, params, materialize_grads=True))
        return {name: [next(grads) for _ in self.groups[name]] for name in names}

    @torch.no_grad()
    def update_group(self, name: str, grads: list[Tensor]) -> None:
        """Step one group with clipped gradients."""
        slots = self.slots[name]
        lr = setting(self.lr, name) * self.lr_factor(slots["t"])
        slots["t"] += 1
        self.update(self.groups[name], grads, slots, lr, name)

    def update(self, params: list[Tensor], grads: list[Tensor], slots: Slots, lr: float, name: str) -> None:
        """Change the parameters of a group in place. `slots["t"]` is the number of this step, from 1 on."""
        raise NotImplementedError

    def lr_factor(self, t: int) -> float:
        """Return the factor of the learning rate after t steps.

        It warms up from 0, so the first step changes nothing. Then it is 1, or falls to a tenth at `anneal`.
        """
        if t < self.warmup:
            return t / self.warmup
        if self.schedule == "const":
            return 1.0
        return 1 - 0.9 * min((t - self.warmup) / (self.anneal - self.warmup), 1.0)

    def decayed_params(self, params: list[Tensor]) -> list[Tensor]:
        """Return the parameters that decay: all, or only kernels (two axes and more)."""
        return [p for p in params if self.decay == "all" or p.ndim > 1]

    def get_extra_state(self) -> dict[str, Slots]:
        return self.slots

    def set_extra_state(self, state: dict[str, Slots]) -> None:
        for name, slots in self.slots.items():
            slots["t"] = state[name]["t"]
            for slot in ("mu", "nu"):
                for old, new in zip(slots[slot], state[name][slot], strict=True):
                    old.copy_(new)


class Adam(Optimizer):
    """Adam: p <- p - lr c mu / (sqrt(nu) + eps), where c corrects the bias of both moments.

    keras: eps is added to the uncorrected sqrt(nu), as in Keras; otherwise to the corrected one, as in PyTorch.
    Weight decay multiplies parameters by 1 - wd before the step, independently of the learning rate.
    Source: V1 `tools.Adam`, V2 `common/tfutils.py` `Optimizer`.
    """

    def __init__(
        self,
        *,
        lr: dict[str, float] = {"model": 6e-4, "actor": 8e-5, "critic": 8e-5},  # noqa: B006 (read only)
        eps: dict[str, float] = {"model": 1e-7, "actor": 1e-7, "critic": 1e-7},  # noqa: B006
        beta1: float = 0.9,
        beta2: float = 0.999,
        keras: bool = True,
        wd: float = 0.0,
        decay: str = "all",
        warmup: int = 0,
    ):
        super().__init__(lr=lr, warmup=warmup, wd=wd, decay=decay)
        self.eps, self.beta1, self.beta2, self.keras = eps, beta1, beta2, keras

    def update(self, params: list[Tensor], grads: list[Tensor], slots: Slots, lr: float, name: str) -> None:
        """Change the parameters of a group in place."""
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
        torch._foreach_add_(root, setting(self.eps, name))
        torch._foreach_addcdiv_(params, mu, root, -lr * correction / (1 - self.beta1**t))


class GlobalNorm:
    """`clip` part: scales the gradients of a group down to a global norm, its option; 0 turns it off (V1, V2).

    shared: one norm over all groups decides for each of them.
    """

    def __init__(self, *, model: float = 100.0, actor: float = 100.0, critic: float = 100.0, shared: bool = False):
        self.limits, self.shared = {"model": model, "actor": actor, "critic": critic}, shared

    def __call__(self, groups: Groups, grads: Gradients) -> Metrics:
        """Clip in place; return the norms before, as scalars by group."""
        norms = {name: total_norm(values) for name, values in grads.items()}
        joint = torch.stack([n.square() for n in norms.values()]).sum().sqrt()
        for name, values in grads.items():
            limit, norm = setting(self.limits, name), joint if self.shared else norms[name]
            if limit:
                torch._foreach_mul_(values, limit / norm.clamp(min=limit))
        return norms


def setting(values: dict[str, float], group: str) -> float:
    """Return the value of a group: its own, or that of the group that it follows."""
    return values[group] if group in values else values[SETTINGS_OF[group]]


def total_norm(tensors: Sequence[Tensor]) -> Tensor:
    """Return the Euclidean norm of tensors, taken as one vector."""
    return torch.stack(torch._foreach_norm(list(tensors))).norm()
