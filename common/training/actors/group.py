"""The actors of a run: they are started, asked, counted, and replaced when one is lost."""

import socket
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from common.envs.vector.env_slot import HEALTHY_STEPS
from common.errors import NonFiniteError, UserError
from common.training.actors.exchange import Chunk, Failed, Lost, Pool, Ready, Request

START_SECONDS = 120  # for the first actor to start, beyond the time that its environments may take
POLL_SECONDS = 0.5  # between looks at signals and the time limit while no actor answers


class LostActors(UserError):
    """An actor was lost too often in a row. The run can still be saved."""


class ActorGroup:
    """Actors in the place of the training environments: they have the interface of `VectorEnvs` except for steps.

    pool: starts and asks them. envs: number of environments of each. config: of the run. lives: how often each number
    was started before. Waits until the first actor has made its environments.

    Raises UserError if the first actor cannot make its environments, or does not start in time.
    """

    def __init__(self, pool: Pool, envs: list[int], config: dict[str, Any], lives: list[int]) -> None:
        self.pool, self.sizes, self.lives = pool, envs, list(lives)
        self.num, self.limit = sum(envs), config["env"]["max_failures"]
        self.begun = [False] * len(envs)  # whether the actor has answered `Ready`
        self.asked: list[list[int]] = [[] for _ in envs]  # of each actor, the rounds of its open requests
        self.losses = [0] * len(envs)  # in a row
        self.healthy_steps = [0] * len(envs)  # since an actor was started
        self.replaced = 0
        self.error: Exception | None = None
        self._messages: list[str] = []
        for actor, life in enumerate(self.lives):
            pool.start(actor, life)
        self._await_first(START_SECONDS + config["env"].get("timeout", 0))

    # The interface of VectorEnvs

    def check(self) -> None:
        """Raise the error of environments, or of an actor, that failed too often."""
        if self.error is not None:
            raise self.error

    def messages(self) -> list[str]:
        """Return the messages since the last call."""
        found, self._messages = list(dict.fromkeys(self._messages)), []
        return found

    def closed(self) -> np.ndarray:
        """Return zeros: chunks say which records close a failed episode."""
        return np.zeros(self.num, bool)

    def close(self) -> None:
        """End all actors."""
        self.pool.close()

    # Requests and answers

    @property
    def steps_on_the_way(self) -> int:
        """Agent steps that were asked for and have not arrived."""
        return sum(size * sum(rounds) for size, rounds in zip(self.sizes, self.asked, strict=True))

    def idle(self, most: int) -> list[int]:
        """Return the actors that have fewer than `most` open requests, those with the fewest first."""
        waiting = [actor for actor, rounds in enumerate(self.asked) if self.begun[actor] and len(rounds) < most]
        return sorted(waiting, key=lambda actor: len(self.asked[actor]))

    def ask(self, actor: int, request: Request) -> None:
        """Send a request."""
        self.pool.ask(actor, request)
        self.asked[actor].append(request.rounds)

    def answers(self, seconds: float) -> list[tuple[int, Chunk | Lost]]:
        """Wait for answers; return chunks, and which actors were lost and are started again.

        Raises UserError if an actor could not make its environments, NonFiniteError if its actions are not finite.
        """
        found: list[tuple[int, Chunk | Lost]] = []
        for actor, answer in self.pool.answers(seconds):
            if isinstance(answer, Ready):
                self._begin(actor, answer)
            elif isinstance(answer, Failed):
                raise FailedActor(answer) if answer.names else answer.error
            elif isinstance(answer, Lost):
                self._lose(actor, answer)
                found.append((actor, answer))
            else:
                self._count(actor, answer)
                found.append((actor, answer))
        return found

    def _await_first(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not any(self.begun):
            self.answers(POLL_SECONDS)
            self.check()
            if time.monotonic() > end:
                raise UserError(
                    f"No actor has started within {seconds:g} s. Look at `ray status`: each needs run.actor_cpus "
                    "CPUs that are free. Give fewer with --run.actor_cpus, or raise --env.timeout."
                )

    def _begin(self, actor: int, ready: Ready) -> None:
        found = ready.found
        if not any(self.begun):
            self.obs_space, self.act_space, self.raw = found
            self.repeat = ready.repeat
        elif (found.observation, found.action) != (self.obs_space, self.act_space):
            raise UserError(
                f"Actor {actor} on {ready.host} has other spaces than the first one: {found.observation}, "
                f"{found.action}. Install the same versions on all machines."
            )
        self.begun[actor] = True
        self._say(actor, ready.messages)
        if ready.host != socket.gethostname():
            self._messages.append(f"Actor {actor} runs on {ready.host}.")

    def _count(self, actor: int, chunk: Chunk) -> None:
        self.asked[actor].pop(0)
        self.healthy_steps[actor] += chunk.steps
        if chunk.episodes or self.healthy_steps[actor] >= HEALTHY_STEPS:
            self.losses[actor] = 0
        self._say(actor, chunk.messages)
        self.error = self.error or chunk.error

    def _lose(self, actor: int, lost: Lost) -> None:
        """Start the actor again, unless it was lost too often in a row."""
        self.losses[actor] += 1
        self.begun[actor], self.asked[actor], self.healthy_steps[actor] = False, [], 0
        if self.losses[actor] > self.limit:
            self.error = LostActors(
                f"Actor {actor} was lost {self.losses[actor]} times in a row. The last time: {lost.reason}. "
                "Fix its environment, memory or machine, then rerun the same command. "
                "`ray logs` and /tmp/ray/session_latest/logs show what it printed."
            )
            return
        self._messages.append(f"Actor {actor} was lost and is started again: {lost.reason}.")
        self.lives[actor] += 1
        self.replaced += 1
        self.pool.start(actor, self.lives[actor])

    def _say(self, actor: int, messages: list[str]) -> None:
        """Add messages of an actor. Those of a later one begin with its number: each counts environments from 0."""
        name = f"Actor {actor}, " if actor else ""
        self._messages += [name + text if text.startswith("Environment ") else text for text in messages]


class FailedActor(NonFiniteError):
    """The actions of an actor are not finite; `answer` has the inputs they had."""

    def __init__(self, answer: Failed) -> None:
        super().__init__(answer.names or [])
        self.answer = answer


MakePool = Callable[[list[dict[str, Any]], dict[str, Any]], Pool]  # configs of the actors, config of the run -> pool
