"""Functions that run in several processes with a group of gloo, and shares of a batch and of its noise."""

import multiprocessing
import tempfile
import traceback
from pathlib import Path

import torch
import torch.distributed as dist

from common.distributed.group import Group
from common.nn import ranks

SECONDS = 240  # that the processes may take


def in_ranks(rows, function, *args):
    """Call `function(group, *args)` in one process for each entry of `rows`; return the results by rank.

    Raises AssertionError with the traceback of a process that fails.
    """
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        pipes, workers = [], []
        for rank in range(len(rows)):
            receiver, sender = context.Pipe(duplex=False)
            work = (rank, rows, Path(folder) / "store", sender, function, args)
            workers.append(context.Process(target=_work, args=work, daemon=True))
            pipes.append(receiver)
            workers[-1].start()
        answers = [pipe.recv() if pipe.poll(SECONDS) else (False, "no answer in time") for pipe in pipes]
        for worker in workers:
            worker.join(timeout=10)
            worker.kill()
    failed = [f"rank {rank}: {answer}" for rank, (good, answer) in enumerate(answers) if not good]
    assert not failed, "\n".join(failed)
    return [answer for _, answer in answers]


def _work(rank, rows, store, sender, function, args):
    torch.set_num_threads(1)
    try:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=len(rows))
        group = Group(rows)
        with ranks.joined(group):
            result = function(group, *args)
        dist.barrier()
        sender.send((True, result))
    except BaseException:
        sender.send((False, traceback.format_exc()))
    finally:
        dist.destroy_process_group()


def row_range(group):
    """Return the first row of a rank's share and the one after its last."""
    first = sum(group.rows[: group.rank])
    return first, first + group.rows[group.rank]


def share_of_batch(group, batch):
    """Return the rows of a rank: arrays (B, ...)."""
    first, stop = row_range(group)
    return {key: value[first:stop] for key, value in batch.items()}


def share_of_noise(group, noise, rows):
    """Return the noise of a rank's rows; B or N is the second axis, and N a multiple of the `rows` of the batch."""
    if isinstance(noise, dict):
        return {key: share_of_noise(group, value, rows) for key, value in noise.items()}
    if noise is None:
        return None
    first, stop = row_range(group)
    each = noise.shape[1] // rows
    return noise[:, first * each : stop * each]
