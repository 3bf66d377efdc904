"""A replay of several parts, one for each actor: their streams need not advance together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from common.replay.capacity import Forecast
from common.replay.replay import Replay
from common.replay.ring import Arrays
from common.storage.saved_agent import check_replay


def folder_of_shard(directory: Path | str, index: int) -> Path:
    """Return the folder of a part in the folder of the replay; the first part is in the latter itself."""
    return Path(directory) / f"actor_{index:03d}" if index else Path(directory)


class ShardedReplay:
    """Replays with the same records, sampled as one. Its interface is that of `Replay`.

    Each row of a batch comes from a part that is drawn in proportion to its records. `add` and `close` name the part.

    shards: the parts, which share the capacity. seed: of the draws.
    """

    def __init__(self, shards: Sequence[Replay], seed: int):
        self.shards = list(shards)
        self.spec, self.empty = shards[0].spec, shards[0].empty
        self.streams = sum(shard.streams for shard in shards)
        self.rng = [np.random.default_rng([seed, report, 1]) for report in (0, 1)]
        self.own_messages: list[str] = []

    def __len__(self) -> int:
        """Records stored, over all streams."""
        return sum(map(len, self.shards))

    @property
    def gib(self) -> float:
        """GiB of the records stored."""
        return sum(shard.gib for shard in self.shards)

    @property
    def messages(self) -> list[str]:
        """Notes for the user, each one once."""
        return list(dict.fromkeys(self.own_messages + [text for shard in self.shards for text in shard.messages]))

    @messages.setter
    def messages(self, texts: list[str]) -> None:
        self.own_messages = texts
        for shard in self.shards:
            shard.messages = []

    def forecast(self) -> Forecast:
        """Return the size of all parts together; its slots are those of the smallest part."""
        sizes = [shard.forecast() for shard in self.shards]
        first = sizes[0]
        total, slots = sum(size.records for size in sizes), min(size.slots for size in sizes)
        limit = f"{len(sizes)} parts; the first has {first.limit}"
        return Forecast(total, slots, first.record_bytes, sum(size.gib for size in sizes), limit)

    def add(self, index: int, record: Mapping[str, np.ndarray]) -> None:
        """Store one record for each stream of a part. Raises UserError as `Replay.add` does."""
        self.shards[index].add(record)

    def close(self, index: int) -> Arrays | None:
        """End the open episodes of a part as truncated, and return the record that does it; None if none is open.

        The record repeats the last one, with reward 0. In a stream whose last episode has ended, it is an episode of
        one record.
        """
        shard = self.shards[index]
        if not len(shard):
            return None
        ring = shard.ring
        record = {key: ring.block(key, ring.count - 1, ring.count)[:, 0] for key in shard.spec}
        ended = record["is_last"]
        if ended.all():
            return None
        record |= {"is_first": ended, "is_last": np.ones_like(ended), "is_terminal": ended & record["is_terminal"]}
        record |= {"reward": np.zeros_like(record["reward"]), "action": np.zeros_like(record["action"])}
        shard.add(record)
        return record

    def check_window(self, length: int) -> None:
        """Raise UserError if the share of a stream is shorter than a window of `length` records."""
        for shard in self.shards:
            shard.check_window(length)

    def waiting_reason(self, batch: int, length: int) -> str:
        """Return why training on such batches cannot start yet, or ''. With batch 0: why no window can be drawn.

        It can start as soon as m parts could each train on a batch of 1/m of the rows, for any m.
        """
        for parts in range(len(self.shards), 0, -1):
            rows = -(-batch // parts)
            if sum(not shard.waiting_reason(rows, length) for shard in self.shards) >= parts:
                return ""
        fullest = max(self.shards, key=len)
        return f"{fullest.waiting_reason(batch, length)} (of the actor with the most records)"

    def ready(self, batch: int, length: int) -> bool:
        """Whether training on such batches can start."""
        return not self.waiting_reason(batch, length)

    def sample(self, batch: int, length: int, *, report: bool = False) -> Arrays:
        """Draw `batch` windows as `Replay.sample` does; `index` also identifies the part."""
        if reason := self.waiting_reason(0, length):
            raise UserError(f"The replay cannot be sampled: {reason}.")
        sizes = np.array([0 if shard.waiting_reason(0, length) else len(shard) for shard in self.shards])
        rows = self.rng[report].multinomial(batch, sizes / sizes.sum())
        drawn = []
        for index, count in enumerate(rows.tolist()):
            if count:
                data = self.shards[index].sample(count, length, report=report)
                drawn.append(data | {"index": data["index"] * len(self.shards) + index})
        return {key: self._joined([data[key] for data in drawn]) for key in drawn[0]}

    def _joined(self, arrays: list[np.ndarray]) -> np.ndarray:
        out = self.empty((sum(map(len, arrays)), *arrays[0].shape[1:]), arrays[0].dtype)
        return np.concatenate(arrays, out=out)

    def write_back(self, index: np.ndarray, latents: Mapping[str, np.ndarray]) -> None:
        """Replace the latents of records that are still stored, as `Replay.write_back` does."""
        number, part = np.divmod(index, len(self.shards))
        for each in np.unique(part[:, 0]).tolist():
            rows = part[:, 0] == each
            self.shards[each].write_back(number[rows], {key: value[rows] for key, value in latents.items()})

    def save(self, directory: Path | str) -> dict[str, Any]:
        """Bring the files of all parts up to date and return `state()`. Raises UserError as `Replay.save` does."""
        for index, shard in enumerate(self.shards):
            folder_of_shard(directory, index).mkdir(parents=True, exist_ok=True)
            shard.save(folder_of_shard(directory, index))
        return self.state()

    def state(self) -> dict[str, Any]:
        """Return the state of the first part, with those of the others under `shards`.

        Commands that read a replay from a run directory therefore read the records of the first actor.
        """
        first, *others = [shard.state() for shard in self.shards]
        return first | {"shards": others, "draws": [rng.bit_generator.state for rng in self.rng]}

    def restore(self, state: dict[str, Any]) -> None:
        """Set the samplers and all generators; the parts must already hold the records of `state`."""
        states = self._states(state)
        for rng, saved in zip(self.rng, state["draws"], strict=True):
            rng.bit_generator.state = saved
        for shard, each in zip(self.shards, states, strict=True):
            shard.restore(each)

    def load(self, directory: Path | str, state: dict[str, Any]) -> None:
        """Read the records that `state` describes, then restore the rest, then end the open episodes."""
        for index, (shard, each) in enumerate(zip(self.shards, self._states(state), strict=True)):
            shard.load(folder_of_shard(directory, index), each)
        self.restore(state)
        for index in range(len(self.shards)):
            self.close(index)

    def _states(self, state: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the states of the parts. Raises KeyError, TypeError or ValueError if they are malformed."""
        states = [state, *state["shards"]]
        if len(states) != len(self.shards):
            raise ValueError(f"the replay has {len(states)} parts, not {len(self.shards)}")
        for each in states[1:]:
            check_replay(each)
        return states
