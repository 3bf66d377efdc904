"""The collector of a run with actors: it asks them for records and stores what arrives."""

from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import torch

from common.agent.agent import Agent
from common.replay.shards import ShardedReplay
from common.storage.saved_agent import read_number
from common.storage.video import first_image_key
from common.training.actors.exchange import Chunk, Request
from common.training.actors.group import POLL_SECONDS, ActorGroup, FailedActor
from common.training.actors.statistics import ActorStatistics
from common.training.actors.weights import acting_weights
from common.training.clock import Stopwatch
from common.training.collector import Episode, Record, VectorEnvs

OPEN_REQUESTS = 2  # of each actor: it works on one while the other, or its answer, is on the way


class ActorCollector:
    """Asks actors for records, stores them, and gives the actors new weights. Its interface is that of `Collector`.

    `send` asks every idle actor for steps, waits for the first answer, and stores all answers that have arrived. While
    updates are due, the loop does not call it: actors finish their open requests and wait.

    chunk: steps of each environment in a request. refresh: updates between new weights. prefill, steps: agent steps
    with random actions, and of the whole run.
    """

    def __init__(
        self, actors: ActorGroup, agent: Agent, replay: ShardedReplay, watch: Stopwatch,
        *, chunk: int, refresh: int, prefill: int, steps: int,
    ) -> None:  # fmt: skip
        self.envs = cast(VectorEnvs, actors)
        self.actors, self.agent, self.replay, self.watch = actors, agent, replay, watch
        self.chunk, self.refresh, self.prefill, self.steps = chunk, refresh, prefill, steps
        self.picture = first_image_key(dict(actors.obs_space.items())) or ""
        self.version = -refresh  # updates after which the weights were published
        self.statistics = ActorStatistics()
        self.record: Record = {}
        self.state: dict[str, torch.Tensor] = {}
        self.sent = False
        self.episodes: list[Episode] = []
        self.film: list[tuple[Record, bool]] = []

    def begin(self) -> None:
        """Do nothing: the actors have begun their episodes."""

    def send(self, *, random: bool, step: int, updates: int = 0) -> int:
        """Ask idle actors, after `step` agent steps and `updates` updates, and store what has arrived.

        Returns the number of agent steps that have arrived; 0 if no actor has answered for a while. Raises
        NonFiniteError if the actions of an actor are not finite, with its inputs in `record` and `state`.
        """
        self.episodes, self.film, self.sent = [], [], True
        self._publish(updates)
        self._ask(step)
        try:
            with self.watch("env"):
                answers = self.actors.answers(POLL_SECONDS)
        except FailedActor as error:
            self.record = error.answer.record or {}
            self.state = {key: torch.from_numpy(np.array(x)) for key, x in (error.answer.state or {}).items()}
            raise
        with self.watch("replay"):
            return sum(
                self._store(actor, answer, updates) if isinstance(answer, Chunk) else self._close(actor)
                for actor, answer in answers
            )

    def receive(self) -> list[Episode]:
        """Return the episodes that ended in the records of the last `send`."""
        self.sent = False
        return self.episodes

    def seen(self) -> Iterable[tuple[Record, bool]]:
        """Return the records of the first environment, for films: (its picture and flags, whether it is closed)."""
        return self.film

    def metrics(self) -> dict[str, float]:
        """Return lag of the policy, speed and losses of the actors since the last call."""
        return self.statistics.take() | {"actors/replaced": self.actors.replaced}

    def save(self) -> dict[str, Any]:
        """Return how often each actor was started. Records on the way are not part of a checkpoint."""
        return {"lives": list(self.actors.lives)}

    def load(self, state: dict[str, Any]) -> None:
        """Check what `save` returned: the actors, started with it, are in new episodes."""
        lives_of(state, len(self.actors.lives))

    def _publish(self, updates: int) -> None:
        """Give new weights to later requests if `refresh` updates were made since the last ones."""
        if updates - self.version >= self.refresh:
            with self.watch("policy"):
                self.actors.pool.publish(acting_weights(self.agent), updates)
            self.version = updates

    def _ask(self, step: int) -> None:
        """Ask actors for as many steps as the run still needs, one request after the other."""
        for _ in range(OPEN_REQUESTS):
            for actor in self.actors.idle(OPEN_REQUESTS):
                begin = step + self.actors.steps_on_the_way
                random = begin < self.prefill
                left = (self.prefill if random else self.steps) - begin
                rounds = min(self.chunk, -(-left // self.actors.sizes[actor]))
                if rounds > 0:
                    picture = "" if actor else self.picture
                    keys = tuple(self.replay.spec)
                    self.actors.ask(actor, Request(rounds, random, begin, self.version, keys, picture))

    def _store(self, actor: int, chunk: Chunk, updates: int) -> int:
        """Store the records of a chunk; return its agent steps."""
        for t in range(len(chunk.closed)):
            self.replay.add(actor, {key: value[t] for key, value in chunk.records.items()})
        self.episodes += chunk.episodes
        if chunk.film is not None:
            flags = {key: chunk.records[key] for key in ("is_first", "is_last")}
            for t, closed in enumerate(chunk.closed.tolist()):
                record = {self.picture: chunk.film[t : t + 1]} | {key: value[t] for key, value in flags.items()}
                self.film.append((record, closed))
        self.statistics.add(updates - chunk.version, chunk.steps)
        return chunk.steps

    def _close(self, actor: int) -> int:
        """End the open episodes of a lost actor as truncated; return 0 agent steps."""
        if (record := self.replay.close(actor)) is not None:
            broken = int((~record["is_first"]).sum())
            self.episodes += [Episode(0.0, 0, {}, broken=True)] * broken
            if not actor:
                self.film.append((record, True))
        return 0


def lives_of(state: dict[str, Any], count: int) -> list[int]:
    """Return the saved number of starts of each actor. Raises an error of malformed content otherwise."""
    lives = [read_number({"lives": life}, "lives", int) for life in state["lives"]]
    if len(lives) != count:
        raise ValueError(f"{len(lives)} actors, not {count}")
    return lives
