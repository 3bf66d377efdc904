"""Conversion of observation and action spaces, and the spaces that are refused."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from common.envs.adapt.actions import action_notes, normalize_action_space
from common.envs.adapt.adapter import Adapter
from common.errors import UserError


class ConstantEnv(gymnasium.Env):
    """Always returns one value of one space."""

    action_space = spaces.Discrete(2, start=3)

    def __init__(self, space, value):
        self.observation_space, self.value = space, value

    def reset(self, *, seed=None, options=None):
        return self.value, {}

    def step(self, action):
        return self.value, np.array([0.5]), False, False, {"action": action}


def converted(space, value, **options):
    """The observation after the adapter; it must be in the adapter's space."""
    env = Adapter(ConstantEnv(space, value), **options)
    obs, _ = env.reset()
    assert env.observation_space.contains({key: np.asarray(value) for key, value in obs.items()})
    return obs


def test_vectors_and_scalars():
    space = spaces.Dict(
        {
            "position": spaces.Box(-1, 1, (2, 2), np.float64),
            "height": spaces.Box(0, 2, (), np.float64),
            "nothing": spaces.Box(0, 1, (0,)),
            "arm/left": spaces.Tuple([spaces.MultiBinary(2), spaces.Discrete(3, start=-1)]),
        }
    )
    value = {"position": np.eye(2), "height": 1.5, "nothing": np.zeros(0), "arm/left": ([1, 0], -1)}
    obs = converted(space, value)
    assert {key: value.tolist() for key, value in obs.items()} == {
        "position": [1, 0, 0, 1],
        "height": 1.5,
        "arm_left_0": [1, 0],
        "arm_left_1": [1, 0, 0],
    }
    assert obs["height"].shape == ()
    assert {value.dtype for value in obs.values()} == {np.dtype(np.float32)}


def test_multi_discrete_is_one_hot_per_part():
    assert converted(spaces.MultiDiscrete([2, 3]), np.array([1, 2]))["vector"].tolist() == [0, 1, 0, 0, 1]


IMAGE = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (spaces.Box(0, 255, (20, 24, 3), np.uint8), IMAGE),
        (spaces.Box(0, 255, (3, 20, 24), np.uint8), IMAGE.transpose(2, 0, 1)),
        (spaces.Box(0, 1, (20, 24, 3), np.float32), (IMAGE / 255).astype(np.float32)),
        (spaces.Box(-1, 1, (3, 20, 24), np.float64), IMAGE.transpose(2, 0, 1) / 127.5 - 1),
        (spaces.Box(0, 255, (20, 24, 3), np.float32), IMAGE.astype(np.float32)),
    ],
)
def test_images_become_uint8_with_channels_last(space, value):
    image = converted(space, value)["image"]
    assert image.dtype == np.uint8
    assert (image == IMAGE).all()


@pytest.mark.parametrize(
    ("low", "high", "values", "expected"),
    [
        (0, 1, [0, 1], [0, 255]),
        (0, 9, [0, 1, 9], [0, 28, 255]),
        (100, 200, [100, 150, 200], [0, 128, 255]),
        (5, 5, [5], [0]),
        (0, 255, [0, 1, 200], [0, 1, 200]),
    ],
)
def test_bytes_are_scaled_by_the_bounds_of_their_space(low, high, values, expected):
    space = spaces.Box(low, high, (20, 24, 1), np.uint8)
    for value, scaled in zip(values, expected, strict=True):
        image = converted(space, np.full((20, 24, 1), value, np.uint8))["image"]
        assert (image == scaled).all()
    notes = Adapter(ConstantEnv(space, None)).space_notes
    assert len(notes) == (high != 255)
    assert all(f"has the bounds {low} to {high}" in note for note in notes)


