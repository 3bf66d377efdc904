"""The RSSM over a replayed sequence, with the gradients of its parameters taken over all steps at once.

Backpropagation through time adds up a gradient of every matrix for every step, each from the few rows of one step.
Here the steps are differentiated with respect to the states only; from the gradients that arrive at each of them, one
batched step over all B T rows then gives those of the parameters: the same sums, in one product for each matrix.
"""

import contextlib

import torch

from common.nn.frozen import frozen

#: Multiply-adds of the largest product of one step from which bfloat16 is the faster one on a CPU: below, preparing a
#: product takes longer than computing it in float32.
MIN_BFLOAT16_MULTIPLY_ADDS = 20_000_000


def scan(rssm, state, action, embed, first, noise):
    """State before the first step, inputs (B, T, ...), noise (T, B, ...) -> deter, stoch, post (B, T, ...)."""
    if not torch.is_grad_enabled():
        return stack_time(scan_steps(rssm, state, action, embed, first, noise))
    return RSSMScan.apply(rssm, type(state), action, embed, first, noise, *state, *rssm.parameters())


def scan_steps(rssm, state, action, embed, first, noise):
    """The steps in turn -> list of T tuples deter, stoch, post (B, ...)."""
    outs = []
    with step_precision(rssm, len(first), first.device.type):
        for now in zip(action.unbind(1), embed.unbind(1), first.unbind(1), noise.unbind(0), strict=True):
            state, post = rssm.obs_step(state, *now)
            state = state.apply(graph_alias)
            outs.append((*state, graph_alias(post)))
    return outs


def step_precision(rssm, rows, device):
    """Float32 for steps of few rows and small matrices on a CPU, else what holds outside."""
    largest = rows * max(p.numel() for p in rssm.parameters())
    if device == "cpu" and largest < MIN_BFLOAT16_MULTIPLY_ADDS:
        return torch.autocast(device, enabled=False)
    return contextlib.nullcontext()


def graph_alias(x):
    """The same numbers as another node of the graph: its gradient is what arrives from outside of the step."""
    return x.view_as(x)


def stack_time(outs):
    """T tuples of (B, ...) -> tuple of (B, T, ...)."""
    return tuple(torch.stack(x, 1) for x in zip(*outs, strict=True))


class RSSMScan(torch.autograd.Function):
    """`run`, and the gradients of actions, embeddings, the first state and the parameters."""

    @staticmethod
    def forward(ctx, rssm, kind, action, embed, first, noise, deter, stoch, *params):
        ctx.rssm, ctx.kind, ctx.inputs, ctx.params = rssm, kind, (first, noise), params
        ctx.autocast = autocast_options(embed.device.type)
        ctx.leaves = [x.detach().requires_grad_() for x in (action, embed, deter, stoch)]
        with torch.enable_grad(), frozen(rssm):
            ctx.steps = scan_steps(rssm, kind(*ctx.leaves[2:]), *ctx.leaves[:2], first, noise)
        return stack_time([[x.detach() for x in step] for step in ctx.steps])

    @staticmethod
    def backward(ctx, *grads):
        outs = [x for step in ctx.steps for x in step]
        arriving = [x for step in zip(*(g.unbind(1) for g in grads), strict=True) for x in step]
        inputs = [*ctx.leaves, *outs]
        grads = torch.autograd.grad(outs, inputs, arriving, retain_graph=True, materialize_grads=True)
        return None, None, *grads[:2], None, None, *grads[2:4], *RSSMScan.parameters(ctx, grads[4:])

    @staticmethod
    def parameters(ctx, grads):
        """Gradients at the 3 T outputs of the steps -> gradients of the parameters."""
        rows = lambda x: x.transpose(0, 1).flatten(0, 1)  # (B, T, ...) -> (T B, ...)
        (first, noise), (action, embed, *state) = ctx.inputs, (x.detach() for x in ctx.leaves)
        before = [[*state], *([x.detach() for x in step[:2]] for step in ctx.steps[:-1])]
        state = ctx.kind(*(torch.cat(x) for x in zip(*before, strict=True)))
        with torch.enable_grad(), torch.autocast(**ctx.autocast):
            state, post = ctx.rssm.obs_step(state, rows(action), rows(embed), rows(first), noise.flatten(0, 1))
        arriving = [torch.cat(grads[i::3]) for i in range(3)]
        return torch.autograd.grad([*state, post], ctx.params, arriving, allow_unused=True)


def autocast_options(device):
    """Arguments that make the present autocast again: a backward pass runs outside of it."""
    return {
        "device_type": device,
        "dtype": torch.get_autocast_dtype(device),
        "enabled": torch.is_autocast_enabled(device),
        "cache_enabled": torch.is_autocast_cache_enabled(),
    }
