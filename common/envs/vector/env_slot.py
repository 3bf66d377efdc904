"""One of several environments: asked for a step, answering with a record, replaced when it breaks."""

import contextlib
import multiprocessing
from collections.abc import Callable

import numpy as np

from common.envs.vector.episode_position import EpisodePosition, TooManyEnvFailures, make_record
from common.envs.vector.workers import LocalEnv, WorkerEnv, deadline

HEALTHY_STEPS = 1000  # steps in one episode after which earlier failures are forgotten
WORKER_GRACE_SECONDS = (
    30  # seconds beyond the limit of an answer after which a worker is killed; it may have to start first
)


class EnvFailure(Exception):
    """Why an environment broke; the text goes on with the traceback, which may come from a worker process."""

    def __init__(self, reason: str, trace: str = ""):
        super().__init__(f"{reason}\n{trace}")
        self.reason, self.trace = reason, trace


class EnvSlot(EpisodePosition):
    """One environment: where its episode stands, and what happens when it breaks.

    Each answer may take `timeout` seconds, 0 for any time. `broken` is set after more than `max_failures` in a row.
    """

    def __init__(
        self,
        index: int,
        start: Callable[[], LocalEnv | WorkerEnv],
        max_failures: int,
        messages: list,
        timeout: float = 0,
    ):
        super().__init__(index, messages)
        self.start, self.max_failures = start, max_failures
        self.timeout, self.patience = timeout, timeout + WORKER_GRACE_SECONDS if timeout else None
        self.env = start()
        self.failures = 0  # in a row

    def begin(self):
        """Ask for the next episode."""
        self._ask("reset", options={"episode": self.turn()})

    def send(self, action):
        """Ask for a step, or for the next episode where this one is over."""
        assert not self.asked, "receive first"
        if self.record["is_last"]:
            return self.begin()
        self.note(action)
        return self._ask("step", actions=action[None])

    def receive(self) -> dict:
        """The record that was asked for; where the environment cannot even begin an episode, a blank one."""
        assert self.asked, "nothing was sent"
        begins = not self.record
        answer, failure = self._answer()
        while failure and begins and self._rebuild(failure):
            self.begin()
            answer, failure = self._answer()
        if failure and begins:
            self.record = self._blank()
        elif failure:
            self._rebuild(failure)
            self.actions.pop()
            self.record = self.closing()
        else:
            self.record = _record(begins, *answer)
            if self.record["is_last"] or len(self.actions) >= HEALTHY_STEPS:
                self.failures = 0
        return dict(self.record)

    def restore(self, state: dict) -> dict:
        """Play the episode of a state again; a new episode if that does not end at the same record."""
        self.episode = state["episode"] - 1
        self.begin()
        self.receive()
        for action in state["actions"] or []:
            if self.broken:
                break
            self.send(np.array(action, self.env.single_action_space.dtype))
            self.receive()
        if not self.back(state):
            self.begin()
            self.receive()
        return dict(self.record)

    def close(self):
        """Close the environment, in the time of an answer; its worker process ends."""
        with contextlib.suppress(TimeoutError), deadline(self.timeout):
            self.env.stop(grace=5)

    def _ask(self, what, **arguments):
        self.asked = True
        try:
            getattr(self.env, f"{what}_async")(**arguments)
            self.wait = getattr(self.env, f"{what}_wait")
        except OSError:
            self.wait = _lost

    def _answer(self):
        """((obs, reward, terminated, truncated, info), failure): one of them is None."""
        self.asked = False
        try:
            *answer, info = self.wait(self.patience)
        except multiprocessing.TimeoutError:
            self._replace()
            return None, EnvFailure(f"its worker process gave no answer within {self.patience:g} seconds (env.timeout)")
        except (EOFError, OSError):
            process = self.env.processes[0]
            process.join(5)
            self._replace()
            return None, EnvFailure(f"its worker process died (exit code {process.exitcode})")
        if "failure" in info:
            return None, EnvFailure(f"it failed with {info['failure'][0]}", info["traceback"][0])
        if "remark" in info:
            self.messages.append(info["remark"][0])
        return (*answer, info), None

    def _replace(self):
        """Another worker process instead of one that is dead or hangs."""
        self.env.stop(grace=0)
        self.env = self.start()

    def _rebuild(self, failure) -> bool:
        """Note a failure; the next reset makes a new environment. Whether it is worth another try."""
        self.failures += 1
        if self.failures <= self.max_failures:
            self.say(f"it was made again and its episode closed as truncated, because {failure.reason}", failure.trace)
            return True
        self.say(f"it broke {self.failures} times in a row and is given up, because {failure.reason}", failure.trace)
        self.broken = TooManyEnvFailures(
            f"Environment {self.index} broke {self.failures} times in a row. The last time {failure.reason}. "
            "Mend it and give the same command again; --debug shows where it broke."
        )
        self.broken.__cause__ = failure
        return False

    def _blank(self):
        """A first record of nothing, for a run that is about to stop."""
        space = self.env.single_observation_space
        blank = {key: np.zeros(child.shape, child.dtype) for key, child in space.items()}
        return make_record(blank, 0, (True, False, False), {})


def _lost(timeout):
    raise EOFError


def _record(begins, obs, *rest):
    """A record from the answer of a reset (obs, info) or of a step, of a vector environment of size one."""
    reward, terminated, truncated, info = ([0], [False], [False], *rest) if begins else rest
    first = {key: value[0] for key, value in obs.items()}
    log = {key: value[0] for key, value in info.items() if key.startswith("log")}
    return make_record(first, reward[0], (begins, terminated[0] or truncated[0], terminated[0]), log)
