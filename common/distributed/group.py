"""The group of processes of one run: what `common/nn/ranks.py` names, with the collectives of torch.distributed.

Numbers and objects go over gloo; tensors over the backend of their device, gloo or nccl.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from common.nn.ranks import BUCKET_ELEMENTS, Ranks
from common.nn.sections import section


class LostRank(Exception):
    """An exchange failed, because another process has ended or cannot be reached."""


@contextlib.contextmanager
def exchange() -> Iterator[None]:
    """Turn an error of a collective in the block into LostRank."""
    try:
        yield
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        raise LostRank(first.rpartition("] ")[2][:120]) from error  # without gloo's own file name


class Group(Ranks):
    """This process among those of the default group of torch.distributed.

    rows: rows of the batch on each rank; their share is the weight of the rank. neighbours: processes on this machine.
    Every method raises LostRank if another process does not answer.
    """

    def __init__(self, rows: Sequence[int], neighbours: int = 1) -> None:
        self.neighbours = neighbours
        self.rank, self.size, self.rows = dist.get_rank(), dist.get_world_size(), list(rows)
        if len(self.rows) != self.size:
            raise ValueError(f"{self.size} ranks have {self.rows} rows")
        self.weight = self.rows[self.rank] / sum(self.rows)

    @torch.compiler.disable
    @torch.no_grad()
    def average(self, x: Tensor) -> Tensor:
        """Return the weighted average of a tensor over the ranks, without gradient."""
        total = x.detach() * self.weight
        with exchange():
            dist.all_reduce(total)
        return total

    @torch.compiler.disable
    def mean(self, x: Tensor) -> Tensor:
        """Return the mean of all elements on all ranks; the gradient is that of this rank's mean.

        The value has the same bits on every rank, as running statistics and checkpoints need it.
        """
        own = x.mean()
        return self.average(own) + (own - own.detach())

    @torch.compiler.disable
    @torch.no_grad()
    def gather(self, x: Tensor) -> Tensor:
        """Return the elements of all ranks: (M,) here -> (sum of M,), where M is a multiple of the rank's rows."""
        each, rest = divmod(len(x), self.rows[self.rank])
        assert not rest, (len(x), self.rows)
        widest = each * max(self.rows)  # a collective takes equal lengths
        padded = torch.cat([x.detach(), x.new_zeros(widest - len(x))])
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        with exchange():
            dist.all_gather(parts, padded)
        return torch.cat([part[: each * rows] for part, rows in zip(parts, self.rows, strict=True)])

    @torch.no_grad()
    def reduce(self, grads: Sequence[Tensor]) -> None:
        """Replace gradients by their weighted average over the ranks, in place."""
        for bucket in buckets(grads):
            with section("reduction"):
                flat = torch.cat([grad.reshape(-1) for grad in bucket]).mul_(self.weight)
                with exchange():
                    dist.all_reduce(flat)
                parts = flat.split([grad.numel() for grad in bucket])
                torch._foreach_copy_(bucket, [part.view(grad.shape) for part, grad in zip(parts, bucket, strict=True)])

    def total(self, number: int) -> int:
        """Return the sum of a number over the ranks."""
        return self._number(number, dist.ReduceOp.SUM)

    def largest(self, number: int) -> int:
        """Return the largest of a number over the ranks."""
        return self._number(number, dist.ReduceOp.MAX)

    def _number(self, number: int, operation: Any) -> int:
        value = torch.tensor(number)  # on the CPU: no wait for a GPU
        with exchange():
            dist.all_reduce(value, operation)
        return int(value)

    def collect(self, items: list[Any]) -> list[Any]:
        """Return the items of all ranks, in the order of the ranks. Costs one number if no rank has any."""
        if not self.any(bool(items)):
            return []
        every: list[list[Any]] = [[] for _ in range(self.size)]
        with exchange():
            dist.all_gather_object(every, items)
        return [item for each in every for item in each]

    def share(self, value: Any) -> Any:
        """Return the value of rank 0."""
        box = [value]
        with exchange():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def copy_state(self, tensors: Sequence[Tensor]) -> None:
        """Set tensors to those of rank 0."""
        for tensor in tensors:
            whole = tensor.detach().contiguous()
            with exchange():
                dist.broadcast(whole, src=0)
            tensor.detach().copy_(whole)


def buckets(grads: Sequence[Tensor], most: int = BUCKET_ELEMENTS) -> Iterator[list[Tensor]]:
    """Yield neighbouring tensors together, up to `most` elements; a larger tensor is alone."""
    bucket: list[Tensor] = []
    for grad in grads:
        if bucket and sum(each.numel() for each in bucket) + grad.numel() > most:
            yield bucket
            bucket = []
        bucket.append(grad)
    if bucket:
        yield bucket
