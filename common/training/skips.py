"""Updates that were not finite: skipped and kept on file, until there are too many in a row."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.errors import NonFiniteError, UserError
from common.storage import nonfinite_dump
from common.storage.spaces import encode_space

NONFINITE_FOLDER = "nonfinite"


class Diverged(UserError):
    """Too many updates in a row were not finite. The run stands where it can be saved."""


class SkippedUpdates:
    """Counts skipped updates of a run: `total` over all, `row` since the last sound one; at most `limit` in a row.

    doubt: whether no update has been sound with the weights of now, which may be why; over all sessions of the run.
    tell: shows a person a line.
    """

    def __init__(self, config: dict, agent: Any, envs: Any, folder: Path, tell: Callable[[str], None]):
        self.config, self.agent, self.envs, self.folder, self.tell = config, agent, envs, folder, tell
        self.limit = config["run"]["max_skips"]
        self.total = self.in_a_row = 0
        self.unproven = False

    def end(self) -> None:
        """Notes an update that was sound."""
        self.in_a_row, self.unproven = 0, False

    def update(self, error: NonFiniteError, **facts: Any) -> None:
        """Notes an update that was undone. facts: batch, rng before it, step, updates, frames.

        Raises Diverged if it is one too many.
        """
        self.total += 1
        self.in_a_row += 1
        self.unproven = True
        path = self._keep(error, facts)
        self.tell(f"Skipped an update after {facts['updates']:,}: {error}. See: python dreamer.py debug-batch {path}")
        if self.in_a_row > self.limit:
            raise Diverged(
                f"Training stopped at frame {facts['frames']:,}, update {facts['updates']:,}: {self.in_a_row} "
                f"updates in a row were skipped, the last was {error}.\nThe state before them is saved; the same "
                f"command goes on from there and may meet the same. `python dreamer.py debug-batch {path}` shows "
                "where it begins. Try a lower learning rate (--optim.lr.*) in another --logdir."
            )

    def dump_action(self, error: NonFiniteError, **facts: Any) -> NonFiniteError:
        """Puts actions that are not finite on file; returns the error that says where they may come from.

        facts: record, acting (the state before), mode (train or eval), step, updates, frames.
        """
        sources = [f"observation {key}" for key in nonfinite_dump.nonfinite_keys(facts["record"])]
        weights = {name: value.detach().cpu() for name, value in self.agent.named_parameters()}
        sources += [f"weights {name}" for name in nonfinite_dump.nonfinite_keys(weights)[:3]]
        error = NonFiniteError([*error.names, *sources])
        self.tell(f"See: python dreamer.py debug-batch {self._keep(error, facts)}")
        return error

    def _keep(self, error: NonFiniteError, facts: dict) -> Path:
        """Writes the file; a full disk is told and not what stops the run."""
        seen = [encode_space(self.envs.obs_space), encode_space(self.envs.act_space)]
        state = {"config": self.config, "spaces": seen, "agent": self.agent.state_dict(), "names": error.names}
        try:
            return nonfinite_dump.save(self.folder / NONFINITE_FOLDER, state | facts)
        except (OSError, UserError) as failure:
            self.tell(f"The batch could not be kept: {failure}")
            return self.folder / NONFINITE_FOLDER / nonfinite_dump.FILE_NAMES[0]
