"""Training of a world model alone: the training loop of `--run.offline`, without behaviour and without own records."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from common.agent.agent import Agent
from common.agent.model_only import ModelOnly
from common.config import parts
from common.experiments.world_models.frozen import WINDOWS, FrozenRecords
from common.replay import Replay
from common.replay.ring import Arrays
from common.training.factory import Spec
from common.training.offline import OfflineFactory, Records


class FrozenReplay(Replay):
    """A replay of the training records, in one stream, that draws the same windows for every agent.

    Nothing is written: a checkpoint holds the position of the sampler, and the digest `drawn` of all windows so far.
    """

    def __init__(self, spec: Spec, records: FrozenRecords, seed: int):
        self.records, self.drawn = records, ""
        sampler = parts.build("sampler", WINDOWS)
        super().__init__(spec, 1, sampler=sampler, seed=seed, fill=max(records.training_length, 2))

    def read_records(self) -> None:
        """Copy the training records."""
        ring = self._allocate(self.records.training_length, 0)
        for key in self.spec:
            ring.put(key, 0, self.records.training(key)[None])
        self._start(ring)

    def sample(self, batch: int, length: int, *, report: bool = False) -> Arrays:
        """Draw windows as `Replay.sample` does, and add them to the digest."""
        data = super().sample(batch, length, report=report)
        if not report:
            self.drawn = hashlib.sha256(self.drawn.encode() + data["index"].tobytes()).hexdigest()
        return data

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds of the replay."""
        return super().state() | {"drawn": self.drawn}

    def save(self, directory: Path | str) -> dict[str, Any]:
        """Return `state()`; the records stay where they are."""
        return self.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the sampler and the digest."""
        super().restore(state)
        self.drawn = str(state["drawn"])

    def load(self, directory: Path | str, state: dict[str, Any]) -> None:
        """Read the records from their source, then restore the rest of `state`."""
        self.read_records()
        self.restore(state)


class WorldModelFactory(OfflineFactory):
    """Builds runs that train a world model alone on frozen records. seed: of the draws, the same for all runs."""

    def __init__(self, records: FrozenRecords, seed: int):
        self.records, self.seed = records, seed
        fill = lambda replay: replay.read_records()
        self.source = Records(records.place, records.spaces, 1, records.training_length, fill)

    def agent(self, obs_space: spaces.Dict, act_space: spaces.Space, config: dict[str, Any]) -> Agent:
        """Build the agent of the version; its updates train the world model only."""
        agent = super().agent(obs_space, act_space, config)
        agent.order = ModelOnly()
        return agent

    def replay(self, config: dict[str, Any], spec: Spec, streams: int, folder: Path) -> Replay:
        """Build the replay of the training records."""
        return FrozenReplay(spec, self.records, self.seed)


def mean_of(values: np.ndarray, rows: int = 4096) -> np.ndarray:
    """Return the mean of records (n, ...) as float64, in chunks of rows."""
    total = sum(values[start : start + rows].sum(0, dtype=np.float64) for start in range(0, len(values), rows))
    return np.asarray(total / len(values))
