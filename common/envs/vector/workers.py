"""One environment on Gymnasium's vector interface, in this process (`Local`) or its own (`Worker`).

Both are vector environments of size one with the same asynchronous calls (`reset_async`, `reset_wait`, `step_async`,
`step_wait`, `stop`), so that each can fail, be stopped and be made again without the others noticing.
"""

import atexit
import contextlib
import functools
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from common.errors import error_text, escape_surrogates
from common.signals import end_by_signal, pass_on_interrupt

IGNORED_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # that a worker leaves to the process of the run
MIN_ALARM_SECONDS = 1e-3  # seconds after which an alarm may come at first: sooner, and it comes before the block does
ALARM_REPEAT_SECONDS = 1.0  # seconds between two alarms at least: more often, and nothing else happens


class ContainedEnv(gymnasium.Env):
    """Makes an environment when it is first reset, and reports whatever it raises in `info`.

    There `failure` says it in a line and `traceback` in full. The environment is thrown away then, and the next reset
    makes a new one. Of the environment's own info only the numbers named `log_...` or `log/...` pass; `remark` says
    once what is named so and is no number. An answer that takes longer than `timeout` seconds (0: no limit) is a
    failure too. A process that the environment forks ends when it comes back here.
    """

    def __init__(self, make: Callable[[], gymnasium.Env], observation_space, action_space, timeout: float = 0):
        self.make, self.env, self.timeout = make, None, timeout
        self.observation_space, self.action_space = observation_space, action_space
        self.told: set[str] = set()
        self.process = os.getpid()

    def reset(self, *, seed=None, options=None):
        try:
            with self._asked():
                if self.env is None:
                    self._make()
                obs, info = self.env.reset(seed=seed, options=options)
                return obs, self._logs(info)
        except BaseException as error:
            return self._failed(error)

    def step(self, action):
        try:
            with self._asked():
                obs, reward, terminated, truncated, info = self.env.step(action)
                return obs, reward, terminated, truncated, self._logs(info)
        except BaseException as error:
            obs, info = self._failed(error)
            return obs, 0.0, False, True, info

    def picture(self):
        """A copy of the environment's own drawing, uint8 (H, W, 3); None where it has none, and what came instead."""
        try:
            drawn = self.env.render()
            picture = np.array(drawn)
        except NotImplementedError:  # it has no method of its own
            return None, ""
        except BaseException as error:  # whatever a renderer raises that is not there
            pass_on_interrupt(error)
            return None, f"render failed with {describe_error(error)}"
        if picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3:
            return picture, ""
        found = f"{type(drawn).__name__} {picture.dtype} {picture.shape}"
        return None, "" if drawn is None else f"render returned {found}, not uint8 (H, W, 3)"

    def close(self):
        if self.env is not None:
            self.env.close()
            self.env = None

    @contextlib.contextmanager
    def _asked(self):
        """A question to the environment, in the time that it has."""
        try:
            with deadline(self.timeout):
                yield
        finally:
            if os.getpid() != self.process:
                os._exit(1)

    def _make(self):
        self.env = self.make()
        for name in ("observation_space", "action_space"):
            was, now = space_layout(getattr(self, name)), space_layout(getattr(self.env, name))
            if was != now:
                raise ValueError(f"Its {name} changed from {was} to {now}.")

    def _logs(self, info):
        numbers, others = split_logs(info)
        new = [sentence for key, sentence in others.items() if key not in self.told]
        self.told |= set(others)
        return numbers | ({"remark": " ".join(new)} if new else {})

    def _failed(self, error):
        pass_on_interrupt(error)
        info = {
            "failure": describe_error(error),
            "traceback": escape_surrogates("".join(traceback.format_exception(error))),
        }
        with suppress_env_errors():
            self.close()
        self.env = None
        blank = {key: np.zeros(space.shape, space.dtype) for key, space in self.observation_space.items()}
        return blank, info


@contextlib.contextmanager
def suppress_env_errors() -> Iterator[None]:
    """Passes over whatever an environment raises in a block, but for Ctrl-C."""
    try:
        yield
    except BaseException as error:
        pass_on_interrupt(error)


