"""Actions: keys that fit a game, and names that environments have."""

import numpy as np
import pytest
from gymnasium import spaces

from common.envs import make_envs
from common.viewer.actions import Actions, action_keys

UP, DOWN, LEFT, RIGHT = (f"Arrow{side}" for side in ("Up", "Down", "Left", "Right"))


def test_atari_games_have_the_keys_of_their_meanings():
    with make_envs("atari_pong", {"actions": "full"}, 1, 0, "none") as envs:
        envs.reset()
        names = envs.action_names(0)
        actions = Actions(envs.act_space, names)
    keys = {row["name"]: row["keys"] for row in actions.describe()["choices"]}
    assert list(keys) == names
    assert len(names) == 18
    assert keys["NOOP"] == []
    assert keys["FIRE"] == ["Space"]
    assert keys["UP"] == [UP]
    assert keys["DOWNLEFTFIRE"] == [DOWN, LEFT, "Space"]
    assert actions.idle == [0]
    assert actions.has_idle


def test_a_registered_atari_game_has_them_also():
    with make_envs("gym_ALE/Breakout-v5", {}, 1, 0, "none") as envs:
        envs.reset()
        assert envs.action_names(0) == ["NOOP", "FIRE", "RIGHT", "LEFT"]


def test_environments_without_names_have_no_names():
    with make_envs("dummy_mixed", {}, 1, 0, "none") as envs:
        assert envs.action_names(0) == []
        envs.reset()
        assert envs.action_names(0) == []


@pytest.mark.parametrize(
    ("names", "count", "keys"),
    [
        ([], 2, [[LEFT], [RIGHT]]),
        ([], 3, [[LEFT], [], [RIGHT]]),
        ([], 4, [["Digit0"], ["Digit1"], ["Digit2"], ["Digit3"]]),
        ([], 12, [[f"Digit{n}"] for n in range(10)] + [[], []]),
        (["left", "right", "forward", "pickup", "toggle"], 5, [[LEFT], [RIGHT], [UP], ["Digit1"], ["Space"]]),
        (["noop", "move_left", "do", "sleep"], 4, [[], [LEFT], ["Space"], ["Digit1"]]),
        (["up", "north"], 2, [[UP], ["Digit1"]]),  # no key for two actions
    ],
)
def test_keys_follow_the_words_of_names(names, count, keys):
    assert action_keys(names, count) == keys


def test_names_that_do_not_fit_are_ignored():
    assert Actions(spaces.Discrete(3), ["a", "b"]).names == []
    assert Actions(spaces.MultiDiscrete([2, 2]), ["a", "b"]).names == []


@pytest.mark.parametrize(
    "space", [spaces.Discrete(5), spaces.MultiDiscrete([2, 3]), spaces.Box(-1, 1, (3,), np.float32)]
)
def test_random_actions_are_in_the_space_and_their_vectors_fit(space):
    actions, random = Actions(space), np.random.default_rng(0)
    for _ in range(20):
        action = actions.random(random)
        env = action.env[0] if len(action.env.shape) > 1 or isinstance(space, spaces.Discrete) else action.env
        assert space.contains(env)
        assert action.vector.shape == (1, actions.width)
        assert np.array_equal(actions.action(action.numbers).env, action.env)
        if actions.classes:
            assert [part.argmax().item() for part in action.vector[0].split(actions.classes)] == action.numbers
