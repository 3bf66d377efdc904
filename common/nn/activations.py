"""Choice of what a network keeps of its forward pass for the backward pass: everything, or only its inputs.

With `run.recompute_activations`, the convolutions, the hidden layers of all other networks, and each step of the RSSM
keep their inputs only. The backward pass computes the rest again, one network at a time. The operations and their order
are the same, and so are the results.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class KeepActivations:
    """Keeps all activations.

    divides: whether images are divided into chunks on every device.
    """

    divides = False

    def __call__(self, function: Callable, *inputs: Any) -> Any:
        """Return function(*inputs), where `function` is a method of a module."""
        return function(*inputs)


class RecomputeActivations(KeepActivations):
    """Keeps the inputs, and calls the function again in the backward pass.

    random: whether functions draw random numbers, which are then drawn again from the same state. Inside a compiled
    function the compiler decides what is kept.
    """

    divides = True

    def __init__(self, random: bool = False) -> None:
        self.random = random

    def __call__(self, function: Callable, *inputs: Any) -> Any:
        """Return function(*inputs)."""
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return function(*inputs)
        params = [*function.__self__.parameters()]  # type: ignore[attr-defined]
        flags = [p.requires_grad for p in params]  # a network may be frozen now and not in the backward pass
        contexts = lambda: (contextlib.nullcontext(), with_flags(params, flags))
        options: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": self.random, "context_fn": contexts}
        return checkpoint(function, *inputs, **options)


KEEP = KeepActivations()


@contextlib.contextmanager
def with_flags(params: Sequence[nn.Parameter], flags: Sequence[bool]) -> Iterator[None]:
    """Set `requires_grad` of parameters to flags inside the block."""
    before = [p.requires_grad for p in params]
    for p, flag in zip(params, flags, strict=True):
        p.requires_grad_(flag)
    try:
        yield
    finally:
        for p, flag in zip(params, before, strict=True):
            p.requires_grad_(flag)


def use_activations(module: nn.Module, activations: KeepActivations) -> None:
    """Set what `module` keeps, and every module inside it. A module that decides for its parts is not entered."""
    if hasattr(module, "activations"):
        module.activations = activations  # type: ignore[assignment]
    if not getattr(module, "keeps_for_parts", False):
        for child in module.children():
            use_activations(child, activations)
