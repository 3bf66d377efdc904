"""What goes wrong in training, said so that a person can mend it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.agent.update_guard import EXTRA_STATE_KEY, nonfinite_names
from common.errors import NonFiniteError, UserError
from common.storage.checkpoints import Checkpoints
from common.storage.runinfo import frames_trained
from common.storage.saved_agent import MalformedCheckpoint, malformed_message
from common.training.loop import Loop

#: What code raises that is given another thing than it was written for.
MALFORMED_ERRORS = (TypeError, ValueError, LookupError, AttributeError, RuntimeError, ArithmeticError, AssertionError)
MOMENTS_PREFIX = f"optim.{EXTRA_STATE_KEY}."  # where a state has the moments of each group


class NonFiniteAgent(UserError):
    """The agent holds numbers that are not finite, which no checkpoint shall hold."""


def require_finite_agent(loop: Loop, checkpoints: Checkpoints) -> None:
    """Raises Unsound if the agent is not fit to be saved: a step made weights or moments of its optimiser infinite.

    Losses and gradients before such a step are finite; after it every update is skipped.
    """
    if bad := nonfinite_names(loop.agent):
        what = "; ".join(
            f"{group} ({first_and_count(keys)})" for group, keys in names_by_group(loop.agent, bad).items()
        )
        why = f"weights or moments have become infinite in {what}, so nothing is saved"
        raise NonFiniteAgent(divergence_message(loop, checkpoints, why))


def names_by_group(agent: Any, bad: list[str]) -> dict[str, list[str]]:
    """Group of parameters -> those names in an agent's state that belong to it; for others the module."""
    groups = agent.groups() if hasattr(agent, "groups") else {}
    owners = {id(p): group for group, params in groups.items() for p in params}
    own = {name: owners[id(p)] for name, p in agent.named_parameters() if id(p) in owners}
    found: dict[str, list[str]] = {}
    for name in bad:
        found.setdefault(own.get(name) or name.removeprefix(MOMENTS_PREFIX).split(".")[0], []).append(name)
    return found


def first_and_count(keys: list[str]) -> str:
    """The first of some names, and how many more there are."""
    return keys[0] + f" and {len(keys) - 1:,} more" * (len(keys) > 1)


def divergence_message(loop: Loop, checkpoints: Checkpoints, why: object) -> str:
    """Where numbers became NaN or infinite, what is left, and what to do."""
    kept = next(map(str, checkpoints.paths()), "none was written yet")
    return (
        f"Training diverged at frame {loop.frames:,}, update {loop.updates:,}: {why}.\n"
        f"Last good checkpoint: {kept}.\nThe same command tries again from there and may meet the same. "
        "Try a lower learning rate (--optim.lr.*) in another --logdir."
    )


@contextlib.contextmanager
def refuse_malformed(folder: Path, best: bool = False) -> Iterator[None]:
    """What a state in a folder of checkpoints raises that is whole, but of something else."""
    try:
        yield
    except MalformedCheckpoint as error:
        raise UserError(malformed_message(folder, str(error), best)) from error
    except MALFORMED_ERRORS as error:
        raise UserError(malformed_message(folder, f"{type(error).__name__}: {error}", best)) from error


@contextlib.contextmanager
def report_disk_errors(logdir: Path) -> Iterator[None]:
    """Says what becomes of a run whose files cannot be written any more."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise UserError(
            f"{logdir} cannot be read or written any more: {error.strerror or error}{place}. Its last checkpoint is "
            f"at frame {frames_trained(logdir):,}. Free the disk or bring it back; the same command goes on from there."
        ) from error


@contextlib.contextmanager
def report_divergence(loop: Loop, checkpoints: Checkpoints) -> Iterator[None]:
    """Says where numbers became NaN or infinite, and what is left."""
    try:
        yield
    except NonFiniteError as error:
        raise UserError(divergence_message(loop, checkpoints, error)) from error
