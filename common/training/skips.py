"""Non-finite updates: skipped, kept on file for `debug-batch`, and the end of a run after too many in a row.

`common/agent/update_guard.py` detects such an update and undoes it; the loop then calls `SkippedUpdates`. Metrics that
are not finite are only left out of the logs.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.agent.agent import Agent
from common.errors import NonFiniteError, UserError
from common.storage import nonfinite_dump
from common.storage.spaces import encode_space
from common.training.collector import VectorEnvs

NONFINITE_FOLDER = "nonfinite"


class Diverged(UserError):
    """Too many updates in a row were not finite. The run can be saved."""


class SkippedUpdates:
    """Skipped updates of a run: `total` over the run, `in_a_row` since the last finite one.

    unproven: whether the current weights have made no finite update yet, so that they may be the cause; checkpoints
    keep it. folder: the run directory. show: prints a line.
    """

    def __init__(
        self, config: dict[str, Any], agent: Agent, envs: VectorEnvs, folder: Path, show: Callable[[str], None]
    ) -> None:
        self.config, self.agent, self.envs, self.folder, self.show = config, agent, envs, folder, show
        self.total = self.in_a_row = 0
        self.unproven = False

    def clear(self) -> None:
        """Record a finite update."""
        self.in_a_row, self.unproven = 0, False

    def skip(self, error: NonFiniteError, **facts: Any) -> None:
        """Record an update that was undone. facts: batch, rng before it, step, updates, frames.

        Raises Diverged after more than `run.max_skips` in a row.
        """
        self.total += 1
        self.in_a_row += 1
        self.unproven = True
        path = self._dump(error, facts)
        self.show(f"Skipped an update after {facts['updates']:,}: {error}. See: python dreamer.py debug-batch {path}")
        if self.in_a_row > self.config["run"]["max_skips"]:
            raise Diverged(
                f"Training stopped at frame {facts['frames']:,}, update {facts['updates']:,}: {self.in_a_row} "
                f"updates in a row were skipped, the last one was {error}.\nThe state before them is saved; the same "
                f"command resumes there and may fail again. `python dreamer.py debug-batch {path}` shows where it "
                "begins. Try a lower learning rate (--optim.lr.*) in a new --logdir."
            )

    def dump_action(self, error: NonFiniteError, **facts: Any) -> NonFiniteError:
        """Keep the input of non-finite actions on file; return an error that also names possible causes.

        facts: record, acting (the state before), mode (train or eval), step, updates, frames.
        """
        causes = [f"observation {key}" for key in nonfinite_dump.nonfinite_keys(facts["record"])]
        weights = {name: value.detach().cpu() for name, value in self.agent.named_parameters()}
        causes += [f"weights {name}" for name in nonfinite_dump.nonfinite_keys(weights)[:3]]
        error = NonFiniteError([*error.names, *causes])
        self.show(f"See: python dreamer.py debug-batch {self._dump(error, facts)}")
        return error

    def _dump(self, error: NonFiniteError, facts: dict[str, Any]) -> Path:
        """Write the file; a full disk is reported and does not stop the run."""
        encoded = [encode_space(self.envs.obs_space), encode_space(self.envs.act_space)]
        state = {"config": self.config, "spaces": encoded, "agent": self.agent.state_dict(), "names": error.names}
        try:
            return nonfinite_dump.save(self.folder / NONFINITE_FOLDER, state | facts)
        except (OSError, UserError) as failure:
            self.show(f"The batch could not be written: {failure}")
            return self.folder / NONFINITE_FOLDER / nonfinite_dump.FILE_NAMES[0]
