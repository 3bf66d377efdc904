"""Sessions: dreams equal the imagination of the agents, stay in step, and follow the settings."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from common.agent.rssm import LatentState
from common.envs import make_envs
from common.errors import UserError
from common.nn import rng
from common.replay.ring import previous_actions
from common.training.factory import EVAL_SEED_OFFSET
from common.viewer.frames import Frame, difference, view
from common.viewer.settings import Settings
from tests.helpers.saved_runs import untrained
from tests.viewer.conftest import ALGOS

CONTEXT, STEPS = 3, 9
TASKS = {
    "v1": "dummy_pixels_30",
    "v2": "dummy_mixed_30",
    "v3": "dummy_pixels_multi_both_30",
    "v3-2023": "dummy_point_30",
}
DREAM = Settings(who="random", where="dream", horizon=0)


def kept_noise(agent, monkeypatch):
    """Return a list that collects the noise of the latents that an agent draws."""
    draw, drawn = agent.latent.noise, []
    monkeypatch.setattr(
        agent.latent, "noise", lambda *shape, **options: drawn.append(draw(*shape, **options)) or drawn[-1]
    )
    return drawn


@torch.no_grad()
def imagined_directly(agent, records, actions, noise):
    """Return the states of a dream by the functions of the world model: CONTEXT records, then actions alone.

    noise: that of each step, posterior or prior.
    """
    rssm = agent.world.rssm
    arrays = {key: np.concatenate([record[key] for record in records])[None] for key in records[0]}
    obs, taken = agent.to_tensors(arrays), np.concatenate(actions)[None]
    before = previous_actions(taken[:, :CONTEXT], arrays["is_first"][:, :CONTEXT], np.zeros_like(taken[:, 0]))
    embed = agent.world.encoder({key: x[:, :CONTEXT] for key, x in obs.items()})
    states, _ = rssm.observe(embed, torch.as_tensor(before), obs["is_first"][:, :CONTEXT], noise[:CONTEXT])
    last = states.apply(lambda x: x[:, -1])
    rest = torch.as_tensor(taken[:, CONTEXT - 1 :])
    return rssm.imagine(last, lambda _, t: rest[:, t], noise[CONTEXT:])[0]


@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("algo", ALGOS)
def test_a_dream_equals_imagination_by_the_agents_own_functions(algo, temperature, make_session, monkeypatch):
    session = make_session(
        [algo], TASKS[algo], context=CONTEXT, settings=Settings(**{**vars(DREAM), "temperature": temperature})
    )
    agent = session.dreamers[0].agent
    drawn = kept_noise(agent, monkeypatch)
    first = session.full_reset()
    records, actions, frames, noise = [session.record], [], [first], [drawn[-1]]
    for _ in range(STEPS):
        dreaming = session.dreaming
        frames.append(session.step())
        records.append(session.record)
        actions.append(session.action.vector.numpy())
        noise.append(temperature * drawn[-1] if dreaming else drawn[-1])
    states = imagined_directly(agent, records[:CONTEXT], actions, torch.stack(noise))
    expected, feat = agent.world.decoder.predict(states), states.feat
    rewards, values = agent.world.reward.pred(feat), agent.behavior.critic.pred(feat)
    for t, frame in enumerate(frames[CONTEXT - 1 :]):
        assert frame.numbers["imagined"] == t
        prediction = frame.predictions[0]
        assert prediction.reward == pytest.approx(float(rewards[0, t]), abs=1e-5)
        assert prediction.value == pytest.approx(float(values[0, t]), abs=1e-5)
        for key, image in expected.items():
            np.testing.assert_allclose(prediction.observations[key], image[0, t].detach(), atol=1e-5)


@pytest.mark.parametrize("algo", ALGOS)
def test_the_agent_acts_in_the_environment_as_in_evaluation(algo, make_session):
    session = make_session([algo], TASKS[algo], settings=Settings(where="environment"))
    agent, config = session.dreamers[0].agent, session.dreamers[0].run.config
    session.full_reset()
    seen = [session.step().numbers["action"] for _ in range(6)]
    with make_envs(config["task"], config["env"], 1, config["seed"] + EVAL_SEED_OFFSET, "none") as envs:
        record, state, expected = envs.reset(), agent.initial(1), []
        torch.manual_seed(0)
        for _ in range(6):
            action, _, state = agent.act(record, state, mode="eval")
            expected.append(np.reshape(action, -1).tolist())
            record = envs.step(action)
    np.testing.assert_allclose(seen, expected, atol=1e-6)


def test_dreams_stay_in_step_and_do_not_influence_each_other(make_session):
    settings = Settings(who="random", latent="mode", horizon=4)
    together = make_session(["v1", "v2", "v3"], "dummy_mixed_30", settings=settings)
    alone = [make_session([algo], "dummy_mixed_30", settings=settings) for algo in ("v1", "v2", "v3")]
    for _ in range(15):
        frame, others = together.step(), [session.step() for session in alone]
        for number, other in enumerate(others):
            assert (frame.numbers["action"], frame.numbers["imagined"]) == (
                other.numbers["action"],
                other.numbers["imagined"],
            )
            np.testing.assert_allclose(frame.models[number].astype(int), other.models[0], atol=1)
        assert np.array_equal(frame.real, others[0].real)


def test_agents_in_a_dream_act_on_what_they_imagine(make_session):
    session = make_session(["v2"], "dummy_mixed_30", settings=Settings(latent="mode", horizon=0), context=1)
    dreamer = session.dreamers[0]
    session.step()
    torch.manual_seed(5)
    expected = dreamer.act().numbers
    real = LatentState(dreamer.seen.deter + 100, dreamer.seen.stoch)  # what is real does not matter
    dreamer.seen = real
    torch.manual_seed(5)
    assert session.step().numbers["action"] == expected


def test_dreams_restart_from_what_was_observed_after_the_horizon(make_session):
    session = make_session(["v1", "v3"], "dummy_mixed_30", settings=Settings(horizon=3), context=2)
    assert [session.step().numbers["imagined"] for _ in range(9)] == [0, 1, 2, 3, 1, 2, 3, 1, 2]
    session.restart_dreams()
    for dreamer in session.dreamers:
        assert torch.equal(dreamer.state.deter, dreamer.seen.deter)
    assert session.step().numbers["imagined"] == 1


def test_a_dream_outlives_the_episode_and_then_a_new_one_starts(make_session):
    session = make_session(["v1"], "dummy_mixed_6", settings=Settings(who="random", horizon=8), context=2)
    frames = [session.step() for _ in range(9)]
    assert [frame.numbers["over"] for frame in frames] == [False] * 5 + [True] * 4
    assert [frame.numbers["imagined"] for frame in frames] == [0, *range(1, 9)]
    assert frames[-1].numbers["reward"] is None
    assert frames[-1].numbers["runs"][0]["true_reward"] is frames[-1].numbers["runs"][0]["error"] is None
    later = session.step()
    assert later.numbers["first"]
    assert (later.numbers["episode"], later.numbers["imagined"], later.numbers["return"]) == (2, 0, 0)


def test_in_the_environment_episodes_follow_each_other(make_session):
    session = make_session(["v3"], "dummy_cliff_4", settings=Settings(who="random", where="environment"))
    numbers = [session.step().numbers for _ in range(25)]
    assert numbers[-1]["episode"] > 3
    for now, after in itertools.pairwise(numbers):
        assert after["first"] == now["over"]
        assert after["return"] == (0 if after["first"] else now["return"] + after["reward"])


def test_a_full_reset_repeats_everything_and_a_new_start_does_not(make_session):
    session = make_session(["v1", "v3"], "dummy_pixels", settings=Settings(who="random"))
    session.full_reset()
    first = [session.step() for _ in range(8)]
    session.change("view", "difference")
    session.change("temperature", 2)
    session.change("speed", 9)
    session.new_start()
    other = [session.step() for _ in range(8)]
    session.full_reset()
    again = [session.step() for _ in range(8)]
    assert session.settings == dataclasses.replace(session.defaults, speed=9)
    assert [frame.numbers["action"] for frame in first] == [frame.numbers["action"] for frame in again]
    assert all(np.array_equal(one.models[1], two.models[1]) for one, two in zip(first, again, strict=True))
    assert not any(np.array_equal(one.real, two.real) for one, two in zip(first, other, strict=True))
    assert len(session.history) == 9


@pytest.mark.parametrize("algo", ["v1", "v3"])
def test_mode_is_temperature_zero_and_temperature_widens_samples(algo, make_session):
    session = make_session([algo], "dummy_mixed_30")
    dreamer, latent = session.dreamers[0], session.dreamers[0].rssm.latent
    action, start = session.actions.action([1]).vector, session.dreamers[0].seen

    def draws(scale, count=400):
        found = []
        for _ in range(count):
            dreamer.state = start
            dreamer.imagine(action, scale)
            found.append(dreamer.state.stoch[0])
        return torch.stack(found)

    prior = dreamer.rssm.prior(dreamer.rssm.deter_step(start, action)).detach()
    assert torch.equal(draws(0, 2)[1], latent.mode(prior)[0])
    torch.manual_seed(0)
    if algo == "v1":
        assert draws(2.0).std(0).mean() / draws(1.0).std(0).mean() == pytest.approx(2, rel=0.1)
    else:
        for scale in (0.5, 3.0):
            expected = (latent.logits(prior)[0] / scale).softmax(-1).flatten()
            torch.testing.assert_close(draws(scale).mean(0), expected, atol=0.1, rtol=0)
    session.change("temperature", 0.7)
    assert session.settings.prior_scale == 0.7
    session.change("latent", "mode")
    assert (session.settings.prior_scale, session.settings.posterior_scale) == (0, 0)


def test_observed_steps_have_a_kl_and_imagined_ones_an_entropy(make_session):
    session = make_session(["v1", "v2", "v3"], "dummy_mixed_30", context=3)
    frames = [session.step().numbers for _ in range(4)]
    assert [run["kl"] is None for run in frames[0]["runs"]] == [False] * 3
    assert all(run["kl"] > 0 for run in frames[0]["runs"])
    assert [run["kl"] is None for run in frames[3]["runs"]] == [True] * 3


def test_the_continue_plot_is_absent_where_nothing_is_learned(make_session, run_folder):
    untrained(run_folder("v1", "dummy_mixed_30").parent / "steady", "v1", "dummy_mixed_30", con__use="NoContinue")
    session = make_session(["steady", "v3"], "dummy_mixed_30")
    first, other = session.step().numbers["runs"]
    assert [dreamer.learns_continue for dreamer in session.dreamers] == [False, True]
    assert first["continue"] is None
    assert 0 < other["continue"] <= 1


def test_views_show_truth_prediction_and_their_difference():
    real, model, other = (np.full((2, 2, 3), value, np.uint8) for value in (200, 100, 0))
    frame = Frame({}, other, [real, real], [model, None], [], {})
    assert view(frame, 0, "real") is real
    assert view(frame, 0, "model") is model
    assert (view(frame, 0, "difference") == 78).all()  # (100 - 200) / 2 + 128
    assert view(frame, 1, "difference") is None
    assert (difference(real, real) == 128).all()
    assert difference(np.uint8([[[255]]]), np.uint8([[[0]]])) == 255


def test_a_person_acts_with_every_kind_of_action(make_session):
    for task, action, vector in [
        ("dummy_mixed", [2], [0, 0, 1, 0]),
        ("dummy_point_multi", [1, 0], [0, 1, 1, 0]),
        ("dummy_point", [-0.5], [-0.5]),
    ]:
        session = make_session(["v2"], task)
        session.change("who", "human")
        session.hold(action)
        assert session.step().numbers["action"] == action
        assert session.action.vector[0].tolist() == vector
        for wrong in ([], [9], "up", None, [float("nan")], [0.5, 0.5], {"a": 1}):
            with pytest.raises(UserError, match=r"ctions? here"):
                session.hold(wrong)


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("who", "me", "who must be one of human, agent, random"),
        ("temperature", "hot", "temperature must be from 0 to 5"),
        ("temperature", float("nan"), "temperature must be from 0 to 5"),
        ("speed", 0, "speed must be from 1 to 60"),
        ("agent", 1, "agent must be below 1"),
        ("paused", "yes", "paused is true or false"),
        ("sound", 1, "Settings: who, agent"),
    ],
)
def test_wrong_settings_are_refused(name, value, part, make_session):
    session = make_session(["v1"], "dummy_mixed")
    before = session.settings.__dict__.copy()
    with pytest.raises(UserError, match=part):
        session.change(name, value)
    assert session.settings.__dict__ == before


def test_an_environment_alone_is_for_a_person(make_session):
    session = make_session([], "dummy_mixed_5")
    assert (session.settings.who, session.settings.where) == ("human", "environment")
    frames = [session.step() for _ in range(7)]
    assert [frame.numbers["episode"] for frame in frames] == [1] * 5 + [2] * 2
    assert frames[0].numbers["runs"] == frames[0].models == []
    for name, value in (("who", "agent"), ("where", "dream")):
        with pytest.raises(UserError, match="needs the agent of a run"):
            session.change(name, value)


def test_vectors_have_truth_and_prediction(make_session):
    session = make_session(["v3"], "dummy_point")
    frame = session.step()
    assert frame.real.shape == (64, 64, 3)  # drawn by the environment
    assert frame.models == [None]
    assert frame.numbers["vectors"]["vector"] == session.record["vector"][0].tolist()
    assert len(frame.numbers["runs"][0]["vectors"]["vector"]) == 2


def test_sessions_use_random_numbers_of_their_own_seed(make_session):
    with rng.isolated_rng(1):
        one = [make_session(["v3"], "dummy_mixed", seed=4).step().numbers["action"] for _ in range(2)]
    assert one[0] == one[1]
