"""From an environment and runs to a page or a film: what `dream` and `play` have in common."""

import importlib.util
import sys
from collections.abc import Sequence
from typing import Any

import torch

from common.errors import UserError
from common.files import make_output_folder
from common.safe_io import expand_path
from common.viewer import films, script
from common.viewer.environment import Environment
from common.viewer.runs import Run, check_observations, picture_key
from common.viewer.session import HISTORY_STEPS, Session

PACKAGES = ("starlette", "uvicorn", "websockets")


def check_options(own: dict[str, Any]) -> None:
    """Raise UserError for flags that cannot work, or missing packages, before anything is loaded."""
    if own["record"]:
        check_film(own)
    else:
        require_packages()
        if not 0 <= own["port"] < 2**16:
            raise UserError(f"--port is from 0 to 65535, got {own['port']}.")
        if own["actions"]:
            raise UserError("--actions is the script of a film: add --record FILE.")
    if own["grace"] < 0:
        raise UserError(f"--grace is 0 or more seconds, got {own['grace']:g}.")


def check_film(own: dict[str, Any]) -> None:
    """Raise UserError if a film cannot be written, or has no steps."""
    path = expand_path(own["record"])
    films.check_format(path.suffix)
    make_output_folder(path.parent, "--record")
    if not own["actions"] and not 0 < own["steps"] <= script.MAX_STEPS:
        raise UserError(f"--steps of a film is from 1 to {script.MAX_STEPS:,}, got {own['steps']}.")


def require_packages() -> None:
    """Raise UserError if a package of the page is not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"The page needs other packages: pip install {' '.join(missing)}. --record FILE works without them."
        )


def show(environment: Environment, runs: Sequence[Run], own: dict[str, Any], config: dict) -> None:
    """Serve the page of a session, or write its film; close the environment afterwards.

    own: the flags of the command. config: has the seed and `run.threads`. Without a number, torch gets one thread,
    which is faster for a batch of one and leaves the other cores to the environment and the browser.

    Raises UserError as `check_observations`, `picture_key`, `serve` and `run_script` do.
    """
    torch.set_num_threads(config["run"]["threads"] or 1)
    try:
        check_observations([environment.copies[place].obs_space for place in environment.views], runs)
        key = picture_key(environment.images, runs, own["key"])
        session = Session(environment, runs, key, config["seed"], memory=None if own["record"] else HISTORY_STEPS)
        if own["record"]:
            record(session, own)
        else:
            from common.viewer.server import serve  # not earlier: its packages are optional

            serve(session, port=own["port"], browser=not own["no-browser"], grace=own["grace"])
    finally:
        environment.close()


def record(session: Session, own: dict[str, Any]) -> None:
    """Write the film of a script, or of steps in which the agent acts, or without an agent chance."""
    path, actor = expand_path(own["record"]), "agent" if session.dreamers else "random"
    lines = script.read_script(own["actions"]) if own["actions"] else [(1, [actor, str(own["steps"])])]
    script.run_script(session, lines, own["actions"] or "--steps")
    for message in session.environment.messages():
        print(message, file=sys.stderr)
    pictures = films.film(session)
    films.write(path, pictures, session.settings.speed)
    print(f"{path}: {len(pictures)} frames of {session.environment.task}, {len(session.dreamers)} dream(s).")
