"""What goes wrong in training, said so that a person can mend it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from common.checkpoint import Checkpoints
from common.errors import NonFinite, UserError
from common.run.loop import Loop
from common.runinfo import frames_trained


def foreign(folder: Path, why: str = "") -> str:
    """About a checkpoint that is whole, but not of a run."""
    return (
        f"The newest checkpoint in {folder} is not one of a training run{why}. Put the right files back, or start "
        "afresh in another --logdir."
    )


@contextlib.contextmanager
def named_mismatch(folder: Path) -> Iterator[None]:
    """What a state raises that is whole, but of something else."""
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError, RuntimeError, OverflowError) as error:
        raise UserError(foreign(folder, f" ({type(error).__name__}: {error})")) from error


@contextlib.contextmanager
def named_loss(logdir: Path) -> Iterator[None]:
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
def named_divergence(loop: Loop, checkpoints: Checkpoints) -> Iterator[None]:
    """Says where numbers became NaN or infinite, and what is left."""
    try:
        yield
    except NonFinite as error:
        kept = next(map(str, checkpoints.paths()), "none was written yet")
        raise UserError(
            f"Training diverged at frame {loop.frames:,}, update {loop.updates:,}: {error}.\n"
            f"Last good checkpoint: {kept}.\nThe same command tries again from there and may meet the same. "
            "Try a lower learning rate (--optim.lr.*) in another --logdir."
        ) from error
