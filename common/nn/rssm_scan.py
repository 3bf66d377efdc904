"""Posterior of a sequence, with the gradients of the RSSM's parameters taken over all steps at once.

Backpropagation through time would add up a gradient of every matrix for every step, each from the few rows of one step.
Here the steps are differentiated with respect to the states only. From the gradients that arrive at the states, one
batched step over all B T rows gives those of the parameters: the same sums, in one product for each matrix.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from common.nn.nets import frozen

#: Multiply-adds of the largest product of one step above which bfloat16 is faster on a CPU. Below, preparing a product
#: takes longer than computing it in float32.
MIN_BFLOAT16_MULTIPLY_ADDS = 20_000_000

Step = tuple[Tensor, ...]  # deter (B, D), stoch (B, Z), posterior parameters (B, P)


def scan(rssm: Any, state: Any, action: Tensor, embed: Tensor, first: Tensor, noise: Tensor) -> Step:
    """Run the posterior steps of `rssm` over a sequence.

    state before the first step (B,), inputs (B, T, ...), noise (T, B, ...) -> deter, stoch, parameters (B, T, ...).
    """
    if not torch.is_grad_enabled():
        return stack_time(scan_steps(rssm, state, action, embed, first, noise))
    return RSSMScan.apply(rssm, type(state), action, embed, first, noise, *state, *rssm.parameters())


def scan_steps(rssm: Any, state: Any, action: Tensor, embed: Tensor, first: Tensor, noise: Tensor) -> list[Step]:
    """Run the steps one after the other; return one tuple for each."""
    outs = []
    with step_precision(rssm, len(first), first.device.type):
        for inputs in zip(action.unbind(1), embed.unbind(1), first.unbind(1), noise.unbind(0), strict=True):
            state, post = rssm.activations(rssm.obs_step, state, *inputs)
            state = state.apply(graph_alias)
            outs.append((*state, graph_alias(post)))
    return outs


def step_precision(rssm: Any, rows: int, device: str) -> AbstractContextManager:
    """Use float32 for steps of few rows and small matrices on a CPU; otherwise keep the autocast that is active."""
    largest = rows * max(p.numel() for p in rssm.parameters())
    if device == "cpu" and largest < MIN_BFLOAT16_MULTIPLY_ADDS:
        return torch.autocast(device, enabled=False)
    return contextlib.nullcontext()


def graph_alias(x: Tensor) -> Tensor:
    """Return the same numbers as a new node of the graph: its gradient is what arrives from outside of the step."""
    return x.view_as(x)


def stack_time(outs: Iterable[Sequence[Tensor]]) -> Step:
    """Stack T tuples of (B, ...) to a tuple of (B, T, ...)."""
    return tuple(torch.stack(x, 1) for x in zip(*outs, strict=True))


class RSSMScan(torch.autograd.Function):
    """`scan_steps`, with gradients of actions, embeddings, the first state and the parameters."""

    @staticmethod
    def forward(ctx, rssm, kind, action, embed, first, noise, deter, stoch, *params):
        """Run the steps on detached inputs and keep their graph. kind: class of the state."""
        ctx.rssm, ctx.kind, ctx.inputs, ctx.params = rssm, kind, (first, noise), params
        ctx.autocast = autocast_options(embed.device.type)
        ctx.leaves = [x.detach().requires_grad_() for x in (action, embed, deter, stoch)]
        with torch.enable_grad(), frozen(rssm):
            action, embed, *state = ctx.leaves
            ctx.steps = scan_steps(rssm, kind(*state), action, embed, first, noise)
        return stack_time([[x.detach() for x in step] for step in ctx.steps])

    @staticmethod
    def backward(ctx, *grads):
        """Differentiate through the states step by step, then the parameters over all steps at once."""
        outs = [x for step in ctx.steps for x in step]
        arriving = [x for step in zip(*(g.unbind(1) for g in grads), strict=True) for x in step]
        inputs = [*ctx.leaves, *outs]
        grads = torch.autograd.grad(outs, inputs, arriving, retain_graph=True, materialize_grads=True)
        return None, None, *grads[:2], None, None, *grads[2:4], *RSSMScan.parameter_grads(ctx, grads[4:])

    @staticmethod
    def parameter_grads(ctx, grads):
        """Return the gradients of the parameters from those at the 3 T outputs of the steps."""
        rows = lambda x: x.transpose(0, 1).flatten(0, 1)  # (B, T, ...) -> (T B, ...)
        (first, noise), (action, embed, *state) = ctx.inputs, (x.detach() for x in ctx.leaves)
        before = [[*state], *([x.detach() for x in step[:2]] for step in ctx.steps[:-1])]
        state = ctx.kind(*(torch.cat(x) for x in zip(*before, strict=True)))
        with torch.enable_grad(), torch.autocast(**ctx.autocast):
            state, post = ctx.rssm.obs_step(state, rows(action), rows(embed), rows(first), noise.flatten(0, 1))
        arriving = [torch.cat(grads[i::3]) for i in range(3)]
        return torch.autograd.grad([*state, post], ctx.params, arriving, allow_unused=True)


def autocast_options(device: str) -> dict[str, Any]:
    """Return the arguments that recreate the active autocast: a backward pass runs outside of it."""
    return {
        "device_type": device,
        "dtype": torch.get_autocast_dtype(device),
        "enabled": torch.is_autocast_enabled(device),
        "cache_enabled": torch.is_autocast_cache_enabled(),
    }
