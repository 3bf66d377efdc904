"""The place of this process among those that torchrun has started, from the environment variables that it sets."""

import os
import time
from collections.abc import Mapping
from typing import NamedTuple

from common.errors import UserError

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
SECONDS_FOR_ERROR = 3.0  # in which the first process of a machine reports an error and torchrun ends the others
_joined = False


class Place(NamedTuple):
    """This process among those that torchrun started. local: its number on this machine; neighbours: those there."""

    rank: int
    size: int
    local: int
    neighbours: int


def find_place(env: Mapping[str, str] = os.environ) -> Place | None:
    """Return the place of this process, None if torchrun did not start it."""
    if any(name not in env for name in VARIABLES):
        return None
    rank, size, local = (int(env[name]) for name in VARIABLES[:3])
    return Place(rank, size, local, int(env.get("LOCAL_WORLD_SIZE", size)))


def refuse_command(command: str, env: Mapping[str, str] = os.environ) -> None:
    """Raise UserError if torchrun starts a command that is not the training of one run."""
    place = find_place(env)
    if place is not None and place.size > 1 and command not in ("train", "resume"):
        raise UserError(
            f"torchrun starts {place.size} processes of one run, and `{command}` is not one: start it as "
            f"`python dreamer.py {command} ...`."
        )


def mark_joined() -> None:
    """Note that the processes have joined: from now on they agree on which of them reports an error."""
    global _joined
    _joined = True


def leave_error_to_first(env: Mapping[str, str] = os.environ) -> None:
    """Give the first process of this machine time to report an error that all meet before they have joined.

    torchrun then ends this process. It returns if the error is of this process alone.
    """
    place = find_place(env)
    if place is not None and place.local and not _joined:
        time.sleep(SECONDS_FOR_ERROR)