def space_layout(space: gymnasium.Space) -> object:
    """Shapes and types of a space, whatever its bounds."""
    if isinstance(space, gymnasium.spaces.Dict):
        return {key: space_layout(child) for key, child in space.items()}
    return (space.shape, str(space.dtype)) if isinstance(space, gymnasium.spaces.Box) else space


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raises TimeoutError inside a block that takes longer; 0 for no limit.

    Only what Python itself does can be broken off, and only in the main thread; elsewhere there is no limit. An alarm
    of the caller waits until the block is over.
    """
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(*_):
        raise TimeoutError(f"no answer within {seconds:g} seconds (env.timeout)")

    before, begin = signal.signal(signal.SIGALRM, late), time.monotonic()
    left, interval = signal.setitimer(
        signal.ITIMER_REAL, max(seconds, MIN_ALARM_SECONDS), max(seconds, ALARM_REPEAT_SECONDS)
    )
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - begin), 1e-3), interval)


def describe_error(error: BaseException) -> str:
    """What was raised (without a full stop), and the last place outside of the hub and of installed packages."""
    hub = str(Path(__file__).parents[1])
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    places = [f" ({f.filename}, line {f.lineno}, in {f.name})" for f in frames if not f.filename.startswith(hub)]
    return f"{type(error).__name__}: {error_text(error)}".rstrip(".: ") + "".join(places[-1:])


def split_logs(info: dict) -> tuple[dict[str, float], dict[str, str]]:
    """What an environment's info names `log_...` or `log/...`: the numbers, and a sentence on each that is none."""
    numbers, others = {}, {}
    for key, value in info.items():
        if (name := escape_surrogates(str(key))).startswith(("log_", "log/")):
            try:
                numbers[name] = float(np.asarray(value).item())
            except (TypeError, ValueError, OverflowError):
                others[name] = f"info[{name!r}] is left out of the logs: {str(value)[:40]!r} is no number."
    return numbers, others


class LocalEnv:
    """The environment in this process; the work is done at once, the answer waits."""

    def __init__(self, guard: Callable[[], ContainedEnv]):
        self.env = guard()
        self.single_observation_space, self.single_action_space = self.env.observation_space, self.env.action_space

    def reset_async(self, options=None):
        answer = _batched(*self.env.reset(options=options))
        self.reset_wait = lambda timeout: answer

    def step_async(self, actions):
        answer = _batched(*self.env.step(actions[0]))
        self.step_wait = lambda timeout: answer

    def picture(self):
        """What it looks like now, or why there is nothing to see."""
        return self.env.picture()

    def stop(self, grace: float = 0):
        """Close the environment, whatever state it is in."""
        with suppress_env_errors():
            self.env.close()


def _batched(obs, *numbers_and_info):
    """An environment's answer as that of a vector environment of size one; observations are copied."""
    *numbers, info = numbers_and_info
    batch = {key: np.array([value]) for key, value in obs.items()}
    return batch, *([number] for number in numbers), {key: [value] for key, value in info.items()}


class WorkerEnv(AsyncVectorEnv):
    """The environment in a fresh process.

    It ignores SIGINT and SIGTERM: Ctrl-C, and what a scheduler sends to all processes, are this process's to handle.
    Programs that it starts and processes that it forks do not.
    """

    def __init__(self, guard: Callable[[], ContainedEnv]):
        start = functools.partial(_start, guard, os.getpid())
        resource_tracker.ensure_running()  # it would let signals through again
        before = signal.pthread_sigmask(
            signal.SIG_BLOCK, IGNORED_SIGNALS
        )  # inherited: for as long as the process starts
        try:
            super().__init__([start], context="spawn", shared_memory=False, autoreset_mode=AutoresetMode.DISABLED)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        atexit.register(self.processes[0].kill)  # else leaving without `stop` would wait for it for ever

    def _check_spaces(self):
        """Nothing to compare: both sides were given the spaces. Not waiting here lets workers start side by side."""

    def stop(self, grace: float = 5):
        """Let the environment close itself for `grace` seconds, then end its process, whatever state it is in."""
        if grace and self.parent_pipes[0] is not None:
            with contextlib.suppress(OSError):
                self.parent_pipes[0].send(("close", None))
            self.processes[0].join(grace)
        self.close()

    def close_extras(self, **_):
        """End the process and its pipe, whatever state it is in."""
        self.processes[0].kill()
        atexit.unregister(self.processes[0].kill)
        self._state = type(self._state).DEFAULT
        super().close_extras(terminate=True)


def _start(guard, parent):
    process = os.getpid()
    if process != parent:
        for number in IGNORED_SIGNALS:  # unlike SIG_IGN, a function is not handed on to programs
            signal.signal(number, lambda number, _: None if os.getpid() == process else end_by_signal(number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)
    return guard()
