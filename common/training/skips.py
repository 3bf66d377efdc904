"""Updates that were not finite: skipped and kept on file, until there are too many in a row."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.errors import NonFinite, UserError
from common.storage import nonfinite_dump
from common.storage.spaces import encode

FOLDER = "nonfinite"


class Diverged(UserError):
    """Too many updates in a row were not finite. The run stands where it can be saved."""


class Skips:
    """Counts skipped updates of a run: `total` over all, `row` since the last sound one; at most `limit` in a row.

    doubt: whether no update has been sound with the weights of now, which may be why; over all sessions of the run.
    tell: shows a person a line.
    """

    def __init__(self, config: dict, agent: Any, envs: Any, folder: Path, tell: Callable[[str], None]):
        self.config, self.agent, self.envs, self.folder, self.tell = config, agent, envs, folder, tell
        self.limit = config["run"]["max_skips"]
        self.total = self.row = 0
        self.doubt = False

    def end(self) -> None:
        """Notes an update that was sound."""
        self.row, self.doubt = 0, False

    def update(self, error: NonFinite, **facts: Any) -> None:
        """Notes an update that was undone. facts: batch, rng before it, step, updates, frames.

        Raises Diverged if it is one too many.
        """
        self.total += 1
        self.row += 1
        self.doubt = True
        path = self._keep(error, facts)
        self.tell(f"Skipped an update after {facts['updates']:,}: {error}. See: python dreamer.py debug-batch {path}")
        if self.row > self.limit:
            raise Diverged(
                f"Training stopped at frame {facts['frames']:,}, update {facts['updates']:,}: {self.row} updates in a "
                f"row were skipped, the last was {error}.\nThe state before them is saved; the same command goes on "
                f"from there and may meet the same. `python dreamer.py debug-batch {path}` shows where it begins. Try "
                "a lower learning rate (--optim.lr.*) in another --logdir."
            )

    def action(self, error: NonFinite, **facts: Any) -> NonFinite:
        """Puts actions that are not finite on file; returns the error that says where they may come from.

        facts: record, acting (the state before), mode (train or eval), step, updates, frames.
        """
        sources = [f"observation {key}" for key in nonfinite_dump.broken(facts["record"])]
        weights = {name: value.detach().cpu() for name, value in self.agent.named_parameters()}
        sources += [f"weights {name}" for name in nonfinite_dump.broken(weights)[:3]]
        error = NonFinite([*error.names, *sources])
        self.tell(f"See: python dreamer.py debug-batch {self._keep(error, facts)}")
        return error

    def _keep(self, error: NonFinite, facts: dict) -> Path:
        """Writes the file; a full disk is told and not what stops the run."""
        seen = [encode(self.envs.obs_space), encode(self.envs.act_space)]
        state = {"config": self.config, "spaces": seen, "agent": self.agent.state_dict(), "names": error.names}
        try:
            return nonfinite_dump.save(self.folder / FOLDER, state | facts)
        except (OSError, UserError) as failure:
            self.tell(f"The batch could not be kept: {failure}")
            return self.folder / FOLDER / nonfinite_dump.FILES[0]
