"""Train one official agent in this process, and write its scores: the start script of `benchmarks/learning`.

    PYTHON benchmarks/learning/start.py JOB.json

PYTHON has the packages of the official agent. The job is a file with the fields of `Job`; the result goes to its `out`.
`python -m benchmarks.learning` writes the job and runs this script.
"""

import importlib
import importlib.metadata
import json
import platform
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("jax", "jaxlib", "optax", "ninjax", "elements", "tensorflow-cpu", "tensorflow", "tensorflow-probability")
PACKAGES += ("numpy", "gymnasium")


class Job(NamedTuple):
    """One run of an official agent.

    checkout: folder of the official code. frames: environment steps; resets do not count. settings: `env`, the options
    of the environment; `flags` of the official program; `patches`, numbers for the changes that its module makes.
    """

    version: str
    checkout: str
    task: str
    seed: int
    frames: int
    settings: dict
    out: str


def run(job: Job) -> dict:
    """Train the agent. Return frames and scores of its episodes, updates, parameters, metrics and packages."""
    from benchmarks.learning.episodes import Episodes

    agent = importlib.import_module(f"benchmarks.learning.agents.dreamer_{job.version}")
    episodes = Episodes(job.task, job.settings["env"], job.seed, job.frames)
    with tempfile.TemporaryDirectory(prefix="official_") as logdir:
        found = agent.train(job, Path(logdir), episodes)
    if episodes.frames < job.frames:
        raise RuntimeError(f"The official program ended after {episodes.frames} of {job.frames} frames.")
    frames, scores = zip(*episodes.finished, strict=True) if episodes.finished else ((), ())
    return {"frames": frames, "scores": scores, **found, "python": platform.python_version(), "packages": packages()}


def packages() -> dict[str, str]:
    """Return the versions of those packages that are installed and matter for training."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    sys.path[:1] = []  # this folder: its modules are imported by their full names
    sys.path.append(str(ROOT))
    wanted = Job(**json.loads(Path(sys.argv[1]).read_text()))
    Path(wanted.out).write_text(json.dumps(run(wanted)))
