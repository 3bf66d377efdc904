"""Interfaces other than Gymnasium's: the old gym's, dm_env's, and ids that a module registers."""

import dm_env
import gymnasium
import numpy as np
import pytest
from dm_env import specs
from gymnasium import spaces

from common.envs import make_env, make_envs
from common.envs.adapt.any_interface import as_gymnasium
from common.envs.adapt.gym_compat import is_reset_pair
from common.errors import UserError
from tests.helpers import awkward_envs as awkward

AWKWARD = "tests.helpers.awkward_envs"


def play(task, steps, env=None):
    """Records of one environment with the same actions every time."""
    with make_envs(f"{AWKWARD}:{task}", env, 1, seed=3) as envs:
        envs.act_space.seed(0)
        return [envs.reset(), *(envs.step(np.array([envs.act_space.sample()])) for _ in range(steps))]


def flags(records):
    return "".join("F" if r["is_first"] else "T" if r["is_terminal"] else "L" if r["is_last"] else "." for r in records)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("Old", "F....TF....T"),
        ("OldInTime", "F....LF....L"),
        ("Unprepared", "F......LF..."),
        ("Desk", "F.....TF...."),
        ("OldPair", "F....TF....T"),
        ("Choice", "F.....LF...."),
        ("Words", "F.....LF...."),
        ("Mixed", "F......LF..."),
    ],
)
def test_flags_of_every_interface_and_one_seed_one_episode(task, expected):
    records = play(task, len(expected) - 1)
    assert flags(records) == expected
    assert [record["reward"].item() for record in records[:2]] == [0, 500 if "Old" in task else 1]
    for one, other in zip(records, play(task, len(expected) - 1), strict=True):
        assert all(np.array_equal(one[key], other[key]) for key in one if key != "log")
    key = next(key for key in records[0] if key not in ("reward", "is_first", "is_last", "is_terminal", "log"))
    assert (records[0][key] != records[expected.rindex("F")][key]).any()


def test_dm_env_s_specs_become_spaces():
    env = make_env(f"{AWKWARD}:Desk", {"size": 0})
    assert {key: space.shape for key, space in env.observation_space.items()} == {
        "angle": (3,),
        "picture": (20, 20, 3),
        "button": (4,),
    }
    assert str(env.action_space) == "Box(-1.0, 1.0, (3,), float32)"
    assert str(make_env(f"{AWKWARD}:Choice").action_space) == "Discrete(3)"


def test_a_pair_of_observation_and_info_differs_from_an_observation_that_is_a_pair():
    assert list(make_env(f"{AWKWARD}:OldPair").reset()[0]) == ["0", "1_light"]
    space = awkward.OldPair.observation_space
    for answer, pair in [((0, {"light": 1}), False), (((0, {"light": 1}), {}), True), ((0, {}), True)]:
        assert is_reset_pair(answer, space) == pair
    assert is_reset_pair((0, None), spaces.Discrete(2))  # `check_info` refuses this info
    assert not is_reset_pair((0, None), spaces.Tuple([spaces.Discrete(2)] * 2))


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
def test_actions_of_dm_env_have_the_dtype_of_their_spec(dtype, monkeypatch):
    spec = {"choice": specs.DiscreteArray(3, dtype), "force": specs.BoundedArray((2,), np.float32, -1, 1)}

    def step(self, action):
        assert set(action) == set(spec)
        for key, part in spec.items():
            part.validate(action[key])
        return dm_env.transition(1.0, self.observe())

    monkeypatch.setattr(awkward.Desk, "action_spec", lambda self: spec)
    monkeypatch.setattr(awkward.Desk, "step", step)
    env = make_env(f"{AWKWARD}:Desk")
    env.reset()
    assert env.step(np.array([2, 10, 0]))[1] == 1


def test_text_of_dm_env_is_left_out_with_a_note():
    env = make_env(f"{AWKWARD}:Words")
    assert list(env.reset()[0]) == ["position"]
    assert env.get_wrapper_attr("space_notes") == ["Observation 'mission' is left out: no encoder reads a Text space."]


@pytest.mark.parametrize(
    ("task", "shape"),
    [
        ("drawn_envs:OldDrawn", (8, 9, 3)),
        ("drawn_envs:DeskDrawn", (240, 320, 3)),
        ("drawn_envs:PlainDrawn", (8, 9, 3)),
        ("drawn_envs:UnpreparedDrawn", (8, 9, 3)),
        ("awkward_envs:Old", None),
        ("awkward_envs:Desk", None),
    ],
)
def test_every_interface_can_be_filmed(task, shape):
    with make_envs(f"tests.helpers.{task}", {"film": True, "size": 0}, 1, parallel="none") as envs:
        envs.reset()
        frame = envs.render(0)
    assert (frame is None) if shape is None else (frame.shape == shape)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("drawn_envs:FloatsDrawn", "render returned ndarray float64 (8, 9, 3), not uint8 (H, W, 3)"),
        ("drawn_envs:NeverDrawn", "render failed with RuntimeError: no display"),
        ("drawn_envs:PanicsDrawn", "render failed with Panic: no display"),
        ("awkward_envs:Plain", None),
    ],
)
def test_a_render_result_that_is_not_a_frame_is_reported(task, message):
    with make_envs(f"tests.helpers.{task}", {"film": True}, 1, parallel="none") as envs:
        envs.reset()
        assert envs.render(0) is None
        found = envs.messages()
    assert len(found) == bool(message)
    assert all(message in text for text in found)


