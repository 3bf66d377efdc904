"""Actions of an environment as the agent has them: the inverse of the decoding."""

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import data_equivalence

from common.envs.adapt.actions import action_encoder, normalize_action_space

SPACES = {
    "box": spaces.Box(np.array([0, -3], np.float32), np.array([4, 5], np.float32)),
    "discrete": spaces.Discrete(5, start=-2),
    "multi": spaces.MultiDiscrete([2, 3], start=[1, 4]),
    "binary": spaces.MultiBinary((2, 2)),
    "integers": spaces.Box(3, 7, (2,), np.int64),
    "nested": spaces.Dict(
        {"a": spaces.Discrete(3), "b": spaces.Tuple([spaces.MultiDiscrete([2, 2]), spaces.Discrete(2)])}
    ),
    "boxes": spaces.Dict({"a": spaces.Box(-1, 1, (2,)), "b": spaces.Box(-5, 5, (1,))}),
}


@pytest.mark.parametrize("name", SPACES)
def test_it_undoes_the_decoding(name):
    space = SPACES[name]
    space.seed(0)
    normalized, decode = normalize_action_space(space)
    encode = action_encoder(space)
    for _ in range(20):
        action = space.sample()
        numbers = encode(action)
        assert np.asarray(numbers, normalized.dtype).reshape(normalized.shape) in normalized
        assert data_equivalence(decode(numbers), action)


def test_a_discretized_number_becomes_its_level_and_a_number_beyond_the_bounds_the_bound():
    space = spaces.Tuple([spaces.Box(-1, 1, (1,), np.float32), spaces.Discrete(2)])
    assert action_encoder(space)((np.array([0.2], np.float32), 1)).tolist() == [6, 1]
    assert action_encoder(spaces.Box(0, 4, (1,), np.float32))(np.array([9.0])).tolist() == [1]
