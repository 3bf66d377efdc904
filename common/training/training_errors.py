"""Errors of a training run, with what was lost and what to do next."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from common.agent.agent import Agent
from common.agent.update_guard import EXTRA_STATE_KEY, nonfinite_names
from common.errors import NonFiniteError, UserError
from common.storage.checkpoints import Checkpoints
from common.storage.runinfo import frames_trained
from common.training.loop import Loop

MOMENTS_PREFIX = f"optim.{EXTRA_STATE_KEY}."  # followed by the group, in the names of an agent's state


def require_finite_agent(loop: Loop, checkpoints: Checkpoints) -> None:
    """Raise UserError if weights or moments of the agent are not finite.

    A step can overflow although its losses and gradients are finite; every later update is then skipped.
    """
    if bad := nonfinite_names(loop.agent):
        groups = names_by_group(loop.agent, bad).items()
        first = (f"{group} ({keys[0]}{f' and {len(keys) - 1:,} more' * (len(keys) > 1)})" for group, keys in groups)
        why = f"weights or moments have become infinite in {'; '.join(first)}, so nothing is saved"
        raise UserError(divergence_message(loop, checkpoints, why))


def names_by_group(agent: Agent, names: list[str]) -> dict[str, list[str]]:
    """Sort names of an agent's state by group of parameters; others by module."""
    groups = agent.groups() if hasattr(agent, "groups") else {}
    owners = {id(p): group for group, params in groups.items() for p in params}
    own = {name: owners[id(p)] for name, p in agent.named_parameters() if id(p) in owners}
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(own.get(name) or name.removeprefix(MOMENTS_PREFIX).split(".")[0], []).append(name)
    return found


def divergence_message(loop: Loop, checkpoints: Checkpoints, why: object) -> str:
    """Return where numbers became NaN or infinite, which checkpoint is left, and what to do."""
    kept = next(map(str, checkpoints.paths()), "none was written yet")
    return (
        f"Training diverged at frame {loop.frames:,}, update {loop.updates:,}: {why}.\n"
        f"Last good checkpoint: {kept}.\nThe same command resumes there and may fail again. "
        "Try a lower learning rate (--optim.lr.*) in a new --logdir."
    )


@contextlib.contextmanager
def report_disk_errors(logdir: Path) -> Iterator[None]:
    """Turn an OSError in the block into a UserError that names the run's last checkpoint."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise UserError(
            f"{logdir} can no longer be read or written: {error.strerror or error}{place}. The last checkpoint is at "
            f"frame {frames_trained(logdir):,}. Free or restore the disk, then rerun the same command to resume there."
        ) from error


@contextlib.contextmanager
def report_divergence(loop: Loop, checkpoints: Checkpoints) -> Iterator[None]:
    """Turn a NonFiniteError in the block into a UserError that says what is left."""
    try:
        yield
    except NonFiniteError as error:
        raise UserError(divergence_message(loop, checkpoints, error)) from error
