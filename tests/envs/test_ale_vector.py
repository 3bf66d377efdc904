"""Atari in the threads of ale-py equals our Atari: identical records, and states that both can restore."""

import time
from fractions import Fraction

import numpy as np
import pytest

from common.envs import Envs, make_envs
from common.envs.vector import ale_vector
from common.errors import UserError

V2 = {"repeat": 4, "gray": True, "sticky": 0.25, "noops": 30, "least_noops": 1, "time_limit": 108000}
V3_2023 = {"repeat": 4, "sticky": 0.25, "time_limit": 108000}
PLAIN = {"repeat": 4, "actions": "minimal"}
SHORT = {"repeat": 3, "gray": True, "size": 96, "noops": 7, "time_limit": 90}


def made(kind, task, config, n):
    return make_envs(task, config, n, 3, {"python": "none", "ale-py": "native"}[kind])


def actions(envs, steps, seed=0):
    return np.random.default_rng(seed).integers(0, envs.act_space.n, (steps, envs.num))


def play(envs, steps):
    return [envs.reset(), *map(envs.step, actions(envs, steps))]


def equal(left, right):
    same = lambda a, b: a.dtype == b.dtype and np.array_equal(a, b)
    return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left if key != "log")


@pytest.mark.parametrize(
    ("task", "config", "steps", "terminal"),
    [
        ("atari_breakout", V2, 350, True),
        pytest.param("atari_breakout", V3_2023, 350, True, marks=pytest.mark.long),
        pytest.param("atari100k_breakout", PLAIN, 350, True, marks=pytest.mark.long),
        ("atari_james_bond", V2 | {"size": 32, "repeat": 2}, 60, None),
        ("atari_pong", SHORT, 40, False),
        ("atari_pong", SHORT | {"timeout_terminal": True}, 40, True),
        ("atari_breakout", SHORT | {"repeat": 1}, 100, False),
    ],
)
def test_records_are_those_of_the_python_environment(task, config, steps, terminal):
    with made("python", task, config, 2) as ours, made("ale-py", task, config, 2) as theirs:
        records = play(ours, steps)
        assert all(equal(left, right) for left, right in zip(records, play(theirs, steps), strict=True))
        assert ours.state() == theirs.state()
    last = np.stack([record["is_last"] for record in records])
    ends = np.stack([record["is_terminal"] for record in records])[last]
    assert ends.tolist() == [terminal] * last.sum() if terminal is not None else not last.any()
    if terminal is not None:
        assert last.any(0).all()  # each environment has ended an episode
    if steps == 350:
        assert np.stack([record["reward"] for record in records]).any(0).all()


@pytest.mark.parametrize(
    ("saves", "restores", "steps"),
    [
        pytest.param("ale-py", "ale-py", 0, marks=pytest.mark.long),
        ("ale-py", "ale-py", 250),
        ("python", "ale-py", 17),
        pytest.param("ale-py", "python", 250, marks=pytest.mark.long),
    ],
)
def test_a_restored_run_continues_like_the_uninterrupted_one(saves, restores, steps):
    with made(saves, "atari_breakout", V2, 3) as envs:
        current = play(envs, steps)[-1]
        state = envs.state()
        straight = [envs.step(action) for action in actions(envs, 40, seed=1)]
    assert steps < 250 or len({len(slot["actions"]) for slot in state}) == 3  # three different lengths
    with made(restores, "atari_breakout", V2, 3) as envs:
        assert equal(envs.restore(state), current)
        assert envs.state() == state
        again = [envs.step(action) for action in actions(envs, 40, seed=1)]
        assert envs.messages() == []
    assert all(equal(left, right) for left, right in zip(again, straight, strict=True))


def test_only_an_episode_whose_replay_differs_starts_again():
    with make_envs("atari_pong", V2, 2, parallel="native") as envs:
        current = play(envs, 20)[-1]
        state = envs.state()
        state[0]["digest"] = "0" * 64
        record = envs.restore(state)
        (message,) = envs.messages()
        assert record["is_first"].tolist() == [True, False]
        assert np.array_equal(record["image"][1], current["image"][1])
        assert [slot["episode"] for slot in envs.state()] == [1, 0]
    assert message.startswith("Environment 0: replaying its episode did not lead to the saved record")
    with make_envs("atari_pong", V2, 2, parallel="native") as envs:
        with pytest.raises(UserError, match=r"--run\.envs 1"):
            envs.restore(state[:1])
        for lost in (None, [18], [[1], [2]]):  # None: the episode was too long to keep them
            assert envs.restore([slot | {"actions": lost} for slot in state])["is_first"].all()


