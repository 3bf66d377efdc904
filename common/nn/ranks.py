"""The processes that train one run together, and what they exchange during an update and between updates.

Each process, a rank, has the same weights and its own share of the batch. Where a computation needs the whole batch, it
asks `current()`: in one process that is this module's `Ranks`, which exchanges nothing.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

BUCKET_ELEMENTS = 2**24  # gradients in one exchange of `reduce`: bounds the memory of the copy


class Ranks:
    """One process alone. `common/distributed/group.py` has the class for several.

    rank: number of this process, from 0. size: number of processes. neighbours: those on this machine. All processes
    make the same calls in the same order.
    """

    rank, size, neighbours = 0, 1, 1

    @property
    def leads(self) -> bool:
        """Whether this process writes the logs and evaluates."""
        return self.rank == 0

    # Inside an update. A rank counts by its share of the rows of the batch.

    def average(self, x: Tensor) -> Tensor:
        """Return the weighted average of a tensor over the ranks, without gradient."""
        return x

    def mean(self, x: Tensor) -> Tensor:
        """Return the mean of all elements on all ranks; the gradient is that of this rank's mean."""
        return x.mean()

    def gather(self, x: Tensor) -> Tensor:
        """Return the elements of all ranks, without gradient: (M,) here -> (sum of M,)."""
        return x

    def reduce(self, grads: Sequence[Tensor]) -> None:
        """Replace gradients by their weighted average over the ranks, in place."""

    # Between updates: small numbers and plain objects

    def total(self, number: int) -> int:
        """Return the sum of a number over the ranks."""
        return number

    def largest(self, number: int) -> int:
        """Return the largest of a number over the ranks."""
        return number

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set on any rank."""
        return bool(self.largest(int(flag)))

    def all(self, flag: bool) -> bool:
        """Return whether the flag is set on all ranks."""
        return not self.any(not flag)

    def collect(self, items: list[Any]) -> list[Any]:
        """Return the items of all ranks, in the order of the ranks."""
        return items

    def share(self, value: Any) -> Any:
        """Return the value of rank 0."""
        return value

    def copy_state(self, tensors: Sequence[Tensor]) -> None:
        """Set tensors to those of rank 0."""


ALONE = Ranks()
_current = ALONE


def current() -> Ranks:
    """Return the ranks that train with this process."""
    return _current


@contextlib.contextmanager
def joined(ranks: Ranks) -> Iterator[None]:
    """Train together with `ranks` inside the block."""
    global _current
    before, _current = _current, ranks
    try:
        yield
    finally:
        _current = before


def average_metrics(metrics: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return scalars averaged over the ranks, by name."""
    if _current.size == 1 or not metrics:
        return metrics
    values = _current.average(torch.stack([value.detach().float() for value in metrics.values()]))
    return dict(zip(metrics, values.unbind(), strict=True))
