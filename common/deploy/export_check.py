"""Comparison of an exported policy step with the policy.

State and parameters of the action distribution must agree. The action must agree unless several actions are equally
good up to rounding: saturated samples of a tanh-Normal have the same likelihood, and rounding decides which one wins.

Shapes: n environments, A action, P parameters of the action distribution.
"""

import numpy as np
import torch
from torch import Tensor

from common.agent.acting import Acting
from common.deploy.export import OUTPUTS, STATE_INPUTS, Inputs, PolicyStep, RandomInputs, Runner
from common.errors import UserError

MAX_DIFFERENCE = 1e-5
SMALL_NOISE = 0.1  # so small that samples differ where actions would saturate


def check_exported(step: PolicyStep, run: Runner, example: RandomInputs, steps: int = 5) -> float:
    """Return the largest difference between the step and its file over `steps` steps of 1 and of 3 environments.

    If the mode is chosen among samples, all samples are equal in every second step, and no likelihood decides.

    Raises UserError for an output that differs from the policy's, or does not fit the other outputs of the file.
    """
    worst = 0.0
    for n in (1, 3):
        state: dict = {}
        for k in range(steps):
            inputs = example.draw(n) | state
            inputs["is_first"] = torch.arange(n) >= k  # episodes begin at different steps
            if step.draws and k % 2:
                inputs["action_noise"] = SMALL_NOISE * inputs["action_noise"][:1].expand_as(inputs["action_noise"])
            with torch.no_grad():
                truth = step(**inputs)
                worst = max(worst, compare(step, inputs, truth, [torch.as_tensor(x) for x in run(inputs)]))
            state = dict(zip(STATE_INPUTS, truth[1:-1], strict=True))
    return worst


def compare(step: PolicyStep, inputs: Inputs, truth: tuple[Tensor, ...], outputs: list[Tensor]) -> float:
    """Return the largest difference of the outputs of one step; raise UserError as `check_exported` does."""
    right, made = dict(zip(OUTPUTS, truth, strict=True)), dict(zip(OUTPUTS, outputs, strict=True))
    fixed = [name for name in OUTPUTS if name not in ("env_action", "next_action")]
    worst = max(difference(name, right[name], made[name]) for name in fixed)
    action, other = right["next_action"], made["next_action"]
    if action.shape == other.shape:
        tied = equally_good(step, right["policy"], inputs.get("action_noise"), action, other)
        action = torch.where(tied[:, None], other, action)
    worst = max(worst, difference("next_action", action, other))
    return max(worst, difference("env_action", step.acting.to_env_action(action), made["env_action"]))


def equally_good(step: PolicyStep, out: Tensor, noise: Tensor | None, action: Tensor, other: Tensor) -> Tensor:
    """Return where `other` could be chosen instead of `action`: out (n, P), actions (n, A) -> bool (n,).

    Rounding moves outputs and actions by up to MAX_DIFFERENCE. A choice among samples must still be one of them.
    """
    acting, dist = step.acting, step.acting.actor.dist
    if step.draws:
        assert noise is not None
        samples = dist.sample(out[None].expand(len(noise), *out.shape), noise)
        known = ((samples - other).abs().amax(-1) <= MAX_DIFFERENCE).any(0)
        return known & (likelihoods(dist, out, other).amax(0) >= likelihoods(dist, out, action).amin(0))
    if not acting.classes:
        return torch.zeros(len(out), dtype=torch.bool)
    gumbel = noise if step.mode == "sample" and noise is not None else torch.zeros_like(action)
    lost = dist.log_prob(out, action) - dist.log_prob(out, other) + (gumbel * (action - other)).sum(-1)
    return is_choice(acting, other) & (lost <= 2 * MAX_DIFFERENCE * len(acting.classes))


def likelihoods(dist, out: Tensor, action: Tensor) -> Tensor:
    """Return log-probabilities of an action, and of it moved up and down by rounding: (n, P), (n, A) -> (3, n)."""
    moves = (-MAX_DIFFERENCE, 0.0, MAX_DIFFERENCE)
    return torch.stack([dist.log_prob(out, (action * (1 + move)).clamp(-1, 1)) for move in moves])


def is_choice(acting: Acting, action: Tensor) -> Tensor:
    """Return which vectors are one-hots in every discrete dimension: (n, A) -> bool (n,)."""
    parts = action.split(acting.classes, -1)
    return torch.stack([(part.amax(-1) == 1) & (part.abs().sum(-1) == 1) for part in parts]).all(0)


def difference(name: str, one: Tensor, other: Tensor) -> float:
    """Return the largest difference of two outputs, relative above 1; raise UserError above MAX_DIFFERENCE."""
    if one.shape != other.shape:
        raise UserError(f"The exported step gives {name} the shape {tuple(other.shape)}, not {tuple(one.shape)}.")
    worst = float(np.abs((one.double() - other.double()).numpy() / one.double().abs().clamp_min(1).numpy()).max())
    if not worst <= MAX_DIFFERENCE:
        raise UserError(f"The exported step differs from the policy: {name} by {worst:.2g}. Nothing was written.")
    return worst
