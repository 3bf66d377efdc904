"""Construction of the parts of a run from its config."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from common.errors import UserError
from common.nn.machine import resolve_device

if TYPE_CHECKING:  # commands that build no agent start faster
    from common.agent.agent import Agent
    from common.agent.interfaces import Schedule
    from common.replay import Replay
    from common.training.collector import VectorEnvs
    from common.training.loop import Loop

EVAL_SEED_OFFSET = 1_000_003  # added to the run's seed for the evaluation environments

Spec = dict[str, tuple[tuple[int, ...], np.dtype]]  # name -> shape and dtype of an entry of a record


class Factory:
    """Builds environments, replay, schedule, agent and loop; tests replace some of them."""

    def envs(self, config: dict[str, Any], *, evaluate: bool = False) -> VectorEnvs:
        """Build the training environments, or those for evaluation. Raises UserError if that takes too long."""
        from common.envs import make_envs
        from common.signals import deadline

        run = config["run"]
        count = max(1, min(run["eval_envs"], run["eval_episodes"])) if evaluate else run["envs"]
        seed = config["seed"] + (EVAL_SEED_OFFSET if evaluate else 0)
        env = config["env"] | ({"life_loss": "ignore"} if evaluate else {})  # evaluation plays whole games
        try:
            with deadline(env.get("timeout", 0)):
                return make_envs(config["task"], env, count, seed, run["parallel"])
        except TimeoutError as error:
            raise UserError(
                f"{config['task']} could not be made: {error}. Raise --env.timeout, or see where it waits with "
                f"`python dreamer.py check-env {config['task']}`."
            ) from error

    def agent(self, obs_space: spaces.Dict, act_space: spaces.Space, config: dict[str, Any]) -> Agent:
        """Build the agent on `run.device`."""
        from common.agent.agent import Agent

        return Agent(obs_space, act_space, config, resolve_device(config["run"]["device"]))

    def schedule(self, config: dict[str, Any]) -> Schedule:
        """Build the schedule, which says when updates are due."""
        from common.config import parts

        return parts.build("schedule", config["schedule"])

    def loop(self, config: dict[str, Any], **pieces: Any) -> Loop:
        """Build the training loop; `pieces` are the arguments of `Loop`."""
        from common.training.loop import Loop

        return Loop(config, **pieces)

    def replay(self, config: dict[str, Any], spec: Spec, streams: int, folder: Path) -> Replay:
        """Build an empty replay for records of `spec` from `streams` environments; with `replay.disk`, in `folder`."""
        return self.replay_part(config, spec, streams, folder)

    def replay_part(self, config: dict[str, Any], spec: Spec, streams: int, folder: Path, sharers: int = 1) -> Replay:
        """Build a replay as `replay` does; `sharers` replays share the free memory or disk."""
        from common.config import parts
        from common.replay import Replay, pinned

        options = dict(config["replay"])
        directory = folder if options.pop("disk") else None
        if resolve_device(config["run"]["device"]).startswith("cuda"):
            options["empty"] = pinned
        sampler = parts.build("sampler", config["sampler"])
        options |= {"fill": self.fillable(config, streams), "directory": directory, "sharers": sharers}
        return Replay(spec, streams, sampler=sampler, seed=config["seed"], **options)

    def fillable(self, config: dict[str, Any], streams: int) -> int:
        """Return the records per environment that a run of `steps` frames can store; 0 if the config has no `steps`."""
        from common.replay.capacity import fillable_slots

        if "steps" not in config:
            return 0
        window = config["batch_length"] + config["replay"]["context"]
        return fillable_slots(-(-config["steps"] // config["env"]["repeat"]), streams, window)


def record_spec(obs_space: spaces.Dict, agent: Agent, stored: Collection[str] = ()) -> Spec:
    """Return shape and dtype of every entry of a record: observations, reward, flags, action and latents.

    Observations that neither network reads are not stored, except those in `stored`, the keys of the replay of a
    resumed run: its files keep their form.
    """
    read = {key: box for key, box in obs_space.items() if key in agent.read_keys or key in stored}
    return record_fields(read, agent.random(1)[1]["action"].shape[1:], agent.latent_spec())


def record_fields(
    read: Mapping[str, spaces.Space], action: tuple[int, ...], latents: dict[str, tuple[Any, Any]]
) -> Spec:
    """Return what `record_spec` does, from the observations read and the forms of an action and of the latents."""
    spec: Spec = {key: (box.shape or (), np.dtype(box.dtype)) for key, box in read.items()}
    spec |= {"reward": ((), np.dtype(np.float32)), "action": (action, np.dtype(np.float32))}
    spec |= {key: ((), np.dtype(bool)) for key in ("is_first", "is_last", "is_terminal")}
    return spec | {key: (tuple(shape), np.dtype(dtype)) for key, (shape, dtype) in latents.items()}
