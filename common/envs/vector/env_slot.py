"""One slot of a vector of environments: sends steps, receives records, replaces a failed environment."""

import contextlib
import multiprocessing
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from common.envs.vector.episode_position import EpisodePosition, TooManyEnvFailures, make_record
from common.envs.vector.workers import LocalEnv, WorkerEnv
from common.signals import deadline

HEALTHY_STEPS = 1000  # steps in one episode after which earlier failures are forgotten
WORKER_GRACE_SECONDS = 30  # beyond `timeout`, before a worker is killed; it may have to start first


class EnvFailure(Exception):
    """The reason why an environment failed, and the traceback, which may be a worker's."""

    def __init__(self, reason: str, trace: str = ""):
        super().__init__(f"{reason}\n{trace}")
        self.reason, self.trace = reason, trace


class EnvSlot(EpisodePosition):
    """One environment, its position in the episode, and its failures.

    start: makes the environment. timeout: seconds for a reset or step, 0 for no limit. `error` is set after more than
    `max_failures` failures in a row.
    """

    def __init__(
        self,
        index: int,
        start: Callable[[], LocalEnv | WorkerEnv],
        max_failures: int,
        messages: list[str],
        timeout: float = 0,
    ):
        super().__init__(index, messages)
        self.start, self.max_failures = start, max_failures
        self.timeout = timeout
        self.worker_timeout = timeout + WORKER_GRACE_SECONDS if timeout else None
        self.env = start()
        self.failures = 0  # in a row

    def begin(self) -> None:
        """Request the first record of the next episode."""
        self._request("reset", options={"episode": self.next_episode()})

    def send(self, action: np.ndarray) -> None:
        """Request a step, or the next episode if this one is over."""
        assert not self.pending, "receive first"
        if self.record["is_last"]:
            self.begin()
        else:
            self.add_action(action)
            self._request("step", actions=action[None])

    def receive(self) -> dict:
        """Return the requested record; a blank one if the environment cannot begin an episode."""
        assert self.pending, "nothing was sent"
        begins = not self.record
        result, failure = self._result()
        while failure and begins and self._may_retry(failure):
            self.begin()
            result, failure = self._result()
        if failure and begins:
            self.record = self._blank_record()
        elif failure:
            self._may_retry(failure)
            self.actions.pop()
            self.record = self.closing_record()
        else:
            self.record = _to_record(begins, *result)
            if self.record["is_last"] or len(self.actions) >= HEALTHY_STEPS:
                self.failures = 0
        return dict(self.record)

    def restore(self, state: dict) -> dict:
        """Replay the episode of a saved state; start a new episode if that does not lead to the same record."""
        self.episode = state["episode"] - 1
        self.begin()
        self.receive()
        for action in state["actions"] or []:
            if self.error:
                break
            self.send(np.array(action, self.env.single_action_space.dtype))
            self.receive()
        if not self.matches(state):
            self.begin()
            self.receive()
        return dict(self.record)

    def close(self) -> None:
        """Close the environment within `timeout`; its worker process ends."""
        with contextlib.suppress(TimeoutError), deadline(self.timeout):
            self.env.stop(grace=5)

    def _request(self, call: str, **arguments: Any) -> None:
        self.pending = True
        try:
            getattr(self.env, f"{call}_async")(**arguments)
            self.wait = getattr(self.env, f"{call}_wait")
        except OSError:
            self.wait = _raise_lost

    def _result(self) -> tuple[tuple, EnvFailure | None]:
        """Return ((obs, reward, terminated, truncated, info), None), or ((), failure)."""
        self.pending = False
        try:
            *values, info = self.wait(self.worker_timeout)
        except multiprocessing.TimeoutError:
            self._replace()
            seconds = f"{self.worker_timeout:g} seconds"
            return (), EnvFailure(f"its worker process gave no answer within {seconds} (env.timeout)")
        except (EOFError, OSError):
            assert isinstance(self.env, WorkerEnv), "an environment in this process has no pipe"
            process = self.env.processes[0]
            process.join(5)
            self._replace()
            return (), EnvFailure(f"its worker process died (exit code {process.exitcode})")
        if "failure" in info:
            return (), EnvFailure(f"it failed with {info['failure'][0]}", info["traceback"][0])
        if "note" in info:
            self.messages.append(info["note"][0])
        return (*values, info), None

    def _replace(self) -> None:
        """Replace a worker process that is dead or hangs."""
        self.env.stop(grace=0)
        self.env = self.start()

    def _may_retry(self, failure: EnvFailure) -> bool:
        """Count and report a failure. Return whether the environment may try again, made again at its next reset."""
        self.failures += 1
        if self.failures <= self.max_failures:
            text = f"it was made again and its episode closed as truncated, because {failure.reason}"
            self.add_message(text, failure.trace)
            return True
        text = f"it broke {self.failures} times in a row and is given up, because {failure.reason}"
        self.add_message(text, failure.trace)
        self.error = TooManyEnvFailures(
            f"Environment {self.index} broke {self.failures} times in a row. The last time {failure.reason}. "
            "Fix it, then rerun the same command; --debug shows where it broke."
        )
        self.error.__cause__ = failure
        return False

    def _blank_record(self) -> dict:
        """Return a first record of zeros, for a run that is about to stop."""
        space: Any = self.env.single_observation_space
        blank = {key: np.zeros(child.shape, child.dtype) for key, child in space.items()}
        return make_record(blank, 0, (True, False, False), {})


def _raise_lost(timeout: float | None) -> NoReturn:
    raise EOFError


def _to_record(begins: bool, obs: dict, *rest: Any) -> dict:
    """Make a record from what a reset (obs, info) or a step of a vector environment of size one returned."""
    reward, terminated, truncated, info = ([0], [False], [False], *rest) if begins else rest
    first = {key: value[0] for key, value in obs.items()}
    log = {key: value[0] for key, value in info.items() if key.startswith("log")}
    return make_record(first, reward[0], (begins, terminated[0] or truncated[0], terminated[0]), log)
