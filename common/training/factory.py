"""Makes the pieces of a run from its config."""

from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from common.nn.machine import resolve_device

EVAL_SEED_OFFSET = 1_000_003  # evaluation environments are seeded by the run's seed plus this


class Factory:
    """Builds environments, replay, schedule and agent; tests put their own pieces in its place."""

    def envs(self, config: dict, *, evaluate: bool = False) -> Any:
        """Training environments, or those for evaluation."""
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

    def agent(self, obs_space: Any, act_space: Any, config: dict) -> Any:
        """The agent."""
        from common.agent.agent import Agent

        return Agent(obs_space, act_space, config, resolve_device(config["run"]["device"]))

    def schedule(self, config: dict) -> Any:
        """What says how many updates are due."""
        from common.config import parts

        return parts.build("schedule", config["schedule"])

    def loop(self, config: dict, **pieces: Any) -> Any:
        """What trains with these pieces."""
        from common.training.loop import Loop

        return Loop(config, **pieces)

    def replay(self, config: dict, spec: dict, streams: int, folder: Path) -> Any:
        """An empty replay for records of `spec`, kept in `folder` if it is to live on disk."""
        from common.config import parts
        from common.replay import Replay, pinned

        options = dict(config["replay"])
        directory = folder if options.pop("disk") else None
        if resolve_device(config["run"]["device"]).startswith("cuda"):
            options["empty"] = pinned
        sampler = parts.build("sampler", config["sampler"])
        return Replay(spec, streams, sampler=sampler, seed=config["seed"], directory=directory, **options)


def record_spec(obs_space: Any, agent: Any) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and dtype of every entry of a record: observations, reward, flags, action and what the agent adds."""
    return record_fields(obs_space, agent.random(1)[1]["action"].shape[1:], agent.latent_spec())


def record_fields(
    obs_space: Any, action: tuple[int, ...], latents: dict
) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """The same from the shape of an action, and shape and dtype of the latents."""
    spec = {key: (box.shape, box.dtype) for key, box in obs_space.items()}
    spec |= {"reward": ((), np.dtype(np.float32)), "action": (action, np.dtype(np.float32))}
    spec |= {key: ((), np.dtype(bool)) for key in ("is_first", "is_last", "is_terminal")}
    return spec | {key: (tuple(shape), np.dtype(dtype)) for key, (shape, dtype) in latents.items()}
