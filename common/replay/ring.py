"""Rings of records: where they are, and how rows of them are copied in and out."""

from collections.abc import Callable

import numpy as np

from common.errors import UserError

ArrayFactory = Callable[[tuple, np.dtype], np.ndarray]  # shape and dtype -> an array with any content
LATENTS = ("deter", "stoch")  # keys that the agent may leave out and may write again later


class Ring:
    """The newest `slots` records of each of several streams that advance together.

    Records of a stream are numbered 0, 1, 2, ... for ever; number k lies in slot k % slots. Stored are the numbers
    `oldest <= k < count`. `arrays` has one (streams, slots, ...) array per key.
    """

    def __init__(self, arrays: dict, count: int = 0, floor: int = 0):
        self.arrays = {key: np.asarray(array) for key, array in arrays.items()}  # plain views index faster than maps
        self.streams, self.slots = next(iter(self.arrays.values())).shape[:2]
        self.count = count
        self.floor = floor

    @property
    def oldest(self) -> int:
        """Number of the oldest record stored; `floor` says what an earlier run lost."""
        return max(self.count - self.slots, min(self.floor, self.count))

    @property
    def spec(self) -> dict:
        """{key: (shape of one record, dtype)}."""
        return {key: (array.shape[2:], array.dtype) for key, array in self.arrays.items()}

    def __len__(self) -> int:
        return (self.count - self.oldest) * self.streams

    def add(self, record: dict) -> None:
        """Appends one record per stream, arrays of (streams, ...); a missing latent is stored as zeros."""
        values = {key: self._checked(key, record) for key in self.arrays}
        slot = self.count % self.slots
        for key, value in values.items():
            self.arrays[key][:, slot] = value
        self.count += 1

    def _checked(self, key, record):
        array = self.arrays[key]
        if key not in record:
            if key in LATENTS:
                return 0
            raise UserError(f"A record needs the key {key!r}, it has {sorted(record)}.")
        value = np.asarray(record[key])
        want = (self.streams, *array.shape[2:])
        if value.shape != want or not np.can_cast(value.dtype, array.dtype, "same_kind"):
            raise UserError(f"Record key {key!r} must be {array.dtype} {want}, got {value.dtype} {value.shape}.")
        return value

    def spans(self, first: int, stop: int):
        """Yields (slice of a row, slice of slots) for the numbers [first, stop): two where they wrap around."""
        slot, size = first % self.slots, stop - first
        head = min(size, self.slots - slot)
        yield slice(0, head), slice(slot, slot + head)
        if head < size:
            yield slice(head, size), slice(0, size - head)

    def windows(
        self, key: str, stream: np.ndarray, start: np.ndarray, length: int, empty: ArrayFactory = np.empty
    ) -> np.ndarray:
        """Copies `length` records from each of B (stream, start) into a new array (B, length, ...)."""
        array = self.arrays[key]
        out = empty((len(stream), length, *array.shape[2:]), array.dtype)
        for row, s, first in zip(range(len(out)), stream.tolist(), start.tolist(), strict=True):
            for here, there in self.spans(first, first + length):
                out[row, here] = array[s, there]
        return out

    def at(self, key: str, stream: np.ndarray, number: np.ndarray) -> np.ndarray:
        """Records by stream and number, any shape; zeros where that number is not stored."""
        out = self.arrays[key][stream, number % self.slots]
        out[(number < self.oldest) | (number >= self.count)] = 0
        return out

    def block(self, key: str, first: int, stop: int) -> np.ndarray:
        """The numbers [first, stop) of all streams, (streams, stop - first, ...)."""
        every = np.arange(self.streams)
        return self.windows(key, every, np.full_like(every, first), stop - first)

    def put(self, key: str, first: int, block: np.ndarray) -> None:
        """Writes `block` (streams, n, ...) as the numbers first, first + 1, ..."""
        for here, there in self.spans(first, first + block.shape[1]):
            self.arrays[key][:, there] = block[:, here]


def previous_actions(action: np.ndarray, is_first: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Actions shifted to arrival: action (B, T, A), is_first (B, T), before (B, A) = action of the record before."""
    result = np.concatenate([before[:, None], action[:, :-1]], 1)
    result[is_first] = 0
    return result


def pinned(shape: tuple, dtype: np.dtype) -> np.ndarray:
    """Like `np.empty`, in page-locked memory: a GPU copies from there at full speed, while this process goes on."""
    import torch

    kind = torch.from_numpy(np.empty(0, dtype)).dtype
    return torch.empty(shape, dtype=kind, pin_memory=True).numpy()


def allocate_in_memory(spec: dict, streams: int, slots: int) -> dict:
    """Arrays of a ring in memory; the system commits their pages when they are first written."""
    try:
        return {key: np.zeros((streams, slots, *shape), dtype) for key, (shape, dtype) in spec.items()}
    except MemoryError as error:
        raise UserError(f"The replay does not fit into memory ({error}). Lower replay.max_gib.") from error