def test_a_wrong_number_of_values_from_step_is_reported(monkeypatch):
    monkeypatch.setattr(awkward.Old, "step", lambda self, action: (np.zeros(3), 1.0, False))
    env = make_env(f"{AWKWARD}:Old")
    env.reset()
    with pytest.raises(ValueError, match="step returned 3 values, not"):
        env.step(np.zeros(1))


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("action_space", None, "made a Old, which has no action_space"),
        ("observation_space", 3, "3, a int, is not a Gymnasium space"),
        ("observation_space", lambda self, agent: None, "made a Old, which has several agents"),
    ],
)
def test_an_invalid_environment_is_refused_with_its_problem(attribute, value, message, monkeypatch):
    monkeypatch.setattr(awkward.Old, attribute, value)
    with pytest.raises(UserError, match=message):
        make_env(f"{AWKWARD}:Old")


def test_ids_that_a_module_registers(tmp_path, monkeypatch):
    (tmp_path / "registers.py").write_text(
        f"import gymnasium\ngymnasium.register('Registered-v0', '{AWKWARD}:Plain', max_episode_steps=4)\n"
    )
    monkeypatch.chdir(tmp_path)
    try:
        assert make_env("gym_registers:Registered-v0").observation_space["vector"].shape == (3,)
    finally:
        gymnasium.registry.pop("Registered-v0", None)


def test_ids_are_suggested_only_for_unknown_ids():
    def needs(package):
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    gymnasium.register("Needs-v0", needs, kwargs={"package": "nonesuch"})
    try:
        with pytest.raises(UserError, match=r"No module named 'nonesuch' .*Try pip install nonesuch.$"):
            make_env("gym_Needs-v0")
    finally:
        gymnasium.registry.pop("Needs-v0")
    with pytest.raises(UserError, match="Nearest: gym_CartPole-v1"):
        make_env("gym_CartPol-v1")


def test_unbounded_actions_are_reported_once_and_scaled():
    with make_envs(f"{AWKWARD}:Endless", {"action_scale": 5.0}, 2) as envs:
        (message,) = envs.messages()
        assert "Their range is 5 around zero" in message
        assert envs.messages() == []


class Plain(gymnasium.Env):
    """Returns zeros and counts steps in an info."""

    observation_space, action_space = spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action):
        return np.zeros(3, np.float32), 1.0, False, False, {}


class Forwards(Plain):
    """Gives the specs of a dm_env environment inside it, as wrappers of dm_control do."""

    def __getattr__(self, name):
        return getattr(awkward.Desk(), name)


class LooksUp(Plain):
    """Looks unknown attributes up in a dict."""

    def __getattr__(self, name):
        return {}[name]


class SeedsNothing(Plain):
    """Its `seed` returns a number, and its `reset` takes none."""

    def reset(self):
        return np.zeros(3, np.float32), {}

    def seed(self):
        return 3


class GivesLists(Plain):
    """Returns lists in place of tuples."""

    def reset(self, *, seed=None, options=None):
        return list(super().reset(seed=seed))

    def step(self, action):
        return list(super().step(action))


class Unsigned(Plain):
    """Its `reset` has no signature, as functions written in C."""

    def __init__(self):
        self.reset = type("Reset", (), {"__signature__": 0, "__call__": lambda _: Plain.reset(self)})()


@pytest.mark.parametrize("kind", [Forwards, LooksUp, SeedsNothing, GivesLists, Unsigned])
def test_unusual_attributes_and_answers_of_gymnasium_s_interface(kind):
    env = as_gymnasium(kind(), "it")
    obs, info = env.reset(seed=1)
    assert (obs.tolist(), info) == ([0, 0, 0], {})
    assert env.step(0)[1:] == (1.0, False, False, {})
    assert not env.get_wrapper_attr("returns_done")
    env.close()


def test_classes_of_the_old_interface_may_look_attributes_up():
    old = type("Looks", (awkward.Old,), {"__getattr__": lambda self, name: {}[name]})()
    old.reset = awkward.Old.reset.__get__(old)
    assert as_gymnasium(old, "it").reset(seed=1)[1] == {}


def test_a_reset_that_needs_other_arguments_is_named():
    class Needs(Plain):
        def reset(self, state):
            return super().reset()

    with pytest.raises(TypeError, match=r"reset needs the arguments state\. Give them default values"):
        as_gymnasium(Needs(), "it").reset(seed=1)
