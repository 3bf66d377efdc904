"""The replay: it stores the records of all environments, samples batches of windows and survives restarts."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from common.replay import chunked_ring, mapped_ring
from common.replay.capacity import GIB, RUN_LIMIT, Forecast, forecast, resumed_forecast
from common.replay.metadata import check_spec
from common.replay.ring import LATENTS, ArrayFactory, Arrays, Ring, Spec, allocate_in_memory, previous_actions
from common.replay.sampler import Sampler


class Replay:
    """Records of `streams` environments that advance together.

    Args:
      spec: {key: (shape of one record, dtype)}: observation keys that are read, `reward`, `is_first`, `is_last`,
        `is_terminal`, `action` (A,), and, if the agent keeps latents in the replay, `deter` and `stoch`.
      streams: number of environments.
      sampler: chooses the windows, see Sampler.
      seed: of the sampler's draws.
      capacity: records over all streams, 0 = as many as `max_gib` allows. The smaller limit holds.
      max_gib: GiB of records, 0 = half of the free memory or disk.
      directory: None = in memory; else the folder of memory-mapped files.
      context: 1 = `sample` also returns the latents stored with the record before each window.
      force_first: marks the first record of every sampled window as the first of an episode.
      empty: makes the arrays of a batch from shape and dtype, such as `pinned`.
      fill: records per stream that the run can store at most, 0 = unknown; a replay in memory has no more room.
      sharers: number of replays that share the free memory or disk, this one included.

    Nothing is allocated before the first `add` or `load`. `messages` collects notes for the user.

    Raises:
      UserError: the machine cannot meet the limits, or the options contradict each other.
    """

    def __init__(
        self, spec: Spec, streams: int, *, sampler: Sampler, seed: int = 0, capacity: int = 0, max_gib: float = 0.0,
        directory: Path | str | None = None, context: int = 0, force_first: bool = False,
        empty: ArrayFactory = np.empty, fill: int = 0, sharers: int = 1,
    ):  # fmt: skip
        check_spec(spec, context, force_first)
        self.spec = {key: (tuple(shape), np.dtype(dtype)) for key, (shape, dtype) in spec.items()}
        self.streams = streams
        self.sampler = sampler
        self.capacity, self.max_gib, self.fillable, self.sharers = capacity, max_gib, fill, sharers
        self.directory = Path(directory).resolve() if directory else None
        self.context, self.force_first, self.empty = context, force_first, empty
        self.ident = os.urandom(8).hex()
        self.rng = [np.random.default_rng([seed, report]) for report in (0, 1)]
        self.messages: list[str] = []
        self._size = forecast(
            self.spec, streams, capacity=capacity, max_gib=max_gib, directory=self.directory, fill=fill, sharers=sharers
        )
        self._ring: Ring | None = None
        self._mapped: mapped_ring.MappedRing | None = None
        self._chunks: chunked_ring.ChunkedRing | None = None

    def __len__(self) -> int:
        """Records stored, over all streams."""
        return 0 if self._ring is None else len(self._ring)

    @property
    def ring(self) -> Ring:
        """The ring of records, once there are any."""
        assert self._ring is not None, "nothing has been added or loaded"
        return self._ring

    @property
    def gib(self) -> float:
        """GiB of the records stored."""
        return len(self) * self._size.record_bytes / GIB

    def forecast(self) -> Forecast:
        """Return the size of the full replay; `str` of it is a line to print."""
        return self._size

    def add(self, record: Mapping[str, np.ndarray]) -> None:
        """Store one record per stream.

        Args:
          record: {key: array (streams, ...)} with every key of the spec. Missing latents are stored as zeros, other
            keys are ignored.

        Raises:
          UserError: a key is missing or has another shape or dtype; the disk is full.
        """
        if self._ring is None:
            self._start(self._allocate(0, 0))
        if self._mapped is not None:
            self._mapped.claim(self.ring.count)
        self.ring.add(record)
        self.sampler.observe(self.ring)

    def check_window(self, length: int) -> None:
        """Raise UserError if a stream's share of the capacity is shorter than a window of `length` records."""
        if self._size.slots < length + self.context:
            raise UserError(
                f"A window of {length + self.context} records does not fit: {self._size} leaves {self._size.slots} for "
                f"each of {self.streams} environments. Raise replay.capacity or lower batch_length."
            )

    def waiting_reason(self, batch: int, length: int) -> str:
        """Return why training on such batches cannot start yet, or ''. With batch 0: why no window can be drawn.

        Raises UserError as `check_window` does.
        """
        self.check_window(length)
        if self._ring is None:
            return "nothing is stored yet"
        return self.sampler.waiting_reason(self._ring, batch, length, self.context)

    def ready(self, batch: int, length: int) -> bool:
        """Whether training on such batches can start."""
        return not self.waiting_reason(batch, length)

    def sample(self, batch: int, length: int, *, report: bool = False) -> Arrays:
        """Draw `batch` windows of `length` records.

        Args:
          report: draw for a report, without changing what training will draw.

        Returns:
          {key: array (B, T, ...)} of every key in the spec, new arrays, and
          prev_action (B, T, A): action of the record before; zeros at the first record of an episode.
          index (B, T) int64: identifies the records for `write_back`.
          context_deter, context_stoch (B, ...): with context=1, the latents stored with the record before the window.
        """
        reason = self.waiting_reason(0, length)
        if reason:
            raise UserError(f"The replay cannot be sampled: {reason}.")
        stream, start = self.sampler.draw(self.ring, self.rng[report], batch, length, self.context, report)
        data = {key: self.ring.windows(key, stream, start, length, self.empty) for key in self.spec}
        data["is_first"][:, 0] |= self.force_first
        data["is_last"][:, :-1] |= data["is_first"][:, 1:]
        before = self.ring.at("action", stream, start - 1)
        data["prev_action"] = previous_actions(data["action"], data["is_first"], before)
        data["index"] = (start[:, None] + np.arange(length)) * self.streams + stream[:, None]
        for key in LATENTS if self.context else ():
            data[f"context_{key}"] = self.ring.at(key, stream, start - 1)
        return data

    def write_back(self, index: np.ndarray, latents: Mapping[str, np.ndarray]) -> None:
        """Replace the latents of records that are still stored.

        Args:
          index: (B, T) int64 from `sample`; if it names a record twice, the later value stays.
          latents: {"deter": (B, T, ...), "stoch": (B, T, ...)}; also "priority" (B, T) if the sampler reads it.
        """
        number, stream = np.divmod(index, self.streams)
        if "priority" in latents:
            self.sampler.set_priorities(stream, number, latents["priority"])  # type: ignore[attr-defined]
        if not latents.keys() & self.spec.keys():
            return
        alive = (number >= self.ring.oldest) & (number < self.ring.count)
        number, stream = number[alive], stream[alive]
        if self._mapped is not None:
            self._mapped.journal.latents(stream, number)
        for key in latents.keys() & self.spec.keys():
            self.ring.arrays[key][stream, number % self.ring.slots] = latents[key][alive]
        if self._chunks is not None:
            self._chunks.mark_changed(number)

    def save(self, directory: Path | str) -> dict[str, Any]:
        """Bring the files up to date and return `state()`, which describes them; see `load`.

        In memory: write what changed to `directory` and delete the files of another replay in it.
        Memory-mapped: flush the files of this replay; `directory` is not used.

        Raises:
          UserError: the disk is full or not writable; the state saved before can still be loaded.
        """
        if self._mapped is not None:
            self._mapped.save(self.ring.oldest, self.ring.count)
        elif self._chunks is not None:
            self._chunks.save(Path(directory).resolve())
        return self.state()

    def state(self) -> dict[str, Any]:
        """Return a small plain state: which records the saved files have, the sampler and its generators."""
        ring = self._ring
        return {
            "ident": self.ident,
            "kind": "chunks" if self.directory is None else "ring",
            "generation": files.generation if (files := self._chunks or self._mapped) else 0,
            "streams": self.streams,
            "slots": self._size.slots,
            "run_limit": self._size.limit == RUN_LIMIT,  # a longer run may have more slots
            "count": 0 if ring is None else ring.count,
            "oldest": 0 if ring is None else ring.oldest,
            "rng": [rng.bit_generator.state for rng in self.rng],
            "sampler": self.sampler.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Set the sampler and its generators; the replay must already hold the records of `state`."""
        for rng, saved in zip(self.rng, state["rng"], strict=True):
            rng.bit_generator.state = saved
        self.sampler.restore(state["sampler"])

    def load(self, directory: Path | str, state: dict[str, Any]) -> None:
        """Read the records that `state` describes, as `fill` does, then restore the rest of `state`."""
        self.fill(directory, state)
        self.restore(state)

    def fill(self, directory: Path | str, state: dict[str, Any]) -> None:
        """Read the records that `state` describes into this empty replay; its sampler stays its own.

        Records newer than the state are dropped. Files of either kind can be read, with or without latents. Missing
        latents become zeros, which `messages` reports. Under a smaller capacity the newest records stay.

        Raises:
          UserError: a file is missing, damaged or of another replay; the number of environments differs.
        """
        if self._ring is not None:
            raise RuntimeError("This replay already has records; load into a new one.")
        if state["streams"] != self.streams:
            raise UserError(
                f"The replay was written by {state['streams']} environments. Use --run.envs {state['streams']}."
            )
        if not self.max_gib:
            self._size = resumed_forecast(
                self._size, state, self.streams, capacity=self.capacity, directory=self.directory, fill=self.fillable,
                fixed=self._is_mapped_by(Path(directory).resolve(), state), sharers=self.sharers,
            )  # fmt: skip
        if state["count"]:
            self.ident = state["ident"]
            self._read(Path(directory).resolve(), state)

    def _read(self, directory: Path, state: dict[str, Any]) -> None:
        if self._is_mapped_by(directory, state):
            self._mapped, floor, missing = mapped_ring.MappedRing.reopen(
                directory, state, self.spec, self.streams, self._size.slots
            )
            ring = Ring(self._mapped.arrays, state["count"], floor)
        else:
            ring = self._allocate(state["count"], state["oldest"])
            missing = (mapped_ring if state["kind"] == "ring" else chunked_ring).load(directory, state, ring)
        self._start(ring)
        if self._chunks is not None and state["kind"] == "chunks":
            self._chunks.attach(directory, state)
        if missing:
            self.messages.append(
                f"The replay in {directory} has no {' and '.join(missing)}: zeros until written again."
            )
        if (left := ring.oldest - max(state["oldest"], ring.floor)) > 0:
            self.messages.append(
                f"{left * self.streams:,} of the oldest records of the replay no longer fit ({self._size.limit})."
            )
        if ring.oldest > max(state["oldest"], state["count"] - ring.slots):
            lost = (ring.oldest - state["oldest"]) * self.streams
            self.messages.append(
                f"{lost:,} records of the replay were overwritten after the checkpoint; the rest is used."
            )

    def _is_mapped_by(self, directory: Path, state: dict[str, Any]) -> bool:
        """Whether the records of `state` are in mapped files that this replay continues."""
        return state["kind"] == "ring" and directory == self.directory and state["count"] > 0

    def _allocate(self, count: int, floor: int) -> Ring:
        if self.directory is None:
            return Ring(allocate_in_memory(self.spec, self.streams, self._size.slots), count, floor)
        self._mapped = mapped_ring.MappedRing.create(
            self.directory, self.ident, self.spec, self.streams, self._size.slots
        )
        self._mapped.claim(count)
        return Ring(self._mapped.arrays, count, floor)

    def _start(self, ring: Ring) -> None:
        self._ring = ring
        self._chunks = chunked_ring.ChunkedRing(self.ident, ring) if self._mapped is None else None
        self.sampler.rebuild(ring)