def test_each_pixel_of_bytes_has_its_own_bounds():
    high = np.full((20, 24, 2), 10, np.uint8)
    high[..., 1] = 5
    space = spaces.Box(np.zeros_like(high), high, dtype=np.uint8)
    assert (converted(space, high)["image"] == 255).all()
    assert converted(space, high // 2)["image"][0, 0].tolist() == [128, 102]
    with pytest.raises(
        ValueError, match=r"'image' has bytes from 10 to 10, its space says 0 to 10\. Give the space the"
    ):
        converted(space, np.full_like(high, 10))


def test_images_are_resized_and_converted_to_gray():
    space = spaces.Box(0, 255, (20, 24, 3), np.uint8)
    assert converted(space, IMAGE, size=10)["image"].shape == (10, 10, 3)
    gray = converted(space, IMAGE, gray=True)["image"]
    assert gray.shape == (20, 24, 1)
    assert np.abs(gray[..., 0] - IMAGE @ [0.299, 0.587, 0.114]).max() < 1
    stack = spaces.Box(0, 255, (4, 20, 24), np.uint8)
    assert converted(stack, np.ones((4, 20, 24), np.uint8), size=10)["image"].shape == (10, 10, 4)
    assert converted(spaces.Box(0, 255, (20, 24), np.uint8), IMAGE[..., 0])["image"].shape == (20, 24, 1)


def test_small_grids_and_byte_vectors_are_vectors():
    assert converted(spaces.Box(0, 255, (7, 7, 3), np.uint8), np.ones((7, 7, 3), np.uint8))["vector"].shape == (147,)
    assert converted(spaces.Box(0, 255, (128,), np.uint8), np.ones(128, np.uint8))["vector"].shape == (128,)


@pytest.mark.parametrize(
    ("space", "value", "message"),
    [
        (spaces.Box(-1, 1, (3,)), np.zeros(2), "shape"),
        (spaces.Box(-1, 1, (3,)), [0, 0, np.nan], "not finite"),
        (spaces.Box(-1, 1, (3,)), [0, 0, 1e300], "not finite"),
        (spaces.Box(-1, 1, (3,)), np.array([None] * 3), "dtype object"),
        (spaces.Box(0, 255, (20, 20, 3), np.uint8), np.zeros((20, 20, 3)), "dtype float64"),
        (spaces.Discrete(3), 3, "3 values|3\\] values"),
        (spaces.Dict(a=spaces.Discrete(3), b=spaces.Discrete(2)), {"a": 1, "c": 0}, r"\['a', 'c'\]"),
    ],
)
def test_observations_outside_their_space_raise(space, value, message):
    with pytest.raises((ValueError, TypeError), match=message):
        converted(space, value)


@pytest.mark.parametrize("space", [spaces.Text(5), spaces.Sequence(spaces.Discrete(2))])
def test_unsupported_spaces_are_refused_by_name(space):
    with pytest.raises(UserError, match=type(space).__name__):
        Adapter(ConstantEnv(space, None))
    with pytest.raises(UserError, match=type(space).__name__):
        normalize_action_space(space)


def test_observations_that_no_encoder_reads_are_left_out_with_a_note():
    env = Adapter(ConstantEnv(spaces.Dict(a=spaces.Discrete(2), mission=spaces.Text(9)), {"a": 1, "mission": "go"}))
    assert list(env.reset()[0]) == ["a"]
    assert env.space_notes == ["Observation 'mission' is left out: no encoder reads a Text space."]


def test_observations_named_log_are_only_logged():
    space = spaces.Dict({"a": spaces.Discrete(2), "log_height": spaces.Box(0, 9, (1,))})
    env = Adapter(ConstantEnv(space, {"a": 1, "log_height": np.array([4.0])}))
    assert list(env.observation_space) == ["a"]
    for obs, info in (env.reset(), env.step(0)[::4]):
        assert list(obs) == ["a"]
        assert info["log_height"] == 4


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (spaces.Box(0, 255, (64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)),
        (spaces.Box(0, 9, (2,)), np.zeros(2)),
        (spaces.MultiDiscrete([3, 3]), np.zeros(2, int)),
    ],
)
def test_observations_named_log_with_several_numbers_are_left_out_with_a_note(space, value):
    env = Adapter(ConstantEnv(spaces.Dict({"a": spaces.Discrete(2), "log_map": space}), {"a": 1, "log_map": value}))
    obs, info = env.reset()
    assert list(obs) == ["a"]
    assert "log_map" not in info
    (note,) = env.space_notes
    assert note == f"Observation 'log_map' is left out: only single numbers are logged, its shape is {space.shape}."


