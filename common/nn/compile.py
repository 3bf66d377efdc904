"""Compilation of hot functions: `@compilable` marks them, `compiling()` runs them compiled.

Marked functions are plain functions of tensors: random numbers and numbers that change come in as tensors.
Acting, evaluation and tests run them eagerly; the update compiles them if `run.compile` is on.
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
from typing import Any, ParamSpec, TypeVar

import torch

from common.errors import UserError
from common.nn import ranks

P = ParamSpec("P")
R = TypeVar("R")

#: Compiled versions kept of one function: one for each agent of a process and each kind of gradient.
MAX_RECOMPILES = 64

#: Seconds of uncompiled updates of a run from which `auto` compiles on a CPU: all measured agents are ahead by then,
#: also with an empty cache (benchmarks/compiling.json).
REPAYING_SECONDS = 1200.0


class Compiler:
    """Compiles marked functions. With `fallback`, a function that cannot be compiled runs eagerly; else UserError."""

    def __init__(self, fallback: bool) -> None:
        self.fallback = fallback
        self.failed: dict[str, str] = {}
        self.compiled: dict[Callable, Callable] = {}
        self.disabled = False  # after a backward pass failed, everything runs eagerly

    @property
    def used(self) -> bool:
        """Whether it has been asked to compile anything."""
        return bool(self.compiled or self.failed)

    def call(self, function: Callable, *args):
        """Call the compiled form of `function`; compile it at its first call."""
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
        """Return whether an update that raised `error` in a backward pass can be tried again.

        It then runs eagerly, or compiled if the error was a truncated library, which is deleted.
        """
        if not isinstance(error, torch._dynamo.exc.TorchDynamoException):
            return False
        if (half := truncated_library(str(error))) is not None:
            half.unlink()
            return True
        self.explain_failure("a backward pass", error)
        self.disabled = True
        return True

    def explain_failure(self, what: str, error: Exception) -> str:
        """Warn that `what` cannot be compiled and return the reason; raise UserError without fallback."""
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        if not self.fallback:
            auto = ", or --compile auto to compile what can be" * (ranks.current().size == 1)
            raise UserError(f"{what} cannot be compiled: {reason}\nUse --compile off{auto}.") from error
        warnings.warn(f"{what} runs uncompiled: {reason}", RuntimeWarning, stacklevel=4)
        return reason


_configured = threading.local()


def configure_torch_compiler() -> None:
    """Configure torch's compiler in this thread: its settings are per thread, and backward passes have their own."""
    if not hasattr(_configured, "done"):
        import torch._dynamo
        import torch._inductor.config

        torch._dynamo.config.recompile_limit = MAX_RECOMPILES
        torch._inductor.config.fallback_random = True  # the same random numbers as eagerly
        _configured.done = True


def truncated_library(error: str) -> Path | None:
    """Return the library in torch's cache that a killed process left half written, if `error` is about one."""
    match = re.search(r"(/\S+\.so): (?:file too short|invalid ELF header)", error)
    path = Path(match[1]) if match else None
    return path if path is not None and path.exists() else None


_active_compiler: Compiler | None = None


def compilable(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a method of tensors as worth compiling."""

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        if _active_compiler is None or torch.compiler.is_compiling():
            return function(*args)  # type: ignore[call-arg]
        return _active_compiler.call(function, *args)

    return call  # type: ignore[return-value]


@contextlib.contextmanager
def compiling(compiler: Compiler | None) -> Iterator[None]:
    """Run marked functions compiled by `compiler` inside the block, or eagerly with None."""
    global _active_compiler
    before, _active_compiler = _active_compiler, compiler
    try:
        yield
    finally:
        _active_compiler = before


def make_compiler(choice: str, device: torch.device, seconds: float) -> Compiler | None:
    """Return the compiler that `run.compile` asks for, or None.

    auto compiles on a GPU, and on a CPU with a C++ compiler if the run's updates would take `seconds` uncompiled, long
    enough to repay the time of compilation. Of several ranks, all compile or none. A function that one of them cannot
    compile ends the run: run uncompiled on one alone, it would round differently.
    """
    group = ranks.current()
    worth = group.all(device.type == "cuda" or (seconds >= REPAYING_SECONDS and has_cxx_compiler()))
    if choice == "off" or (choice == "auto" and not worth):
        return None
    configure_torch_compiler()
    return Compiler(fallback=choice == "auto" and group.size == 1)


def use_bfloat16(choice: str, device: torch.device) -> bool:
    """Return whether `run.precision` asks for bfloat16. auto: if the hardware multiplies it faster."""
    return choice == "bf16" or (choice == "auto" and has_fast_bfloat16(device))


def has_fast_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def has_cxx_compiler() -> bool:
    """Return whether a C++ compiler for CPU code is installed."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++") if name)
