"""`DreamEnv`: a Gymnasium environment of every version, which is the model's own imagination."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env, data_equivalence

import dreamer
from common.errors import UserError
from common.viewer import dream_env
from tests.helpers.saved_runs import untrained

TASKS = {
    "v1": "dummy_pixels_30",
    "v2": "dummy_mixed_30",
    "v3": "dummy_point_both_multi_30",
    "v3-2023": "dummy_point_30",
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("algo", TASKS)
def test_it_passes_the_check_of_gymnasium(algo, tmp_path):
    untrained(tmp_path / "run", algo, TASKS[algo])
    env = dreamer.DreamEnv(tmp_path / "run", start="zeros", render_mode="rgb_array")
    check_env(env)
    env.reset(seed=0)
    assert (env.render() is None) == (algo == "v3-2023")


def play(env, seed, steps=6):
    """Return the observations of an episode, actions drawn from the space, and the flags of its steps."""
    env.action_space.seed(seed)
    seen, flags = [env.reset(seed=seed)[0]], []
    while len(flags) < steps and not (flags and any(flags[-1])):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        seen.append((observation, reward))
        flags.append((terminated, truncated))
    return seen, flags


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_it_begins_at_stored_records_in_units_of_the_environment(line_run, monkeypatch):
    run, _ = line_run
    env = dreamer.DreamEnv(run.logdir, horizon=4)
    check_env(env)
    assert env.observation_space == gymnasium.spaces.Box(-2, 2, (1,), np.float32)
    assert env.action_space == gymnasium.spaces.Box(0, 4, (1,), np.float32)
    monkeypatch.setattr(dream_env, "END_CHANCE", 0.0)  # no end by chance before the horizon
    before = torch.get_rng_state()
    (one, flags), (same, _), (other, _) = play(env, 1), play(env, 1), play(env, 2)
    assert torch.equal(before, torch.get_rng_state())
    assert data_equivalence(one, same)
    assert not data_equivalence(one, other)
    assert flags == [(False, False)] * 3 + [(False, True)]
    monkeypatch.setattr(dream_env, "END_CHANCE", 1.1)
    assert play(env, 1)[1] == [(True, False)]
    action, state = run.load()(env.reset(seed=3)[0])
    observation, *_ = env.step(action)
    run.load()(observation, state)


def test_a_step_is_one_of_the_prior_with_the_action_of_the_agent(line_run):
    run, _ = line_run
    env = dreamer.DreamEnv(run.logdir, temperature=0)
    env.reset(seed=0)
    rssm, state = env.dreamer.rssm, env.dreamer.state
    env.step(np.array([3.0], np.float32))  # halfway between the middle and the upper bound
    with torch.no_grad():
        deter = rssm.deter_step(state, torch.tensor([[0.5]]))
    assert torch.allclose(env.dreamer.state.deter, deter, atol=1e-6)
    assert env.dreamer.world.reward.pred(env.dreamer.state.feat).item() == pytest.approx(env.prediction.reward)


def test_a_run_without_records_and_wrong_options_are_refused(tmp_path):
    untrained(tmp_path / "run", "v2", "dummy_mixed_30")
    for options, says in (
        ({}, r'no stored records to start from. Use DreamEnv\(..., start="zeros"\)'),
        ({"start": "ones"}, "start must be one of replay, zeros"),
        ({"start": "zeros", "horizon": 0}, "needs horizon and context of at least 1"),
    ):
        with pytest.raises(UserError, match=says):
            dreamer.DreamEnv(tmp_path / "run", **options)
