"""danijar/dreamerv2: the official V2, started by its function `api.train`.

Its settings come from the block `defaults` of its file and the flags of the run. Changed from outside:

- Names that TensorFlow, NumPy, ruamel.yaml and gym no longer have: `tensorflow_today`.
- `train.py` asserts a GPU. `api.train` has the same loop, without evaluation.
- Videos are not made.
- The replay begins every row of a batch with a newly drawn sequence, as ours does. The official one cuts one endless
  chain of sequences into rows. With episodes shorter than a row, its rows begin in the middle of a sequence and carry a
  state over from another row.
- The replay gives the last window of an episode the extra chances of the run's setting. The official number is the
  minimum length of an episode, which must be 1 on tasks with short episodes. The replay has the seed of the run.
"""

import contextlib
import sys
from pathlib import Path

import numpy as np

from benchmarks.learning.agents import tensorflow_today
from benchmarks.learning.agents.dreamer_v1 import read_metrics
from benchmarks.learning.episodes import BudgetSpent, Episodes

SHARED_NAMES = ("common", "agent", "expl")  # modules of the checkout; `common` is also a package of this project

#: Metric of the official program -> name in this project. Losses have their constants.
METRICS = {
    "model_kl": "train/kl",
    "post_ent": "train/post_entropy",
    "prior_ent": "train/prior_entropy",
    "actor_ent": "train/entropy",
    "critic": "train/value",
    "vector_loss": "loss/observation",
    "image_loss": "loss/observation",
    "reward_loss": "loss/reward",
    "discount_loss": "loss/con",
}


class OldEnv:
    """An environment with the old gym interface and dict observations."""

    def __init__(self, episodes: Episodes):
        import gymnasium

        self.episodes = episodes
        self.action_space = episodes.action
        self.observation_space = gymnasium.spaces.Dict({episodes.key: episodes.observation})

    def reset(self):
        return {self.episodes.key: self.episodes.reset()}

    def step(self, action):
        observation, reward, terminated, truncated = self.episodes.step(action)
        return {self.episodes.key: observation}, reward, terminated or truncated, {"is_terminal": terminated}


def train(job, logdir: Path, episodes: Episodes) -> dict:
    """Train the agent until the budget is spent. Return its parameters, updates and metrics."""
    tensorflow_today.install()
    tensorflow_today.old_yaml()
    sys.path.insert(0, str(Path(job.checkout) / "dreamerv2"))
    with modules_aside(SHARED_NAMES):
        import api
    common, agents = api.common, []

    class Agent(api.agent.Agent):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            agents.append(self)

    api.agent.Agent = Agent
    common.Logger.video = lambda *args: None
    common.Replay = make_replay_class(common.Replay, job.settings["patches"]["ends"], job.seed)
    flags = {**job.settings["flags"], "logdir": str(logdir), "log_keys_video": [episodes.key], "task": job.task}
    with contextlib.suppress(BudgetSpent):
        api.train(OldEnv(episodes), api.defaults.update(flags), [common.JSONLOutput(logdir)])
    return {**describe(agents[0]), "metrics": read_metrics(logdir / "metrics.jsonl", METRICS)}


def describe(agent) -> dict:
    """Return trained parameters and updates of an agent."""
    world, behavior = agent.wm, agent._task_behavior
    trained = [world.encoder, world.rssm, *world.heads.values(), behavior.actor, behavior.critic]
    variables = [variable for module in trained for variable in module.variables]
    return {
        "parameters": tensorflow_today.count_numbers(variables),
        "updates": int(behavior._updates.numpy()),
    }


@contextlib.contextmanager
def modules_aside(names):
    """Import modules of these names from elsewhere; afterwards the names are again those of this project."""
    ours = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in names}
    for name in ours:
        del sys.modules[name]
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] in names]:
            del sys.modules[name]
        sys.modules.update(ours)


def make_replay_class(official, ends: int, seed: int):
    """Return the official replay with rows that begin with a new sequence. ends: extra chances of the last window."""

    class FreshRows(official):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.rng = np.random.default_rng(seed)

        def _generate_chunks(self, length):
            while True:
                parts, missing = [], length
                while missing:
                    parts.append({key: value[:missing] for key, value in self._sample_sequence().items()})
                    missing -= len(parts[-1]["action"])
                yield {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

        def _sample_sequence(self):
            stored = list(self._complete_eps.values())
            episode = stored[self.rng.integers(len(stored))]
            total = len(episode["action"])
            size = min(total, self._maxlen)
            begin = min(self.rng.integers(total - size + 1 + ends), total - size)
            window = {key: np.array(value[begin : begin + size]) for key, value in episode.items()}
            return window | {"is_first": np.arange(size) == 0}

    return FreshRows
