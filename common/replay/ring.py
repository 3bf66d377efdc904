"""A ring of records, and how windows are copied into and out of it."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import DTypeLike

from common.errors import UserError

LATENTS = ("deter", "stoch")  # keys that a record may omit and that the agent may replace later

Spec = Mapping[str, tuple[tuple[int, ...], DTypeLike]]  # key -> (shape of one record, dtype)
Arrays = dict[str, np.ndarray]
ArrayFactory = Callable[[tuple[int, ...], np.dtype], np.ndarray]  # shape, dtype -> array with any content


class Ring:
    """The newest `slots` records of each of several streams that advance together.

    The records of a stream are numbered 0, 1, 2, ...; record k is in slot k % slots. The ring holds the records
    `oldest <= k < count`. Records before `floor` are lost. `arrays` has one (streams, slots, ...) array per key.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], count: int = 0, floor: int = 0):
        self.arrays: Arrays = {key: np.asarray(array) for key, array in arrays.items()}  # faster to index than memmaps
        self.streams, self.slots = next(iter(self.arrays.values())).shape[:2]
        self.count = count
        self.floor = floor

    @property
    def oldest(self) -> int:
        """Number of the oldest record stored."""
        return max(self.count - self.slots, min(self.floor, self.count))

    @property
    def spec(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """{key: (shape of one record, dtype)}."""
        return {key: (array.shape[2:], array.dtype) for key, array in self.arrays.items()}

    def __len__(self) -> int:
        """Records stored, over all streams."""
        return (self.count - self.oldest) * self.streams

    def add(self, record: Mapping[str, np.ndarray]) -> None:
        """Append one record per stream, arrays (streams, ...). A missing latent is stored as zeros.

        Raises:
          UserError: a key is missing or has another shape or dtype; nothing is stored then.
        """
        values = {key: self._checked(key, record) for key in self.arrays}
        slot = self.count % self.slots
        for key, value in values.items():
            self.arrays[key][:, slot] = value
        self.count += 1

    def _checked(self, key: str, record: Mapping[str, np.ndarray]) -> np.ndarray | int:
        array = self.arrays[key]
        if key not in record:
            if key in LATENTS:
                return 0
            raise UserError(f"A record needs the key {key!r}, it has {sorted(record)}.")
        value = np.asarray(record[key])
        shape = (self.streams, *array.shape[2:])
        if value.shape != shape or not np.can_cast(value.dtype, array.dtype, "same_kind"):
            raise UserError(f"Record key {key!r} must be {array.dtype} {shape}, got {value.dtype} {value.shape}.")
        return value

    def _spans(self, first: int, stop: int) -> Iterator[tuple[slice, slice]]:
        """Yield (slice of a window, slice of slots) for the records [first, stop): two if they wrap around."""
        slot, size = first % self.slots, stop - first
        head = min(size, self.slots - slot)
        yield slice(0, head), slice(slot, slot + head)
        if head < size:
            yield slice(head, size), slice(0, size - head)

    def windows(
        self, key: str, stream: np.ndarray, start: np.ndarray, length: int, empty: ArrayFactory = np.empty
    ) -> np.ndarray:
        """Copy `length` records from each of B (stream, start) into a new array (B, length, ...)."""
        array = self.arrays[key]
        out = empty((len(stream), length, *array.shape[2:]), array.dtype)
        for row, s, first in zip(range(len(out)), stream.tolist(), start.tolist(), strict=True):
            for times, slots in self._spans(first, first + length):
                out[row, times] = array[s, slots]
        return out

    def at(self, key: str, stream: np.ndarray, number: np.ndarray) -> np.ndarray:
        """Return records by stream and number, of any common shape; zeros for numbers that are not stored."""
        out = self.arrays[key][stream, number % self.slots]
        out[(number < self.oldest) | (number >= self.count)] = 0
        return out

    def block(self, key: str, first: int, stop: int) -> np.ndarray:
        """Return the records [first, stop) of all streams, (streams, stop - first, ...)."""
        streams = np.arange(self.streams)
        return self.windows(key, streams, np.full_like(streams, first), stop - first)

    def put(self, key: str, first: int, block: np.ndarray) -> None:
        """Write `block` (streams, n, ...) as the records first, first + 1, ..."""
        for times, slots in self._spans(first, first + block.shape[1]):
            self.arrays[key][:, slots] = block[:, times]


def previous_actions(action: np.ndarray, is_first: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return the action that led to each record, (B, T, A); zeros at the first record of an episode.

    action: (B, T, A), chosen at each record; is_first: (B, T); before: (B, A), of the record before the window.
    """
    result = np.concatenate([before[:, None], action[:, :-1]], 1)
    result[is_first] = 0
    return result


def pinned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an array like `np.empty` in page-locked memory, which a GPU copies at full speed in the background."""
    import torch

    kind = torch.from_numpy(np.empty(0, dtype)).dtype
    return torch.empty(shape, dtype=kind, pin_memory=True).numpy()


def allocate_in_memory(spec: Spec, streams: int, slots: int) -> Arrays:
    """Return zeros for a ring; the system commits their pages at the first write."""
    try:
        return {key: np.zeros((streams, slots, *shape), dtype) for key, (shape, dtype) in spec.items()}
    except MemoryError as error:
        raise UserError(f"The replay does not fit into memory ({error}). Lower replay.max_gib.") from error
