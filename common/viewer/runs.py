"""Runs whose dreams are shown: their agents, and whether they fit one environment."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from common.agent.agent import Agent
from common.errors import UserError
from common.storage import spaces as stored_spaces
from common.storage.logdir import stored_config
from common.storage.run_source import find_run
from common.storage.saved_agent import load_saved_agent
from common.training.factory import Factory
from common.training.saved_networks import load_networks

MAX_RUNS = 4
NO_PICTURE = "none"  # value of --key


class Run(NamedTuple):
    """A trained agent. name: the run directory, as short as possible. frames: environment frames of its training."""

    name: str
    config: dict
    agent: Agent
    frames: int


def load_runs(logdirs: Sequence[str], adjust: Callable[[dict], dict] = lambda config: config) -> list[Run]:
    """Load the newest checkpoints of one to four runs that fit one environment.

    adjust: changes each stored config, such as its device.

    Raises:
        UserError: too many runs, no checkpoint, a malformed one, or runs of different tasks, spaces or action repeat.
    """
    if not 1 <= len(logdirs) <= MAX_RUNS:
        raise UserError(f"Give 1 to {MAX_RUNS} run directories, got {len(logdirs)}: --logdirs logs/v1 logs/v2.")
    folders = [find_run(logdir) for logdir in logdirs]
    configs, found = [adjust(stored_config(folder)) for folder in folders], list(map(stored_spaces.read, folders))
    check_alike(folders, configs, found)
    return [
        load_run(folder, name, config, own)
        for folder, name, config, own in zip(folders, short_names(folders), configs, found, strict=True)
    ]


def load_run(folder: Path, name: str, config: dict, found: stored_spaces.Spaces) -> Run:
    """Load one run with its stored spaces."""
    state = load_saved_agent(folder)
    agent = load_networks(Factory(), found.observation, found.action, config, state, folder)
    return Run(name, config, agent.requires_grad_(False), state["frames"])


def check_alike(folders: Sequence[Path], configs: Sequence[dict], found: Sequence[stored_spaces.Spaces]) -> None:
    """Raise UserError unless all runs can share one environment and its actions."""
    facts = [
        {
            "task": config["task"],
            "env.repeat": config["env"]["repeat"],
            "observations": stored_spaces.encode_space(own.observation),
            "actions": stored_spaces.encode_space(own.action),
        }
        for config, own in zip(configs, found, strict=True)
    ]
    for folder, other in zip(folders, facts, strict=True):
        for key, value in other.items():
            if value != facts[0][key]:
                shown = "" if isinstance(value, dict) else f": {facts[0][key]} and {value}"
                raise UserError(
                    f"{folders[0]} and {folder} differ in their {key}{shown}, so they cannot share one environment. "
                    f"Show them separately: --logdir {folder}."
                )


def short_names(folders: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that differ from each other."""
    parts = [folder.absolute().parts for folder in folders]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{folder.name} ({number})" for number, folder in enumerate(folders, 1)]


def picture_key(images: Sequence[str], runs: Sequence[Run], wanted: str = "") -> str | None:
    """Return the image to show; None if there is none to show.

    images: image keys of the environment. wanted: a key, "none", or "" for the first one that every run predicts.

    Raises:
        UserError: no such image, or a run does not predict it.
    """
    if wanted == NO_PICTURE or (not images and not wanted):
        return None
    predicted = [key for key in images if all(key in run.agent.world.decoder.images for run in runs)]
    advice = f"Show another observation: --key {predicted[0] if predicted else NO_PICTURE}."
    if wanted and wanted not in images:
        known = f"Its images are {', '.join(images)}" if images else "It has no images, only vectors"
        raise UserError(f"The environment has no image {wanted!r}. {known}. Omit --key, or see `--key {NO_PICTURE}`.")
    key = wanted or (predicted or list(images))[0]
    for run in runs:
        if key not in run.agent.world.decoder.images:
            keys = run.config["decoder"]["keys"]
            raise UserError(f"{run.name} has no decoder for {key!r}: its decoder.keys is {keys!r}. {advice}")
    return key
