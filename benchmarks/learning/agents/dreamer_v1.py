"""danijar/dreamer: the official V1, started by its function `main`.

Its settings come from `define_config` and the flags of the run. Changed from outside:

- Names that TensorFlow, NumPy and gym no longer have: `tensorflow_today`.
- The environment is that of this project, wrapped by the official action wrapper, `Collect` and `RewardObs`. True ends
  have discount 0 and time limits 1. The evaluation at the start plays an environment of its own.
- Observations that are vectors: V1 has networks for images only. Its encoder is replaced by dense layers, its decoder
  by its own `DenseDecoder`, and observations are not divided by 255. They keep the key `image`.
- The replay draws with the seed of the run. In the official program it always has the seed 0.
"""

import argparse
import contextlib
import functools
import json
import sys
from pathlib import Path

import numpy as np

from benchmarks.learning.agents import tensorflow_today
from benchmarks.learning.episodes import BudgetSpent, Episodes

#: Metric of the official program -> name in this project. Losses have their constants; `pcont_loss` has its scale.
METRICS = {
    "div": "train/kl",
    "post_ent": "train/post_entropy",
    "prior_ent": "train/prior_entropy",
    "action_ent": "train/entropy",
    "image_loss": "loss/observation",
    "reward_loss": "loss/reward",
    "pcont_loss": "loss/con",
    "value_loss": "loss/critic",
    "actor_loss": "loss/actor",
}


class OldEnv:
    """An environment with V1's interface: dict observations with the key `image`, four results of a step."""

    def __init__(self, episodes: Episodes, seed: int):
        self.episodes = episodes
        self.action_space = episodes.action
        self.action_space.seed(seed)
        self._random = np.random.RandomState(seed)  # OneHotAction draws random actions from it

    def reset(self):
        return {"image": self.episodes.reset()}

    def step(self, action):
        observation, reward, terminated, truncated = self.episodes.step(action)
        info = {"discount": np.array(0.0 if terminated else 1.0, np.float32)}
        return {"image": observation}, reward, terminated or truncated, info


def train(job, logdir: Path, episodes: Episodes) -> dict:
    """Train the agent until the budget is spent. Return its parameters, updates and metrics."""
    tensorflow_today.install()
    sys.path.insert(0, job.checkout)
    import models
    import tools
    import wrappers

    import dreamer

    agents = remember_agents(dreamer)
    evaluation = Episodes(job.task, job.settings["env"], job.seed, job.frames, index=1)
    dreamer.make_env = functools.partial(make_env, dreamer, wrappers, episodes, evaluation, job.seed)
    dreamer.tools.load_episodes = functools.partial(tools.load_episodes, seed=job.seed)
    if not episodes.is_image:
        use_vectors(dreamer, models, tools, episodes.observation.shape[0], job.settings["patches"])
    with contextlib.suppress(BudgetSpent):
        dreamer.main(make_config(dreamer, job, logdir))
    optimizers = [getattr(agents[0], f"_{part}_opt") for part in ("model", "value", "actor")]
    return {
        "parameters": sum(tensorflow_today.count_numbers(optimizer._variables) for optimizer in optimizers),
        "updates": int(optimizers[0]._opt.iterations.numpy()),
        "metrics": read_metrics(logdir / "metrics.jsonl", METRICS),
    }


def make_config(dreamer, job, logdir):
    """Return the official configuration with the flags of the run; a key that it does not have is an error."""
    config = dreamer.define_config()
    for key, value in {**job.settings["flags"], "logdir": logdir, "seed": job.seed, "task": job.task}.items():
        if key not in config:
            raise KeyError(f"The official V1 has no setting {key}.")
        config[key] = value
    return argparse.Namespace(**config)


def remember_agents(dreamer) -> list:
    """Return a list that will hold the agents that the program makes."""
    made, make = [], dreamer.Dreamer.__init__

    def remember(agent, *args, **kwargs):
        made.append(agent)
        make(agent, *args, **kwargs)

    dreamer.Dreamer.__init__ = remember
    return made


def make_env(dreamer, wrappers, episodes, evaluation, seed, config, writer, prefix, datadir, store):
    """Return the environment for training, which stores its episodes, or the one for evaluation."""
    env = OldEnv(episodes if prefix == "train" else evaluation, seed)
    env = wrappers.OneHotAction(env) if hasattr(env.action_space, "n") else wrappers.NormalizeActions(env)
    callbacks = [lambda episode: dreamer.tools.save_episodes(datadir, [episode])] if store else []
    return wrappers.RewardObs(wrappers.Collect(env, callbacks, config.precision))


def use_vectors(dreamer, models, tools, size, layers) -> None:
    """Give the agent dense layers for observations (size,). layers: of the encoder and decoder, with units."""
    import tensorflow as tf
    from tensorflow.keras.layers import Dense

    class DenseEncoder(tools.Module):
        def __call__(self, obs):
            hidden = obs["image"]
            for layer in range(layers["encoder_layers"]):
                hidden = self.get(f"h{layer}", Dense, layers["encoder_units"], tf.nn.elu)(hidden)
            return hidden

    def preprocess(obs, config):
        limit = {"none": tf.identity, "tanh": tf.tanh}[config.clip_rewards]
        return {**obs, "image": tf.cast(obs["image"], tf.float32), "reward": limit(obs["reward"])}

    models.ConvEncoder = lambda depth, act: DenseEncoder()
    models.ConvDecoder = lambda depth, act: models.DenseDecoder(
        (size,), layers["decoder_layers"], layers["decoder_units"], act=tf.nn.elu
    )
    dreamer.preprocess = preprocess


def read_metrics(path: Path, names: dict[str, str]) -> list[dict]:
    """Return the lines of a metrics file that hold training metrics, with the names of this project."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    found = [{names[key]: value for key, value in line.items() if key in names} for line in lines]
    return [{"frames": line["step"], **values} for line, values in zip(lines, found, strict=True) if values]
