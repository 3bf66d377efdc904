"""Score files of the study: one JSON file for each run, written when it is complete.

    OUT/runs/SIDE/VERSION/TASK/SEED.json

A run with such a file is done. SIDE is `official` or `ours`. The file has the frames and scores of all episodes, the
settings, revisions and packages, the processor time, and the training metrics of each 500 frames.
"""

import json
from pathlib import Path
from typing import NamedTuple

from common.errors import UserError
from common.files import write_text

SIDES = ("official", "ours")
NEEDED = {"frames": list, "scores": list, "budget": int, "revision": str, "cpu_seconds": float}


class Run(NamedTuple):
    """One run of the study."""

    side: str
    version: str
    task: str
    seed: int

    def __str__(self) -> str:
        return f"{self.side}/{self.version}/{self.task}/{self.seed}"

    def path(self, out: Path) -> Path:
        """Return its score file."""
        return out / "runs" / f"{self}.json"


def write_run(out: Path, run: Run, content: dict) -> None:
    """Write a score file, all or nothing."""
    path = run.path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    rounded = content | {"scores": [round(score, 3) for score in content["scores"]]}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in {**run._asdict(), **rounded}.items()]
    write_text(path, "{" + ",\n".join(lines) + "}\n")


def read_run(out: Path, run: Run) -> dict | None:
    """Return the content of a score file; None if the run is not done.

    Raises UserError if the file is damaged.
    """
    path = run.path(out)
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text())
        wrong = [key for key, kind in NEEDED.items() if not isinstance(content[key], kind)]
        named = Run(*(content[field] for field in Run._fields))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a score file ({error!r}). Delete it and rerun the same command.") from error
    if wrong or named != run or len(content["frames"]) != len(content["scores"]):
        raise UserError(f"{path} is not the score file of {run}. Delete it and rerun the same command.")
    return content


def find_runs(out: Path) -> dict[Run, dict]:
    """Return the runs that have a score file, with their content."""
    found = {}
    for path in sorted(out.glob("runs/*/*/*/*.json")):
        side, version, task = path.parent.parts[-3:]
        if side in SIDES and path.stem.isdecimal():
            run = Run(side, version, task, int(path.stem))
            found[run] = read_run(out, run)
    return found
