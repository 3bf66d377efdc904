"""Runs whose dreams are shown: their agents, and whether they fit one environment. Their observations may differ."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from gymnasium import spaces

from common.agent.agent import Agent
from common.envs import SUITES
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
    """A trained agent.

    name: the run directory, as short as possible. frames: environment frames of its training. space: what it observes.
    """

    name: str
    config: dict
    agent: Agent
    frames: int
    space: spaces.Dict


def load_runs(logdirs: Sequence[str], adjust: Callable[[dict], dict] = lambda config: config) -> list[Run]:
    """Load the newest checkpoints of one to four runs that fit one environment.

    adjust: changes each stored config, such as its device.

    Raises:
        UserError: too many runs, no checkpoint, a malformed one, or runs of different tasks, actions or action repeat.
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
    return Run(name, config, agent.requires_grad_(False), state["frames"], found.observation)


def check_alike(folders: Sequence[Path], configs: Sequence[dict], found: Sequence[stored_spaces.Spaces]) -> None:
    """Raise UserError unless all runs can share one environment and its actions.

    With different `env.actions`, only the environment knows which actions are shared.
    """
    one_set = len({config["env"]["actions"] for config in configs}) == 1
    facts = [
        {
            "task": (same_game(config["task"]), config["task"]),
            "env.repeat": (config["env"]["repeat"],) * 2,
            "actions": (one_set and own.action, own.action),
        }
        for config, own in zip(configs, found, strict=True)
    ]
    for folder, other in zip(folders, facts, strict=True):
        for key, (value, shown) in other.items():
            if value != facts[0][key][0]:
                raise UserError(
                    f"{folders[0]} and {folder} differ in their {key}: {facts[0][key][1]} and {shown}, so they cannot "
                    f"take the same steps. Show them separately: --logdir {folder}."
                )


def same_game(task: str) -> tuple[str, str]:
    """Return what is equal for tasks that only their settings distinguish, such as atari_pong and atari100k_pong."""
    prefix, _, name = task.partition("_")
    return (SUITES[prefix].module, name) if prefix in SUITES else ("", task)


def short_names(folders: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that differ from each other."""
    parts = [folder.absolute().parts for folder in folders]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{folder.name} ({number})" for number, folder in enumerate(folders, 1)]


def check_observations(observed: Sequence[spaces.Dict], runs: Sequence[Run]) -> None:
    """Raise UserError unless each run was trained with the observations that the environment now has for it."""
    form = lambda space: {key: (box.shape, box.dtype) for key, box in space.items()}
    for space, run in zip(observed, runs, strict=True):
        if form(space) != form(run.space):
            now, then = (
                ", ".join(f"{key} {box.shape} {box.dtype}" for key, box in x.items()) for x in (space, run.space)
            )
            raise UserError(
                f"{run.name} was trained with other observations ({then}) than {run.config['task']} has now ({now}). "
                f"Omit flags that change observations, or train again."
            )


def picture_key(images: Iterable[str], runs: Sequence[Run], wanted: str = "") -> str | None:
    """Return the image to show; None if there is none to show.

    images: image keys of the environment. wanted: a key, "none", or "" for the first one that every run predicts. Runs
    that do not observe an image need not predict it.

    Raises:
        UserError: no such image, or a run observes it and does not predict it.
    """
    images = list(images)
    if wanted == NO_PICTURE or (not images and not wanted):
        return None
    blind = lambda key: [r for r in runs if key in r.space.keys() and key not in r.agent.world.decoder.images]  # noqa: SIM118
    predicted = [key for key in images if not blind(key)]
    advice = f"Show another observation: --key {predicted[0] if predicted else NO_PICTURE}."
    if wanted and wanted not in images:
        known = f"Its images are {', '.join(images)}" if images else "It has no images, only vectors"
        raise UserError(f"The environment has no image {wanted!r}. {known}. Omit --key, or see `--key {NO_PICTURE}`.")
    key = wanted or (predicted or list(images))[0]
    for run in blind(key):
        keys = run.config["decoder"]["keys"]
        raise UserError(f"{run.name} has no decoder for {key!r}: its decoder.keys is {keys!r}. {advice}")
    return key
