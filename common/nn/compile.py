"""Compiling the hot functions: `@fast` marks them, `compiling()` says when they run compiled.

Marked functions are plain functions of tensors: their randomness is drawn outside, numbers that change come in as
tensors. Acting, evaluation and tests run them eagerly; the update runs them compiled where its config says so.
"""

import contextlib
import functools
import os
import re
import shutil
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from common.errors import UserError

#: Versions of one function kept: one for each agent of a process and each kind of gradient.
MAX_RECOMPILES = 64


class Compiler:
    """Which marked functions run compiled now. One that cannot be compiled is a UserError, or stays eager."""

    def __init__(self, fallback: bool):
        self.fallback = fallback
        self.failed: dict[str, str] = {}
        self.compiled: dict[Callable, Callable] = {}
        self.disabled = False  # whether nothing is compiled any more

    def call(self, function: Callable, *args):
        """Calls the compiled form of `function`, made at its first call."""
        if self.disabled or function.__qualname__ in self.failed:
            return function(*args)
        configure_torch_compiler()
        if function not in self.compiled:
            self.compiled[function] = torch.compile(function, dynamic=False)
        try:
            return self.compiled[function](*args)
        except (torch._dynamo.exc.TorchDynamoException, OSError) as error:
            if (half := truncated_library(str(error))) is not None:
                half.unlink()
                del self.compiled[function]
                return self.call(function, *args)
            self.failed[function.__qualname__] = self.explain_failure(function.__qualname__, error)
            return function(*args)

    def can_retry(self, error: Exception) -> bool:
        """Whether an update that raised `error` in a backward pass may be tried again: all of it runs eagerly then,
        but where a library was half written."""
        if not isinstance(error, torch._dynamo.exc.TorchDynamoException):
            return False
        if (half := truncated_library(str(error))) is not None:
            half.unlink()
            return True
        self.explain_failure("a backward pass", error)
        self.disabled = True
        return True

    def explain_failure(self, what: str, error: Exception) -> str:
        """The reason why `what` cannot be compiled, for which there is a warning, or a UserError without fallback."""
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        if not self.fallback:
            raise UserError(
                f"run.compile is on, but {what} cannot be compiled: {reason}\n"
                "Use --compile off, or --compile auto to compile what can be."
            ) from error
        warnings.warn(f"{what} runs uncompiled: {reason}", RuntimeWarning, stacklevel=4)
        return reason


_here = threading.local()


def configure_torch_compiler():
    """Sets up torch's compiler, whose settings hold in one thread: backward passes on a GPU run in another one."""
    if not hasattr(_here, "done"):
        import torch._dynamo
        import torch._inductor.config

        torch._dynamo.config.recompile_limit = MAX_RECOMPILES
        torch._inductor.config.fallback_random = True  # the same random numbers as eagerly
        _here.done = True


def truncated_library(error: str) -> Path | None:
    """The library in torch's cache that an error is about, if a process was killed while it wrote it."""
    match = re.search(r"(/\S+\.so): (?:file too short|invalid ELF header)", error)
    path = Path(match[1]) if match else None
    return path if path is not None and path.exists() else None


_now: Compiler | None = None


def compilable(function):
    """Marks a method of tensors as worth compiling."""

    @functools.wraps(function)
    def call(*args):
        return function(*args) if _now is None or torch.compiler.is_compiling() else _now.call(function, *args)

    return call


@contextlib.contextmanager
def compiling(compiler: Compiler | None) -> Iterator[None]:
    """Marked functions run compiled by `compiler` inside, or eagerly with None."""
    global _now
    before, _now = _now, compiler
    try:
        yield
    finally:
        _now = before


def make_compiler(choice: str, device: torch.device, updates: float, least: int = 3000) -> Compiler | None:
    """run.compile -> the compiler of an agent, or None.

    auto compiles on a GPU, and on a CPU with a C++ compiler when at least `least` updates repay the minute it takes.
    """
    worth = device.type == "cuda" or (updates >= least and has_cxx_compiler())
    if choice == "off" or (choice == "auto" and not worth):
        return None
    configure_torch_compiler()
    return Compiler(fallback=choice == "auto")


def use_bfloat16(choice: str, device: torch.device) -> bool:
    """run.precision -> whether matrix products are in bfloat16. auto: where the hardware multiplies it faster."""
    return choice == "bf16" or (choice == "auto" and has_fast_bfloat16(device))


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def has_cxx_compiler() -> bool:
    """Whether there is a C++ compiler for CPU code."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++") if name)
