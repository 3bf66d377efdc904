"""Checks of environment suites: is the package installed, does a task start, step and draw."""

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.doctor.check import BROKEN, MISSING, OK, DoctorCheck
from common.envs import SUITES, Suite, is_installed, make_env
from common.envs.suites import not_installable
from common.errors import UserError

ROOT = str(Path(__file__).parents[__name__.count(".")])  # the folder from which this module is imported
STEPS = 5
SECONDS = 180.0  # for one suite; Memory Maze takes half a minute on a busy machine


def suites() -> Iterator[DoctorCheck]:
    """Check each suite in a process of its own: a package that crashes, exits or hangs breaks its own line only."""
    for prefix, suite in SUITES.items():
        yield check_suite(prefix, suite)
    for prefix in not_installable.NEEDS:
        yield DoctorCheck(prefix, MISSING, "not a suite here", not_installable.requirement(prefix), needed=False)


def check_suite(prefix: str, suite: Suite) -> DoctorCheck:
    """Check one suite with its example task."""
    install = f"pip install {suite.package}"
    if not is_installed(suite.package):
        return DoctorCheck(prefix, MISSING, f"{suite.package} is not installed", install, needed=False)
    version = f"{suite.example}, {suite.package} {importlib.metadata.version(suite.package)}"
    code = f"from {__name__} import main; main({suite.example!r})"
    command = [sys.executable, "-P", "-c", code]  # -P: no modules of the working folder
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return DoctorCheck(prefix, BROKEN, f"{version}: no answer in {SECONDS:.0f} s", install, needed=False)
    try:
        status, found = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):  # the process died before it could answer
        last = (done.stderr.strip().splitlines() or [""])[-1]
        status, found = BROKEN, f"its process ended with exit code {done.returncode}. {last}"
    return DoctorCheck(prefix, status, f"{version}: {found}", install, needed=False)


def main(task: str) -> None:
    """Print status and result of a task as JSON."""
    try:
        answer = [OK, play(task)]
    except UserError as error:
        answer = [BROKEN, str(error)]
    print(json.dumps(answer))


def play(task: str) -> str:
    """Make an environment, step it and draw it; return what it did. Raises UserError if it does not step."""
    env = make_env(task, {"film": True})
    env.reset()
    for _ in range(STEPS):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()
    images = [key for key, space in _spaces(env).items() if len(space.shape) == 3]
    return f"{STEPS} steps, {f'image {images[0]!r}' if images else _drawing(env)}"


def _spaces(env: Any) -> dict[str, Any]:
    return dict(env.observation_space.items())


def _drawing(env: Any) -> str:
    """Return what `render` gives; drawing is not needed for training."""
    try:
        picture = env.render()
    except UserError as error:
        return f"draws nothing ({error})"
    return "draws nothing" if picture is None else f"draws {picture.shape[1]} x {picture.shape[0]} pixels"
