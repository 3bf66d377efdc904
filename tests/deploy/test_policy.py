"""`load`: a policy acts like evaluation, on raw observations, with only encoder, RSSM and actor."""

import pathlib
import re
import shlex

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces as gym

from common.commands.eval import evaluate
from common.deploy.policy import needed_entries
from common.envs import make_env
from common.envs.adapt import wrappers
from common.errors import UserError
from common.nn import rng
from common.storage import spaces
from common.training.evaluator import EVAL_STREAM
from common.training.factory import EVAL_SEED_OFFSET
from dreamer import load
from tests.helpers.awkward_policy_envs import Awkward, Pairs
from tests.helpers.command_line import SHORT
from tests.helpers.saved_runs import say, untrained

EPISODES = 2
CASES = [("v1", "dummy_point_6"), ("v2", "dummy_mixed_6"), ("v3", "dummy_point_multi_6"), ("v3-2023", "dummy_bandit")]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return run directory and config by version."""
    folder = tmp_path_factory.mktemp("made")
    flags = {"run__eval_episodes": EPISODES, "run__eval_envs": 1, "run__video_every": 0}
    return {algo: (folder / algo, untrained(folder / algo, algo, task, **flags)) for algo, task in CASES}


def played(policy, env, seeds=(None,) * EPISODES, limit=1000):
    """Return the returns of episodes; also act at the last observation, as evaluation does."""
    scores, state = [], None
    for seed in seeds:
        (obs, _), first, over, score, steps = env.reset(seed=seed), True, False, 0.0, 0
        while not over:
            action, state = policy(obs, state, is_first=first)
            obs, reward, terminated, truncated, _ = env.step(action)
            steps += 1
            first, over, score = False, terminated or truncated or steps == limit, score + reward
        policy(obs, state)
        scores.append(score)
    return scores


@pytest.mark.parametrize("algo", [algo for algo, _ in CASES])
def test_a_loaded_policy_scores_like_evaluation(made, algo):
    logdir, config = made[algo]
    expected = evaluate(config)
    policy = load(logdir)
    assert (policy.mode, policy.frames) == (config["actor"]["eval"], 70)
    env = make_env(config["task"], config["env"], config["seed"] + EVAL_SEED_OFFSET, 0)
    with rng.isolated_rng(config["seed"], 70, EVAL_STREAM):
        assert played(policy, env) == pytest.approx(expected["scores"], abs=1e-12)


def test_a_policy_plays_the_raw_environment(tmp_path):
    """Pendulum takes torques up to 2; the agent acts in [-1, 1]."""
    config = untrained(tmp_path / "run", "v1", "gym_Pendulum-v1", env__time_limit=15, run__video_every=0)
    expected = evaluate(config)
    env, policy = gymnasium.make("Pendulum-v1"), load(tmp_path / "run")
    seed = wrappers.episode_seed(config["seed"] + EVAL_SEED_OFFSET, 0, 0)
    with rng.isolated_rng(config["seed"], 70, EVAL_STREAM):
        assert played(policy, env, [seed], 15) == pytest.approx(expected["scores"], rel=1e-5)
    assert policy({"vector": np.zeros(3, np.float32)})[0].shape == (1,)  # as the agent sees it


def test_batches_flags_and_modes(made):
    policy = load(made["v1"][0], mode="sample")
    obs = {"vector": np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2)}
    torch.manual_seed(0)
    first, state = policy(obs)
    again, later = policy(obs, state, is_first=[True, False, False])
    assert first.shape == again.shape == (3, 1)
    torch.manual_seed(0)
    assert np.array_equal(policy(obs)[0], first)
    fresh = policy.acting.initial(3)
    torch.manual_seed(1)
    _, one = policy(obs, {**state, "deter": state["deter"] + 1}, is_first=[True, False, False])
    torch.manual_seed(1)
    _, two = policy(obs, state, is_first=[True, False, False])
    assert torch.equal(one["deter"][0], two["deter"][0])  # forgotten
    assert not torch.equal(one["deter"][1], two["deter"][1])
    assert {key: x.shape for key, x in fresh.items()} == {key: x.shape for key, x in later.items()}


def test_nested_observations_and_shifted_actions(tmp_path):
    untrained(tmp_path / "run", "v2", "tests.helpers.awkward_policy_envs:Awkward", env__size=64)
    policy, env = load(tmp_path / "run"), Awkward()
    assert policy.spaces.raw == (env.observation_space, env.action_space)
    obs, _ = env.reset()
    action, state = policy(obs)
    env.step(action)
    views = {"eye": {"view": np.stack([obs["eye"]["view"]] * 2)}}
    many = {"cell": np.array([1, 3]), "speed": np.zeros((2, 2, 2)), **views}
    actions, _ = policy(many)
    assert actions.shape == (2,)
    assert set(actions.tolist()) <= {5, 6, 7}
    assert state["deter"].shape[0] == 1
    with pytest.raises(UserError, match="observes a dict with cell, eye, speed, got a dict with cell"):
        policy({"cell": 1})


def test_a_batch_of_nested_actions_is_a_list(tmp_path):
    untrained(tmp_path / "run", "v3", "tests.helpers.awkward_policy_envs:Pairs")
    policy, env = load(tmp_path / "run"), Pairs()
    views = {"view": np.zeros((3, 40, 50, 3), np.uint8)}
    actions, _ = policy({"cell": np.ones(3, int), "speed": np.zeros((3, 2, 2)), "eye": views})
    assert len(actions) == 3
    assert all(env.action_space.contains(action) for action in actions)


def test_unread_observations_may_be_missing(tmp_path):
    untrained(
        tmp_path / "run", "v3", "tests.helpers.awkward_policy_envs:Awkward", env__size=64, encoder__keys="speed|cell"
    )
    policy, whole = load(tmp_path / "run"), Awkward().reset(seed=0)[0]
    assert policy.keys == {"cell", "speed"}
    few = {key: whole[key] for key in ("cell", "speed")}
    for obs in (few, {**few, "eye": None}, {**few, "is_terminal": False, "other": "x"}):
        torch.manual_seed(0)
        action, state = policy(obs)
        torch.manual_seed(0)
        expected, after = policy(whole)
        assert action == expected
        assert torch.equal(state["deter"], after["deter"])
    with pytest.raises(UserError, match="observes a dict with cell, speed, got a dict with cell, eye"):
        policy({"cell": 1, "eye": whole["eye"]})
    with pytest.raises(UserError, match="observes a dict with cell, speed, got ndarray"):
        policy(whole["speed"])


def test_unread_nested_observations_may_be_missing():
    box, text = gym.Box(-1, 1, (2,), np.float32), gym.Text(9)
    space = gym.Dict({"arm": gym.Dict({"left": box, "log_heat": box}), "two": gym.Tuple([box, text]), "words": text})
    obs = {"arm": {"left": 1}, "two": (2, "said")}
    assert dict(needed_entries(space, obs, {"arm_left", "two_0"})) == {"arm_left": 1, "two_0": 2}
    assert dict(needed_entries(space, {"arm": {"left": 1}}, {"arm_left"})) == {"arm_left": 1}
    assert dict(needed_entries(box, 3, {"vector"})) == {"vector": 3}
    with pytest.raises(UserError, match="observes a dict with left in arm, got a dict with right"):
        dict(needed_entries(space, {"arm": {"right": 1}}, {"arm_left"}))
    with pytest.raises(UserError, match="observes a tuple of 2 in two, got 1 values"):
        dict(needed_entries(space, {"two": (1,)}, {"two_0"}))


def test_a_policy_builds_nothing_that_only_training_needs(made, monkeypatch):
    def never(*_, **__):
        raise AssertionError("not here")

    for name in (
        "common.agent.optim.Optimizer.__init__",
        "common.replay.Replay.__init__",
        "common.agent.agent.Agent.__init__",
    ):
        monkeypatch.setattr(name, never)
    monkeypatch.setattr("common.envs.make_env", never)
    monkeypatch.setattr("common.envs.make_envs", never)
    policy = load(made["v2"][0])
    sizes = [sum(p.numel() for p in m.parameters()) for m in (policy.acting.encoder, policy.acting.rssm)]
    assert all(sizes)
    assert not any(p.requires_grad or p.is_meta for p in policy.acting.actor.parameters())
    policy({"image": np.zeros((64, 64, 3), np.uint8), "vector": np.zeros(8, np.float32)})


def test_load_refuses_with_a_message(made, tmp_path):
    with pytest.raises(UserError, match="not a run directory"):
        load(tmp_path)
    logdir = tmp_path / "old"
    config = untrained(logdir, "v1", "dummy_point_6", run__video_every=0)
    (logdir / "spaces.json").unlink()
    with pytest.raises(UserError, match=r"no spaces.json.*python dreamer.py eval"):
        load(logdir)
    evaluate(config)
    policy = load(logdir)
    with pytest.raises(UserError, match="batches of them in every entry"):
        policy({"vector": np.zeros((2, 3, 2))})
    with pytest.raises(UserError, match="mode must be one of mode, sample"):
        load(logdir, mode="best")
    text = (logdir / "config.yaml").read_text()
    (logdir / "config.yaml").write_text(text.replace("deter: 16", "deter: 24"))
    with pytest.raises(UserError, match="belong to another config"):
        load(logdir)


@pytest.mark.parametrize(
    "space",
    [
        gym.Box(np.array([-np.inf, 0.1]), np.array([2.0, np.inf]), dtype=np.float64),
        gym.Box(0, 255, (4, 5, 3), np.uint8),
        gym.Discrete(4, start=-1),
        gym.MultiDiscrete([2, 3], start=[1, 0]),
        gym.Dict({"a": gym.Tuple([gym.MultiBinary(3), gym.Discrete(2)]), "b": gym.Box(-1, 1, (), np.float32)}),
    ],
    ids=lambda space: type(space).__name__,
)
def test_spaces_come_back_from_json(space, tmp_path):
    found = spaces.Spaces(gym.Dict({"x": gym.Box(-1, 1, (2,), np.float32)}), gym.Discrete(2), (space, space))
    spaces.write(tmp_path, found)
    assert spaces.read(tmp_path) == found


def test_the_commands_of_the_documentation_run(tmp_path, monkeypatch):
    """Run its commands with small settings, except `export`, which has its own tests, and then its example."""
    monkeypatch.chdir(tmp_path)
    text = (pathlib.Path(__file__).parents[2] / "docs/use.md").read_text()
    lines = re.findall(r"^python dreamer.py (.*)$", text, re.M)
    assert [("eval" in line, "init" in line, "offline" in line) for line in lines].count((False,) * 3) == 2
    for line in lines:
        if not line.startswith("export"):
            short = ["--episodes", 2] if line.startswith("eval") else ["--configs", "debug", *SHORT, "--threads", 1]
            assert say(*shlex.split(line), *short, *(["--steps", 3] if "offline" in line else [])) == 0
    names: dict = {}
    exec(re.search(r"```python\n(.*?)```", text, re.S)[1], names)
    assert names["action"].shape == (1,)
