"""danijar/dreamerv3: the official V3 of 2024, started by its function `main`.

Its settings come from the block `defaults` of its file and the flags of the run. Changed from outside:

- The environment is that of this project, in the official wrappers.
- XLA uses one thread, and the profiler, which no setting turns off, is off.
- Training begins after the frames of the prefill, in which actions are uniformly random, as in this project. The
  official agent acts with its untrained policy and trains as soon as one batch is stored.
- The parameters of actor and critic have learning rates of their own. The official agent has one rate for all.
- Clocks that count seconds are off: no reports and no checkpoints. Metrics are averaged over frames.
"""

import contextlib
import dataclasses
import os
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.learning.episodes import BudgetSpent, Episodes

LOG_EVERY = 500  # frames

#: Metric of the official agent -> name in this project.
METRICS = {
    "rand/action": "train/randomness",
    "ent/action": "train/entropy",
    "rep_ent": "train/post_entropy",
    "dyn_ent": "train/prior_entropy",
    "val": "train/value",
    "loss/dyn": "loss/dyn",
    "loss/con": "loss/con",
    "loss/rew": "loss/reward",
    "loss/vector": "loss/observation",
    "loss/image": "loss/observation",
}
TRAINED = ("enc/", "dyn/", "dec/", "rew/", "con/", "pol/", "val/")
ONE_THREAD = " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def train(job, logdir: Path, episodes: Episodes) -> dict:
    """Train the agent until the budget is spent. Return its parameters, updates and metrics."""
    sys.path.insert(0, job.checkout)
    import embodied.jax
    from dreamerv3 import agent, main

    patches, log = job.settings["patches"], MetricLog(episodes)
    main.make_env = lambda config, index: main.wrap_env(make_env(embodied, episodes), config)
    use_one_thread(embodied.jax.internal)
    turn_off_profiler(embodied.jax.agent)
    agents = watch_training(embodied.jax.agent.Agent, log)
    act_at_random(embodied.jax.agent.Agent, episodes, patches["prefill"], job.seed)
    train_after(embodied.replay.Replay, episodes, patches["prefill"])
    scale_rates(agent.Agent, patches["rates"])
    flags = {**job.settings["flags"], "logdir": str(logdir), "seed": job.seed, "task": job.task}
    with contextlib.suppress(BudgetSpent):
        main.main([f"--{key}={value}" for key, value in flags.items()])
    return {
        "parameters": int(sum(v.size for key, v in agents[0].params.items() if key.startswith(TRAINED))),
        "updates": int(agents[0].n_updates),
        "metrics": log.finish(),
    }


def make_env(embodied, episodes):
    """Return the environment with V3's interface: it resets itself, and a step returns one dict."""
    import elements

    class Env(embodied.Env):
        over = True

        @property
        def obs_space(self):
            space = episodes.observation
            flags = dict.fromkeys(("is_first", "is_last", "is_terminal"), elements.Space(bool))
            return {
                episodes.key: elements.Space(space.dtype, space.shape),
                "reward": elements.Space(np.float32),
                **flags,
            }

        @property
        def act_space(self):
            discrete = hasattr(episodes.action, "n")
            space = (
                elements.Space(np.int32, (), 0, episodes.action.n)
                if discrete
                else elements.Space(np.float32, episodes.action.shape, episodes.action.low, episodes.action.high)
            )
            return {"action": space, "reset": elements.Space(bool)}

        def step(self, action):
            if first := bool(action["reset"] or self.over):
                observation, reward, terminated, truncated = episodes.reset(), 0.0, False, False
            else:
                observation, reward, terminated, truncated = episodes.step(action["action"])
            self.over = terminated or truncated
            flags = {"is_first": first, "is_last": self.over, "is_terminal": terminated}
            return {episodes.key: observation, "reward": np.float32(reward), **flags}

    return Env()


class MetricLog:
    """Means of the agent's metrics, one line every LOG_EVERY frames."""

    def __init__(self, episodes: Episodes):
        self.episodes = episodes
        self.lines: list[dict] = []
        self.sums: dict[str, list[float]] = defaultdict(list)
        self.due = LOG_EVERY

    def add(self, metrics: dict) -> None:
        """Add the metrics of one update."""
        if self.episodes.frames >= self.due:
            self.finish()
            self.due = (self.episodes.frames // LOG_EVERY + 1) * LOG_EVERY
        for key, name in METRICS.items():
            if key in metrics:
                self.sums[name].append(float(metrics[key]))

    def finish(self) -> list[dict]:
        """Add the line of the updates since the last one, if there were any. Return all lines."""
        if self.sums:
            means = {key: float(np.mean(values)) for key, values in self.sums.items()}
            self.lines.append({"frames": self.due, **means})
            self.sums.clear()
        return self.lines


def use_one_thread(internal) -> None:
    """Append to the flags of XLA, which the set-up of the checkout overwrites."""
    setup = internal.setup

    def with_one_thread(**options):
        setup(**options)
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + ONE_THREAD

    internal.setup = with_one_thread


def turn_off_profiler(module) -> None:
    """Change the default of the option, which the configuration does not have."""

    @dataclasses.dataclass
    class Options(module.Options):
        profiler: bool = False

    module.Options = Options


def watch_training(agent_class, log: MetricLog) -> list:
    """Return a list that will hold the trained agent. Its metrics go to the log."""
    trained, update = [], agent_class.train

    def logged(agent, carry, data):
        trained[:] = [agent]
        carry, outs, metrics = update(agent, carry, data)
        log.add(metrics)
        return carry, outs, metrics

    agent_class.train = logged
    return trained


def act_at_random(agent_class, episodes: Episodes, prefill: int, seed: int) -> None:
    """Replace the actions of the first frames, also where the policy keeps its last action."""
    policy, rng = agent_class.policy, np.random.default_rng(seed)

    def random_at_first(agent, carry, obs, mode="train"):
        carry, actions, outs = policy(agent, carry, obs, mode)
        if episodes.frames < prefill:
            actions = {key: draw(agent.act_space[key], value, rng) for key, value in actions.items()}
            carry = (*carry[:-1], {key: place(actions[key], old) for key, old in carry[-1].items()})
        return carry, actions, outs

    agent_class.policy = random_at_first


def draw(space, like: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return uniform actions with the shape and type of others."""
    if space.discrete:
        return rng.integers(space.low, space.high, like.shape).astype(like.dtype)
    return rng.uniform(space.low, space.high, like.shape).astype(like.dtype)


def place(actions: np.ndarray, like: list) -> list:
    """Return the action of each environment as an array on the device of another."""
    import jax

    return [jax.device_put(action, old.sharding) for action, old in zip(actions, like, strict=True)]


def train_after(replay_class, episodes: Episodes, prefill: int) -> None:
    """Let the replay seem empty until the prefill is over: the training loop waits for a length."""
    length = replay_class.__len__
    replay_class.__len__ = lambda replay: length(replay) if episodes.frames >= prefill else 0


def scale_rates(agent_class, rates: dict[str, float]) -> None:
    """Multiply the steps of the modules named in `rates`, such as pol, by a factor."""
    import optax

    make = agent_class._make_opt

    def scale(updates, state, params=None):
        return {key: value * rates.get(key.partition("/")[0], 1.0) for key, value in updates.items()}, state

    scaling = optax.GradientTransformation(lambda params: optax.EmptyState(), scale)
    agent_class._make_opt = lambda agent, **options: optax.chain(make(agent, **options), scaling)
