"""What to do after the demo: commands, each with what it is for."""

import shlex
from typing import NamedTuple

from common.analysis.report.run_collection import Runs


class NextStep(NamedTuple):
    """A command and what it does."""

    purpose: str
    command: str


def next_steps(runs: Runs) -> list[NextStep]:
    """Return the next steps after the demo; [] for the runs of other commands."""
    if runs.grid.get("kind") != "demo":
        return []
    folder, last = shlex.quote(str(runs.folder)), runs.runs[-1]
    logdir, steps = shlex.quote(str(last.logdir)), 2 * last.config["steps"]
    return [
        NextStep("Train the same agents longer", f"python dreamer.py demo --logdir {folder} --steps {steps}"),
        NextStep("Train more seeds", f"python dreamer.py demo --logdir {folder} --seeds 3"),
        NextStep("Evaluate an agent and film it", f"python dreamer.py eval --logdir {logdir} --episodes 10 --video 1"),
        NextStep(
            "Train on another task",
            "python dreamer.py --algo v3 --configs cpu --task gym_Pendulum-v1 --logdir logs/pendulum",
        ),
        NextStep(
            "Remove one idea of V3 and compare",
            "python dreamer.py ablate v3 --drop retnorm --setting cpu --tasks gym_Pendulum-v1",
        ),
        NextStep("See what differs between versions", "python dreamer.py explain v1 v3"),
    ]
