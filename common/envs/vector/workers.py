"""One environment with Gymnasium's vector interface, in this process or in its own.

`LocalEnv` and `WorkerEnv` are vector environments of size one with the same asynchronous calls: `reset_async`,
`reset_wait`, `step_async`, `step_wait`, `stop`. Each can fail, be stopped and be made again without any effect on the
others.
"""

import atexit
import contextlib
import enum
import functools
import multiprocessing
import multiprocessing.util
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from common.envs.adapt.adapter import Adapter, find_adapter
from common.envs.adapt.answers import only_element, safe_text
from common.envs.faults import describe_error
from common.errors import escape_surrogates
from common.processes import end_worker, kill_session, reaper
from common.signals import STOP_SIGNALS, deadline, end_by_signal, pass_on_interrupt


class ContainedEnv(gymnasium.Env):
    """Makes an environment at its first reset, and reports any exception that it raises in `info`.

    `failure` is the exception in one line, `traceback` the full text. The environment is then discarded, and the next
    reset makes a new one. A reset or step that takes longer than `timeout` seconds (0: no limit) is also a failure.
    Of the environment's own info only the numbers named `log_...` or `log/...` are passed on; `note` reports once which
    of them are not numbers, and what is unusual about the values of its images. A process that the environment
    forked ends when it returns here.
    """

    def __init__(
        self, make: Callable[[], gymnasium.Env], observation_space: Any, action_space: Any, timeout: float = 0
    ):
        self.make, self.timeout = make, timeout
        self.env: gymnasium.Env | None = None
        self.adapter: Adapter | None = None  # of env, if it has one
        self.observation_space, self.action_space = observation_space, action_space
        self.reported: set[str] = set()  # keys of info that are not numbers, and notes
        self.process = os.getpid()

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        try:
            with self._limited():
                if self.env is None:
                    self.env = self.make()
                    self.adapter = find_adapter(self.env)
                    self._check_spaces(self.env)
                obs, info = self.env.reset(seed=seed, options=options)
                return obs, self._logs(info)
        except BaseException as error:
            return self._failed(error)

    def step(self, action: Any) -> tuple[dict, Any, bool, bool, dict]:
        try:
            with self._limited():
                assert self.env is not None, "reset first"
                obs, reward, terminated, truncated, info = self.env.step(action)
                return obs, reward, terminated, truncated, self._logs(info)
        except BaseException as error:
            obs, info = self._failed(error)
            return obs, 0.0, False, True, info

    def render_frame(self) -> tuple[np.ndarray | None, str]:
        """Return a copy of the rendered frame, uint8 (H, W, 3), or None and what `render` returned instead."""
        try:
            with self._limited():
                assert self.env is not None, "reset first"
                rendered: Any = self.env.render()
                frame = np.array(rendered)
        except NotImplementedError:  # it has no such method
            return None, ""
        except BaseException as error:  # a missing renderer may raise anything
            pass_on_interrupt(error)
            return None, f"render failed with {describe_error(error)}"
        if frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3 and frame.size:
            return frame, ""
        found = f"{type(rendered).__name__} {frame.dtype} {frame.shape}"
        return None, "" if rendered is None else f"render returned {found}, not uint8 (H, W, 3)"

    def action_names(self) -> list[str]:
        """Return the names of the actions; empty if the environment has none or has not been reset."""
        try:
            with self._limited():
                return find_action_names(self.env) if self.env is not None else []
        except BaseException as error:  # the environment's own code may raise anything
            pass_on_interrupt(error)
            return []

    def close(self) -> None:
        if self.env is not None:
            self.env.close()
            self.env = None

    @contextlib.contextmanager
    def _limited(self) -> Iterator[None]:
        """Limit the time of a block; end a forked process that returns from it."""
        try:
            with deadline(self.timeout):
                yield
        finally:
            if os.getpid() != self.process:
                os._exit(1)

    def _check_spaces(self, env: gymnasium.Env) -> None:
        for name in ("observation_space", "action_space"):
            before, now = space_layout(getattr(self, name)), space_layout(getattr(env, name))
            if before != now:
                raise ValueError(f"Its {name} changed from {before} to {now}.")

    def _logs(self, info: dict) -> dict:
        numbers, others = split_logs(info)
        new = [sentence for key, sentence in others.items() if key not in self.reported]
        new += [note for note in (self.adapter.take_notes() if self.adapter else ()) if note not in self.reported]
        self.reported |= {*others, *new}
        return numbers | ({"note": " ".join(new)} if new else {})

    def _failed(self, error: BaseException) -> tuple[dict, dict]:
        pass_on_interrupt(error)
        trace = escape_surrogates("".join(traceback.format_exception(error)))
        with suppress_env_errors():
            self.close()
        self.env = None
        space: Any = self.observation_space
        blank = {key: np.zeros(child.shape, child.dtype) for key, child in space.items()}
        return blank, {"failure": describe_error(error), "traceback": trace}