@pytest.mark.parametrize(
    "space", [spaces.Discrete(10**12), spaces.Discrete(10**8, start=5), spaces.MultiDiscrete([2**40, 2**62, 2**62])]
)
def test_one_hot_vectors_that_do_not_fit_into_memory_are_refused_by_name(space):
    kind = type(space).__name__
    with pytest.raises(UserError, match=f"'vector' is left out: the one-hot vector of this {kind} would have .* more"):
        Adapter(ConstantEnv(space, 0))
    with pytest.raises(UserError, match=rf"The action space {kind}\(.* has [\d,]+ values, and the actor needs"):
        normalize_action_space(space)
    nested = spaces.Dict(id=space, a=spaces.Discrete(2))
    env = Adapter(ConstantEnv(nested, {"id": 7, "a": 1}))
    assert list(env.reset()[0]) == ["a"]
    assert env.space_notes[0].startswith("Observation 'id' is left out: the one-hot vector")


def test_nested_observations_named_log_are_only_logged():
    space = spaces.Dict(a=spaces.Discrete(2), stats=spaces.Dict(log_x=spaces.Box(0, 9, ()), y=spaces.Discrete(2)))
    env = Adapter(ConstantEnv(space, {"a": 1, "stats": {"log_x": 4.0, "y": 0}}))
    obs, info = env.reset()
    assert list(obs) == ["a", "stats_y"]
    assert info["log_stats_x"] == 4


def test_integers_in_the_range_of_bytes_count_as_bytes():
    space = spaces.Box(0, 255, (20, 24, 3), np.uint8)
    for value in (IMAGE.tolist(), IMAGE.astype(np.int64)):
        assert (converted(space, value)["image"] == IMAGE).all()
    with pytest.raises(TypeError, match="dtype int64"):
        converted(space, IMAGE.astype(np.int64) - 1 - IMAGE.max())


@pytest.mark.parametrize("shape", [(4, 20, 24, 3), (4, 20, 24), (20, 24, 12)])
def test_a_stack_of_images_is_an_image_with_all_channels(shape):
    stack = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    image = converted(spaces.Box(0, 255, shape, np.uint8), stack)["image"]
    last = np.concatenate(list(stack), -1) if stack.ndim == 4 else np.moveaxis(stack, int(np.argmin(shape)), -1)
    assert (image == last).all()


def test_reserved_observation_keys_are_refused():
    with pytest.raises(UserError, match="reward"):
        Adapter(ConstantEnv(spaces.Dict(reward=spaces.Discrete(2)), None))


def test_observations_that_get_the_same_key_are_refused():
    space = spaces.Dict({"a/b": spaces.Discrete(2), "a_b": spaces.Discrete(3), "c": spaces.Discrete(2)})
    with pytest.raises(UserError, match="become a_b "):
        Adapter(ConstantEnv(space, None))


