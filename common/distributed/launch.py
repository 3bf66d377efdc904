"""Joining the processes that torchrun has started, and the end of a run of which one process is lost."""

import contextlib
import datetime
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator

import torch
import torch.distributed as dist

from common.distributed.group import Group, LostRank
from common.distributed.shares import RANKS_FOLDER
from common.distributed.torchrun import Place, mark_joined
from common.errors import UserError

PATIENCE = datetime.timedelta(hours=24)  # the others wait while rank 0 evaluates
SECONDS_TO_JOIN = 600.0
SECONDS_TO_ANSWER = 5.0  # for the ranks that are alive, after one was lost
SECONDS_FOR_ERROR = 3.0  # that a rank waits for the error of rank 0
PATH_OF_RANK = re.compile(rf"{RANKS_FOLDER}/\d+/")  # the only difference between the errors of ranks that all fail


@contextlib.contextmanager
def joined_group(place: Place, divide: Callable[[int], list[int]], gpu: bool) -> Iterator[Group]:
    """Join the group of all processes for the block.

    divide: returns the rows of the batch on each of a number of ranks; an error of it is printed once. Raises
    UserError, on one rank, if another one is lost; the other ranks end. gpu: whether each process has a GPU; raises
    UserError on all ranks of a machine that has too few.
    """
    if gpu and place.neighbours > (found := torch.cuda.device_count()):
        raise UserError(
            f"This machine has {found} GPU(s) for {place.neighbours} processes, each of which needs one: "
            f"start torchrun with --nproc-per-node {found}, or add --device cpu."
        )
    store, rank, size = next(iter(dist.rendezvous("env://")))
    store = dist.PrefixStore(agree_on_start(dist.PrefixStore("dreamer", store), place), store)
    backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    if gpu:
        torch.cuda.set_device(place.local)
    dist.init_process_group(
        backend, store=dist.PrefixStore("group", store), rank=rank, world_size=size, timeout=PATIENCE
    )
    mark_joined()
    try:
        with _report_errors(store, place):
            yield Group(divide(size), place.neighbours)
    finally:
        dist.destroy_process_group()


def agree_on_start(store: dist.Store, place: Place, seconds: float = SECONDS_TO_JOIN) -> str:
    """Wait until all processes have started, and return the same new name on all of them.

    torchrun may keep the store, with all entries, when it restarts the processes, and its counts of restarts differ
    between machines. Raises UserError if some do not start.
    """
    own, until = secrets.token_hex(8), time.monotonic() + seconds
    store.set(f"start-{place.rank}", own)
    while time.monotonic() < until:
        if place.rank == 0:
            keys = [f"start-{rank}" for rank in range(place.size)]
            names = [store.get(key).decode() if store.check([key]) else "none" for key in keys]
            store.set("starts", " ".join(names))
            if all(store.check([f"{own}-{name}"]) for name in names[1:]):
                return own
        elif store.check(["starts"]) and (names := store.get("starts").decode().split())[place.rank] == own:
            store.set(f"{names[0]}-{own}", "")
            return names[0]
        time.sleep(0.05)
    raise UserError(
        f"Not all {place.size} processes have joined within {seconds:,.0f} s. See if they have started and if all "
        "machines reach each other, then rerun the same command."
    )


@contextlib.contextmanager
def _report_errors(store: dist.Store, place: Place) -> Iterator[None]:
    """Let one rank print what ended the run: the one that failed, or the lowest that is left."""
    try:
        yield
    except LostRank as error:
        _end_after_loss(store, place, error)
    except SystemExit:
        raise
    except BaseException as error:
        text = PATH_OF_RANK.sub("", str(error))
        store.set(f"error-{place.rank}", text)
        if place.rank and isinstance(error, UserError) and _rank_0_says(store, text):
            raise SystemExit(2) from None
        raise


def _rank_0_says(store: dist.Store, text: str) -> bool:
    """Whether rank 0 ends with the same error, as all do after a wrong setting."""
    until = time.monotonic() + SECONDS_FOR_ERROR
    while time.monotonic() < until:
        if store.check(["error-0"]):
            return store.get("error-0").decode() == text
        time.sleep(0.05)
    return False


def _end_after_loss(store: dist.Store, place: Place, error: LostRank) -> None:
    """Raise UserError with the ranks that do not answer; exit silently if another rank says it."""
    store.set(f"alive-{place.rank}", f"{socket.gethostname()}, process {os.getpid()}")
    until = time.monotonic() + SECONDS_TO_ANSWER
    others = set(range(place.size)) - {place.rank}
    while others and time.monotonic() < until:
        others = {rank for rank in others if not store.check([f"alive-{rank}"])}
        time.sleep(0.1)
    failed = [rank for rank in others if store.check([f"error-{rank}"])]
    speaks = not failed and not any(rank in set(range(place.rank)) - others for rank in range(place.rank))
    if not speaks:
        raise SystemExit(1) from None
    lost = ", ".join(map(str, sorted(others))) or "unknown"
    raise UserError(
        f"Rank {lost} of {place.size} has ended without an error message, so all processes stop ({error}).\n"
        "The same command resumes from the last checkpoint."
    ) from None