def find_action_names(env: gymnasium.Env) -> list[str]:
    """Return what `get_action_meanings`, `action_names` or an enumeration `actions` of an environment list."""
    for name in ("get_action_meanings", "action_names", "actions"):
        if env.has_wrapper_attr(name):
            found = env.get_wrapper_attr(name)
            found = found() if name == "get_action_meanings" else found
            if isinstance(found, type) and issubclass(found, enum.Enum):
                return [member.name for member in found]
            if isinstance(found, list | tuple) and all(isinstance(word, str) for word in found):
                return list(found)
    return []


@contextlib.contextmanager
def suppress_env_errors() -> Iterator[None]:
    """Suppress any exception that an environment raises in a block, except Ctrl-C."""
    try:
        yield
    except BaseException as error:
        pass_on_interrupt(error)


def space_layout(space: gymnasium.Space) -> object:
    """Return the shapes and dtypes of a space, without its bounds."""
    if isinstance(space, gymnasium.spaces.Dict):
        return {key: space_layout(child) for key, child in space.items()}
    return (space.shape, str(space.dtype)) if isinstance(space, gymnasium.spaces.Box) else space


def split_logs(info: dict) -> tuple[dict[str, float], dict[str, str]]:
    """Return the entries of an info named `log_...` or `log/...`: the numbers, and a sentence about each other one."""
    numbers, others = {}, {}
    for key, value in info.items():
        if (name := escape_surrogates(safe_text(key))).startswith(("log_", "log/")):
            try:
                numbers[name] = float(only_element(value))
            except (TypeError, ValueError, OverflowError):
                others[name] = f"info[{name!r}] is left out of the logs: {safe_text(value)[:40]!r} is not a number."
    return numbers, others


class LocalEnv:
    """The environment in this process. It computes at once; `reset_wait` and `step_wait` return the result."""

    def __init__(self, make: Callable[[], ContainedEnv]):
        self.env = make()
        self.single_observation_space, self.single_action_space = self.env.observation_space, self.env.action_space

    def reset_async(self, options: dict | None = None) -> None:
        result = _to_batch(*self.env.reset(options=options))
        self.reset_wait = lambda timeout: result

    def step_async(self, actions: np.ndarray) -> None:
        result = _to_batch(*self.env.step(actions[0]))
        self.step_wait = lambda timeout: result

    def render_frame(self) -> tuple[np.ndarray | None, str]:
        """Return a rendered frame, uint8 (H, W, 3), or None and what `render` returned instead."""
        return self.env.render_frame()

    def action_names(self) -> list[str]:
        """Return the names of the actions, empty if there are none."""
        return self.env.action_names()

    def stop(self, grace: float = 0) -> None:
        """Close the environment in any state."""
        with suppress_env_errors():
            self.env.close()


def _to_batch(obs: dict, *numbers_and_info: Any) -> tuple:
    """Return the result of an environment as that of a vector environment of size one; observations are copied."""
    *numbers, info = numbers_and_info
    batch = {key: np.array([value]) for key, value in obs.items()}
    return batch, *([number] for number in numbers), {key: [value] for key, value in info.items()}


class WorkerEnv(AsyncVectorEnv):
    """The environment in a new process, which leads a session of its own.

    The worker ignores `STOP_SIGNALS`: Ctrl-C, and signals that a scheduler sends to all processes, are handled by the
    process of the run. Programs that the worker starts and processes that it forks do not ignore them. They end with
    the worker, and the worker ends with the process of the run, also if that is killed.
    """

    def __init__(self, make: Callable[[], ContainedEnv]):
        start = functools.partial(_start, make, os.getpid(), multiprocessing.get_start_method(allow_none=True))
        resource_tracker.ensure_running()  # starting it later would unblock the signals
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # inherited while the process starts
        try:
            super().__init__(
                [start], context="spawn", daemon=False, shared_memory=False, autoreset_mode=AutoresetMode.DISABLED
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.pid: int = self.processes[0].pid or 0
        reaper.register([self.pid])
        atexit.register(self._kill)  # without `stop`, Python would wait for the process at exit

    def _check_spaces(self) -> None:
        """Skip the check, both sides have the same spaces. Without this wait, workers start in parallel."""

    def stop(self, grace: float = 5) -> None:
        """Let the environment close itself for `grace` seconds, then end its process in any state."""
        if grace and self.parent_pipes[0] is not None:
            with contextlib.suppress(OSError):
                self.parent_pipes[0].send(("close", None))
            self.processes[0].join(grace)
        self.close()

    def close_extras(self, timeout: float | None = None, terminate: bool = True) -> None:
        """End the process and its pipe in any state."""
        self._kill()
        atexit.unregister(self._kill)
        self._state = type(self._state).DEFAULT
        super().close_extras(terminate=True)

    def _kill(self) -> None:
        """Kill the process and all that it has started."""
        kill_session(self.pid)
        self.processes[0].kill()


def _start(make: Callable[[], ContainedEnv], parent: int, start_method: str | None) -> ContainedEnv:
    """Prepare a worker process. start_method: the one that the environment would find in the process of the run."""
    process = os.getpid()
    if process != parent:
        os.setsid()
        multiprocessing.set_start_method(start_method, force=True)
        multiprocessing.util.Finalize(None, end_worker, exitpriority=100)  # before it waits for its children
        for number in STOP_SIGNALS:  # programs inherit SIG_IGN, but not a function
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda number, _: None if os.getpid() == process else end_by_signal(number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    return make()
