"""An actor: environments, a copy of the policy, and the local collector with a list in the place of the replay."""

import contextlib
import os
import socket
from typing import Any, cast

import numpy as np
import torch

from common.errors import NonFiniteError, UserError
from common.nn import rng
from common.replay import Replay
from common.storage import spaces
from common.training.actors.exchange import Chunk, Failed, Ready, Request, plain
from common.training.actors.weights import load_acting_weights
from common.training.clock import Stopwatch
from common.training.collector import Collector, Episode, Record, VectorEnvs
from common.training.factory import Factory


class Gathered:
    """Takes the records of a collector, which stores them here as in a replay."""

    def __init__(self, envs: VectorEnvs) -> None:
        self.envs = envs
        self.clear()

    def clear(self) -> None:
        """Forget all records."""
        self.records: list[Record] = []
        self.closed: list[bool] = []

    def add(self, record: Record) -> None:
        """Keep a record (n, ...), and whether that of the first environment closes a failed episode."""
        self.records.append(record)
        self.closed.append(bool(self.envs.closed()[0]))

    def stacked(self, keys: tuple[str, ...]) -> Record:
        """Return the entries `keys` as arrays (T, n, ...); entries that records may lack are left out."""
        first = self.records[0]
        return {key: np.stack([record[key] for record in self.records]) for key in keys if key in first}


class Actor:
    """Runs in a process of its own. config: the share of this actor in the config of the run, with its own seed."""

    def __init__(self, config: dict[str, Any], factory: Factory | None = None) -> None:
        self.config, self.factory = config, factory or Factory()
        self.version = -1
        self.made = contextlib.ExitStack()  # environments to close

    def start(self) -> Ready | Failed:
        """Make environments and agent."""
        torch.set_num_threads(1)
        rng.seed_all(self.config["seed"])
        try:
            self.envs = self.made.enter_context(contextlib.closing(self.factory.envs(self.config)))
            self.agent = self.factory.agent(self.envs.obs_space, self.envs.act_space, self.config)
            self.gathered = Gathered(self.envs)
            self.collector = Collector(self.envs, self.agent, cast(Replay, self.gathered), Stopwatch())
            self.collector.begin()
        except UserError as error:
            return Failed(error)
        found, place = spaces.from_envs(self.envs), (socket.gethostname(), os.getpid())
        return Ready(found, self.envs.num, self.envs.repeat, *place, self.envs.messages())

    def load(self, weights: dict[str, np.ndarray], version: int) -> None:
        """Act with other weights from now on."""
        load_acting_weights(self.agent, weights)
        self.version = version

    def collect(self, request: Request) -> Chunk | Failed:
        """Step all environments `rounds` times, fewer if one failed too often."""
        self.gathered.clear()
        episodes: list[Episode] = []
        error: Exception | None = None
        for _ in range(request.rounds):
            try:
                self.collector.send(random=request.random, step=request.step)
            except NonFiniteError as failure:
                return Failed(failure, failure.names, self.collector.record, plain(self.collector.state))
            episodes += self.collector.receive()
            try:
                self.envs.check()
            except UserError as failure:
                error = failure
                break
        film = self.gathered.stacked((request.picture,))[request.picture][:, 0] if request.picture else None
        records, closed = self.gathered.stacked(request.keys), np.array(self.gathered.closed)
        return Chunk(records, episodes, film, closed, self.version, self.envs.messages(), error)

    def stop(self) -> None:
        """Close the environments."""
        self.made.close()
