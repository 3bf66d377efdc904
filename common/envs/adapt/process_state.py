"""Process-wide state that environments change: set for each call into an environment, put back after it.

Otherwise an environment that seeds torch's generator repeats the agent's exploration, one that sets the default dtype
breaks its training, and one that installs signal handlers keeps a run from being saved.
"""

import _signal
import contextlib
import gc
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from common.envs.adapt.generators import EnvGenerators
from common.processes import foreign_children, has_children, reaper
from common.signals import STOP_SIGNALS

#: Signals whose handlers an environment cannot keep. SIGPIPE would end the process when a pipe breaks.
KEPT_SIGNALS = (*STOP_SIGNALS, signal.SIGQUIT, signal.SIGPIPE, signal.SIGCHLD)
KEPT_NUMBERS = tuple(map(int, KEPT_SIGNALS))

Setting = tuple[Callable[[], Any], Callable[[Any], Any]]  # functions that read and set it


def _stream(name: str) -> Setting:
    return lambda: getattr(sys, name), lambda value: setattr(sys, name, value)


#: Streams that environments have set. Python closes a stream that nobody refers to, and with it its file, which is
#: often our file: io.TextIOWrapper(sys.stdout.buffer).
REPLACED_STREAMS: list[Any] = []


def _keep_and_repair_streams(own: list[Any]) -> None:
    """Keep streams that an environment has set, and open ours again if it has closed or detached them."""
    REPLACED_STREAMS.extend(each for each in own if not any(each is kept for kept in REPLACED_STREAMS))
    for name, number in (("stdout", 1), ("stderr", 2)):
        if _is_closed(getattr(sys, name)):
            with contextlib.suppress(OSError):  # the file itself is closed
                stream = open(number, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
                setattr(sys, name, stream)


def _is_closed(stream: Any) -> bool:
    """Whether a stream is closed or has lost its buffer."""
    try:
        return getattr(stream, "closed", False) is True
    except ValueError:  # detached
        return True


def _working_directory() -> str:
    """Return the working directory; empty if it was deleted."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def _set_working_directory(path: str) -> None:
    with contextlib.suppress(OSError):  # it was deleted
        os.chdir(path)


def _umask() -> int:
    mask = os.umask(0o077)  # it can only be read by setting it
    os.umask(mask)
    return mask


def _error_filters() -> list[tuple]:
    """Return the filters that turn warnings into errors."""
    return [each for each in warnings.filters if each[0] == "error"]


def _set_error_filters(value: list[tuple]) -> None:
    """Set the filters that turn warnings into errors. The others stay, and so does the order."""
    kept = [each for each in warnings.filters if each[0] != "error" or each in value]
    warnings.filters[:] = [*(each for each in value if each not in kept), *kept]  # type: ignore[index]


PYTHON_SETTINGS: list[Setting] = [
    (_working_directory, _set_working_directory),
    (_umask, os.umask),
    (_error_filters, _set_error_filters),
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (np.geterr, lambda value: np.seterr(**value)),
    (gc.isenabled, lambda value: gc.enable() if value else gc.disable()),
    _stream("stdout"),
    _stream("stderr"),
]
STREAM_INDICES = (len(PYTHON_SETTINGS) - 2, len(PYTHON_SETTINGS) - 1)


def _torch_settings(torch: Any) -> list[Setting]:
    device_context = lambda: getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)  # get_default_device: 4 µs
    return [
        (torch.get_default_dtype, torch.set_default_dtype),
        (torch.is_grad_enabled, torch._C._set_grad_enabled),
        (torch.get_num_threads, torch.set_num_threads),
        (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
        (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
        (device_context, lambda found: torch.set_default_device(getattr(found, "device", None))),
    ]


class ProcessState:
    """An environment's own process-wide state, between its calls.

    Its generators of Python, NumPy and torch, and the settings in `PYTHON_SETTINGS` and `_torch_settings` that it has
    changed, hold inside its calls only. Signal handlers and the signal mask are put back after each call. Processes
    that it starts are registered to end with this process. Threads of its own see our state.
    """

    def __init__(self) -> None:
        self.generators = EnvGenerators()
        self.settings = list(PYTHON_SETTINGS)
        self.has_torch = False
        self.own: dict[int, Any] = {}  # index of a setting -> the environment's value, if it is not ours

    @contextlib.contextmanager
    def inside(self, seed: int | None = None) -> Iterator[None]:
        """Run a call into the environment. seed: of the process-wide generators; required for the first call."""
        self._find_torch()
        ours = [read() for read, _ in self.settings]
        handlers, had_children = _handlers(), has_children()
        children = foreign_children() if seed is not None and had_children else set()
        for index, value in self.own.items():
            self.settings[index][1](value)
        self.generators.enter(seed)
        try:
            yield
        finally:
            self.generators.leave()
            self._put_back(ours)
            _restore_handlers(handlers, all_of_them=seed is not None)
            if (seed is not None or not had_children) and has_children():
                reaper.register(foreign_children() - children)

    def _find_torch(self) -> None:
        torch = sys.modules.get("torch")
        if not self.has_torch and hasattr(torch, "set_default_device"):
            self.settings, self.has_torch = [*self.settings, *_torch_settings(torch)], True

    def _put_back(self, ours: list[Any]) -> None:
        """Keep the settings that the environment has changed, and set ours again."""
        self.own = {}
        for index, (value, (read, write)) in enumerate(zip(ours, self.settings, strict=False)):
            if (found := read()) != value:
                self.own[index] = found
                write(value)
        _keep_and_repair_streams([self.own[index] for index in STREAM_INDICES if index in self.own])


def _handlers() -> tuple | None:
    """Return the signal mask and the handlers of `KEPT_SIGNALS`; None in other threads than the main one."""
    if threading.current_thread() is not threading.main_thread():
        return None
    return _signal.pthread_sigmask(signal.SIG_BLOCK, ()), [_signal.getsignal(number) for number in KEPT_NUMBERS]


def _restore_handlers(before: tuple | None, *, all_of_them: bool) -> None:
    """Put the signal mask and handlers back. all_of_them: also those that seem unchanged, since C code may have."""
    if before is None:
        return
    mask, handlers = before
    for number, handler in zip(KEPT_NUMBERS, handlers, strict=True):
        if handler is not None and (all_of_them or _signal.getsignal(number) is not handler):
            _signal.signal(number, handler)
    if _signal.pthread_sigmask(signal.SIG_BLOCK, ()) != mask:
        _signal.pthread_sigmask(signal.SIG_SETMASK, mask)