def test_boxes_are_rescaled_and_missing_bounds_derived():
    low, high = np.array([[-2, -np.inf], [0, 5]]), np.array([[2, np.inf], [np.inf, 9]])
    box = spaces.Box(low, high, dtype=np.float64)
    space, decode = normalize_action_space(box)
    assert space == spaces.Box(-1, 1, (4,), np.float32)
    assert decode(np.array([-1, -7, 0, 1], np.float32)).tolist() == [[-2, -1], [1, 9]]
    assert decode(np.array([3, 0.5, -3, 0], np.float32)).tolist() == [[2, 0.5], [0, 7]]
    assert normalize_action_space(box, 10.0)[1](np.array([1, 1, 1, -1])).tolist() == [[2, 10], [20, 5]]
    assert "have no bounds" in action_notes(box, 1.0)[0]
    assert action_notes(spaces.Tuple([spaces.Box(-1, 1, (2,)), spaces.Box(0, 1, ())]), 1.0) == []
    assert "have no bounds" in action_notes(spaces.Box(-np.inf, np.inf, (2,), np.int64), 1.0)[0]
    far = spaces.Box(-3e38, 3e38, (1,), np.float32)
    assert normalize_action_space(far)[1](np.array([0.5])).tolist() == [0.5]


@pytest.mark.parametrize(
    ("space", "normalized", "action", "decoded"),
    [
        (spaces.MultiBinary((2, 2)), "MultiDiscrete([2 2 2 2])", [1, 0, 0, 1], [[1, 0], [0, 1]]),
        (spaces.Box(-1, 2, (2,), np.int64), "MultiDiscrete([4 4])", [0, 3], [-1, 2]),
        (spaces.Box(0, 10_000, (1,), np.int64), "Box(-1.0, 1.0, (1,), float32)", [0.50004], [7500]),
        (spaces.MultiDiscrete([5]), "Discrete(5)", 4, [4]),
        (spaces.Tuple([spaces.Discrete(3, start=1)]), "Discrete(3)", 2, (3,)),
        (spaces.Dict(b=spaces.Box(0, 2, (1,)), a=spaces.Box(-1, 1, ())), "Box(-1.0, 1.0, (2,), float32)", [0.5, 0],
         {"b": [1.5], "a": 0}),
        (spaces.Dict(x=spaces.Discrete(2), y=spaces.Tuple([spaces.MultiBinary(1), spaces.Box(-2, 2, (1,))])),
         "MultiDiscrete([ 2  2 11])", [1, 0, 10], {"x": 1, "y": ([0], [2])}),
    ],
)  # fmt: skip
def test_every_other_action_space_is_normalized(space, normalized, action, decoded):
    found, decode = normalize_action_space(space)
    assert str(found) == normalized
    action = decode(np.array(action))
    assert space.contains(action)
    plain = lambda x: (
        {k: plain(v) for k, v in x.items()} if isinstance(x, dict)
        else tuple(map(plain, x)) if isinstance(x, tuple) else np.asarray(x).tolist()
    )  # fmt: skip
    assert plain(action) == decoded
    for _ in range(5):
        assert space.contains(decode(found.sample()))


def test_mixed_discrete_and_continuous_actions_are_discretized_with_a_note():
    space = spaces.Dict(x=spaces.Discrete(2), y=spaces.Box(-2, 2, (1,)))
    levels = [normalize_action_space(space)[1](np.array([0, level]))["y"].item() for level in range(11)]
    assert np.allclose(levels, np.linspace(-2, 2, 11))
    assert "each of the 1 continuous numbers takes one of 11 values" in action_notes(space, 1.0)[0]


def test_discrete_actions_with_a_start():
    env = Adapter(ConstantEnv(spaces.Discrete(2), 0))
    env.reset()
    _, reward, *_, info = env.step(np.int64(1))
    assert info["action"] == 4
    assert type(info["action"]) is type(spaces.Discrete(2, start=3).sample())
    assert reward == 0.5
    space, decode = normalize_action_space(spaces.MultiDiscrete([2, 3], start=[1, 2]))
    assert str(space) == "MultiDiscrete([2 3])"
    assert decode(np.array([1, 2])).tolist() == [2, 4]


@pytest.mark.parametrize("space", [spaces.Box(-1, 1, (0,)), spaces.Tuple([spaces.Box(-1, 1, (2, 0))])])
def test_empty_action_spaces_are_refused(space):
    with pytest.raises(UserError, match=r"The action space .* is empty: there is nothing to choose"):
        normalize_action_space(space)
