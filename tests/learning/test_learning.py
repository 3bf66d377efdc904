"""Every version learns a small vector task and a small image task, and fails with a planted fault.

The whole pipeline runs as from the command line: environments, replay, schedule, updates, checkpoint, evaluation.
"""

import itertools

import numpy as np
import pytest

import dreamer
from common.agent.behavior import Behavior
from common.commands.eval import evaluate
from common.experiments.random_policy import random_scores
from common.replay import Replay
from common.training.train import train

pytestmark = pytest.mark.learning

SMALL = {
    "batch_size": 16, "batch_length": 10, "discount": 0.9, "conv.depth": 2, "mlp.*.units": 32, "mlp.*.layers": 1,
    "rssm.deter": 32, "rssm.hidden": 32, "imagination.horizon": 5, "optim.lr.model": 2e-3, "optim.lr.critic": 1e-3,
    "run.prefill": 200, "run.pretrain": 0, "run.eval_every": 0, "run.video_every": 0, "run.save_every": 100_000,
    "run.eval_episodes": 20, "run.threads": 1,
}  # fmt: skip
VERSIONS = {
    "v1": {"optim.lr.actor": 3e-4, "kl.free": 0.0, "kl.scale": 0.1, "latent.stoch": 8, "schedule.every": 10},
    "v2": {"optim.lr.actor": 1e-3, "kl.dyn": 0.08, "kl.rep": 0.02, "schedule.steps": 5},
    "v3": {"optim.lr.actor": 1e-3, "optim.warmup": 10, "schedule.ratio": 32.0},
    "v3-2023": {"optim.lr.actor": 1e-3, "schedule.ratio": 32.0},
}
#: Move a point onto a target, both given as numbers. The best score is about 15, a random one 5.
POINT = {"task": "dummy_point_20", "steps": 4500}
#: A cue, new at every step, names the arm that pays 1. The best score is 10, a random one 2.5.
BANDIT = {"task": "dummy_bandit", "steps": 4000}
#: A picture shows the last action; the reward is its number / 3. The best score is 20, a random one 10.
PICTURE = {"task": "dummy_onehot_image", "steps": 2000, "batch_size": 8, "batch_length": 8}
SOLVED = {"dummy_point_20": 11.0, "dummy_bandit": 5.5, "dummy_onehot_image": 17.5}
#: Settings of a version for one of the tasks: V3 needs higher learning rates.
FAST = {"latent.stoch": 8, "latent.classes": 8, "optim.lr.model": 4e-3, "optim.lr.critic": 2e-3, "optim.lr.actor": 2e-3}
#: V1's actor settles on one arm before its world model knows which arm pays, unless the model learns faster than usual.
EXTRA = {
    ("v1", "dummy_bandit"): {"optim.lr.model": 4e-3, "optim.lr.actor": 1e-4},
    ("v3", "dummy_bandit"): FAST,
    ("v3", "dummy_onehot_image"): {"schedule.ratio": 12.8},
}


#: Faster ways to compute an update than eagerly in float32.
FAST_PATHS = {"bf16": {"run.precision": "bf16"}, "compiled": {"run.compile": "on"}}
FAST_PATHS["both"] = FAST_PATHS["bf16"] | FAST_PATHS["compiled"]  # `auto` in long runs, if supported
#: Shares of the steps after which the agent is evaluated; training ends once the task is solved.
EVALUATE_AT = (0.4, 0.5, 0.6, 0.8, 1)


def solves(algo, task, folder, **flags) -> bool:
    """Return whether the mean return of one of the evaluations is that of a solved task."""
    extra = EXTRA.get((algo, task["task"]), {}) | {"logdir": str(folder / "run")} | flags
    for share in EVALUATE_AT:
        steps = {"steps": int(share * task["steps"])}
        config = dreamer.resolve(algo, ["debug"], SMALL | VERSIONS[algo] | task | extra | steps)
        train(config)
        score = evaluate(config)["mean"]
        print(f"{algo} {task['task']} at step {config['steps']}: {score:.2f}")
        if score > SOLVED[task["task"]]:
            return True
    return False


def cut_actor_gradient(monkeypatch):
    """Remove the return from the actor loss."""
    actor_loss = Behavior.actor_loss

    def without_gain(self, *args):
        gain, self.grad = self.grad, lambda norm, ret, value, logp, step: 0.0 * logp
        self.grad.stop_action, self.grad.reads_logp = gain.stop_action, gain.reads_logp
        try:
            return actor_loss(self, *args)
        finally:
            self.grad = gain

    monkeypatch.setattr(Behavior, "actor_loss", without_gain)


def reward_one_early(monkeypatch):
    """Move rewards one record earlier, before the action that earned them."""
    sample = Replay.sample

    def shifted(self, *args, **options):
        batch = sample(self, *args, **options)
        return batch | {"reward": np.roll(batch["reward"], -1, 1)}

    monkeypatch.setattr(Replay, "sample", shifted)


def sometimes(*cases, always=()):
    """Parameters of long tests (`make test ARGS="-m long"`), except those in `always`, which run every time."""
    return [pytest.param(*case, marks=[] if case in always else pytest.mark.long) for case in cases]


TASKS = {"point": POINT, "bandit": BANDIT, "picture": PICTURE}
USUAL = [("v1", "picture"), ("v2", "picture"), ("v3", "point")]


@pytest.mark.parametrize(("algo", "task"), sometimes(*itertools.product(["v1", "v2", "v3"], TASKS), always=USUAL))
def test_learns(algo, task, tmp_path):
    assert solves(algo, TASKS[task], tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("path", FAST_PATHS)
@pytest.mark.parametrize("algo", ["v1", "v2", "v3"])
def test_learns_on_the_fast_paths(algo, path, tmp_path):
    assert solves(algo, POINT, tmp_path, **FAST_PATHS[path])


@pytest.mark.long
def test_the_first_v3_learns(tmp_path):
    assert solves("v3-2023", POINT, tmp_path)


FAULTS = {"cut": (POINT, cut_actor_gradient), "early": (BANDIT, reward_one_early)}
PICTURE_FAULTS = {"v1": cut_actor_gradient, "v2": reward_one_early, "v3": cut_actor_gradient}


@pytest.mark.parametrize(
    ("algo", "fault"),
    sometimes(*itertools.product(["v1", "v2", "v3"], FAULTS)),
)
def test_does_not_learn_with_a_fault(algo, fault, tmp_path, monkeypatch):
    task, plant = FAULTS[fault]
    plant(monkeypatch)
    assert not solves(algo, task, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("algo", PICTURE_FAULTS)
def test_does_not_learn_from_pictures_with_a_fault(algo, tmp_path, monkeypatch):
    PICTURE_FAULTS[algo](monkeypatch)
    assert not solves(algo, PICTURE, tmp_path)


@pytest.mark.parametrize("task", [POINT, BANDIT, PICTURE], ids=lambda task: task["task"])
def test_a_random_policy_does_not_solve_them(task):
    assert np.mean(random_scores(dreamer.resolve("v3", ["debug"], task))) < SOLVED[task["task"]]