def test_an_episode_that_broke_in_python_is_restored_at_its_closing_record():
    with made("python", "atari_pong", V2, 2) as ours, made("ale-py", "atari_pong", V2, 2) as theirs:
        play(ours, 5)
        ours.slots[1].record = ours.slots[1].closing_record()
        record = theirs.restore(ours.state())
        assert record["is_last"].tolist() == [False, True]
        assert theirs.step(np.array([0, 0]))["is_first"].tolist() == [False, True]
        assert theirs.messages() == []


def test_a_step_is_made_between_send_and_receive():
    with make_envs("atari_pong", V2 | {"repeat": 4000, "time_limit": 0}, 2, parallel="native") as envs:
        envs.reset()
        begin = time.monotonic()
        envs.send(np.array([0, 0]))
        sent = time.monotonic()
        for forbidden in (envs.state, envs.reset, lambda: envs.send(np.array([0, 0]))):
            with pytest.raises(AssertionError, match="receive first"):
                forbidden()
        envs.receive()
        assert sent - begin < time.monotonic() - sent
        with pytest.raises(AssertionError, match="nothing was sent"):
            envs.receive()
        with pytest.raises(AssertionError):
            envs.send(np.array([0, 18]))
        assert envs.step(np.array([0, 17]))["reward"].shape == (2,)
        assert envs.render(0) is None
    envs.close()  # twice is fine


@pytest.mark.parametrize(
    ("config", "n", "kind"),
    [
        (V2, 2, ale_vector.AleVectorEnvs),
        (V2, 1, Envs),  # it is not faster for one game
        (V2 | {"resize": "bilinear"}, 2, Envs),
        (V2 | {"life_loss": "end"}, 2, Envs),
        (V2 | {"obs": "ram"}, 2, Envs),
    ],
)
def test_auto_uses_it_for_several_games_that_it_plays_identically(config, n, kind):
    with make_envs("atari_pong", config, n) as envs:
        assert type(envs) is kind


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"resize": "bilinear"}, "env.resize bilinear, only where env.resize is area"),
        ({"life_loss": "end"}, "env.life_loss end, only where env.life_loss is ignore"),
        ({"obs": "ram"}, "env.obs ram, only where env.obs is image"),
        ({"size": 0}, "env.size is 32 or 64 or 96 or 128"),
        ({"size": 84}, "env.size 84"),
        ({"time_limit": 10}, "env.time_limit is a multiple of 4"),
        ({"noops": 10**6}, "env.noops is at most"),
    ],
)
def test_unsupported_options_are_refused_with_the_supported_values(config, message):
    with pytest.raises(UserError, match=r"--run\.parallel auto") as error:
        make_envs("atari_pong", V2 | config, 1, parallel="native")
    assert message in str(error.value)


def test_other_tasks_are_refused():
    with pytest.raises(UserError, match="native plays atari_ and atari100k_ tasks, not dummy_pixels"):
        make_envs("dummy_pixels", None, 2, parallel="native")


def test_a_release_that_plays_differently_is_refused_and_auto_uses_python(monkeypatch):
    make = ale_vector._make_vector
    monkeypatch.setattr(ale_vector, "_make_vector", lambda name, config, n: make(name, config | {"noops": 90}, n))
    with pytest.raises(UserError, match=r"pip install ale-py==0\.12\.1"):
        make_envs("atari_breakout", V2, 2, parallel="native")
    with make_envs("atari_breakout", V2, 2) as envs:
        assert type(envs) is Envs


@pytest.mark.parametrize("height", [210, 250])
def test_no_mean_of_its_sizes_is_halfway_between_two_bytes(height):
    """A mean is a whole number over the product of these numerators; if that is odd, it is never one half."""
    for size in ale_vector.EXACT_IMAGE_SIDES:
        assert Fraction(160, size).numerator * Fraction(height, size).numerator % 2 == 1
    assert Fraction(160, 84).numerator % 2 == 0
