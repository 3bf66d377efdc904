"""Measured world models of a comparison, read from its folder."""

from pathlib import Path
from typing import Any, NamedTuple

from common.analysis.report.run_collection import LeftOut, read_grid
from common.analysis.report.run_data import read_json
from common.errors import UserError
from common.safe_io import is_finite_number
from common.storage.logdir import stored_config

KIND = "wm-eval"  # of a grid
PROTOCOL_FILE, RESULT_FILE = "world_models.json", "world_model.json"  # of the comparison, and of each run
NEEDED = ("open_loop", "one_step", "own_loss", "kl", "calibration", "latents", "baselines", "images", "updates")


class WorldModelRun(NamedTuple):
    """One measured world model. result: `world_model.json`. info: `run.json`."""

    variant: str
    seed: int
    logdir: Path
    config: dict[str, Any]
    result: dict[str, Any]
    info: dict[str, Any]


class WorldModels(NamedTuple):
    """All measured runs of a comparison, its grid, the facts about its data, and the runs that are left out."""

    folder: Path
    grid: dict[str, Any]
    about: dict[str, Any]
    runs: list[WorldModelRun]
    left_out: list[LeftOut]

    @property
    def variants(self) -> list[str]:
        """Names of the variants that have a measured run, in the grid's order."""
        return [name for name in self.grid["variants"] if any(run.variant == name for run in self.runs)]

    def of(self, variant: str) -> list[WorldModelRun]:
        """Return the runs of a variant, by seed."""
        return sorted((run for run in self.runs if run.variant == variant), key=lambda run: run.seed)


def is_comparison(folder: Path) -> bool:
    """Whether a folder holds a comparison of world models. Raises UserError if its grid is malformed."""
    return read_grid(folder).get("kind") == KIND


def collect(folder: Path) -> WorldModels:
    """Read all measured runs of a comparison. Raises UserError if there are none."""
    grid = read_grid(folder)
    if grid.get("kind") != KIND:
        raise UserError(f"{folder} is not a comparison of world models. Give the --logdir of a wm-eval command.")
    about = read_json(folder / PROTOCOL_FILE)
    runs: list[WorldModelRun] = []
    left_out: list[LeftOut] = []
    for job in grid["jobs"]:
        logdir = folder / job["logdir"]
        try:
            runs.append(_read(logdir, job["variant"], job["seed"]))
        except UserError as error:
            left_out.append(LeftOut(job["name"], job["status"], str(job.get("error") or error)))
    if not runs:
        reasons = "".join(f"\n  {name}: {reason}" for name, _, reason in left_out)
        raise UserError(f"{folder} has no measured world model yet.{reasons}\nRerun the wm-eval command to finish it.")
    return WorldModels(folder, grid, about, runs, left_out)


def _read(logdir: Path, variant: str, seed: int) -> WorldModelRun:
    path = logdir / RESULT_FILE
    if not path.exists():
        raise UserError("it is not measured yet")
    result = read_json(path)
    if not isinstance(result, dict) or not all(key in result for key in NEEDED):
        raise UserError(f"{path} is damaged. Remove it and rerun the wm-eval command.")
    info = read_json(logdir / "run.json") if (logdir / "run.json").exists() else {}
    known = {key: value for key, value in info.items() if is_finite_number(value)} if isinstance(info, dict) else {}
    sessions = info.get("sessions") if isinstance(info, dict) else None
    return WorldModelRun(variant, seed, logdir, stored_config(logdir), result, known | {"sessions": sessions or [{}]})
