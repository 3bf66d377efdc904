"""Ids of Gymnasium: other interfaces, ids of modules and of ale-py, hints that are true."""

import re

import numpy as np
import pytest

from common.envs import make_env, make_envs
from common.envs.suites import gym_hints
from common.errors import UserError

CONTAINED = "tests.helpers.contained_envs"


@pytest.mark.parametrize(
    ("task", "length"),
    [
        (f"{CONTAINED}:Old", 5),
        (f"{CONTAINED}:limited_old", 3),
        (f"{CONTAINED}:limited_seedless", 3),
        (f"gym_{CONTAINED}:KeptOld-v0", 4),
        (f"gym_{CONTAINED}:KeptSeedless-v0", 4),
        (f"gym_{CONTAINED}:KeptBare-v0", 4),
        (f"gym_{CONTAINED}:KeptQuiet", 5),
    ],
)
def test_other_interfaces_work_by_class_by_id_and_inside_gymnasium_s_wrappers(task, length):
    with make_envs(task, None, 1) as envs:
        records = [envs.reset(), *(envs.step(np.zeros(1, int)) for _ in range(length + 1))]
        assert envs.messages() == []
    assert [bool(record["is_last"][0]) for record in records].index(True) == length
    assert records[-1]["is_first"].all()


def test_four_values_are_noticed_below_other_wrappers():
    env = make_env(f"gym_{CONTAINED}:KeptOld-v0")
    env.reset()
    assert not env.get_wrapper_attr("returns_done")
    env.step(0)
    assert env.get_wrapper_attr("returns_done")


@pytest.mark.parametrize("env_id", ["PongNoFrameskip-v4", "Breakout-v4", "ALE/Pong-v5"])
def test_ids_of_ale_py_need_no_module(env_id):
    assert make_env(f"gym_{env_id}").observation_space["image"].shape == (64, 64, 3)


def message(task):
    with pytest.raises(UserError) as found:
        make_env(task)
    return str(found.value)


@pytest.mark.parametrize(
    ("task", "near"),
    [
        ("gym_CartPol-v1", "gym_CartPole-v1"),
        ("gym_cartpole-v9", "gym_CartPole-v1"),
        ("gym_BreakoutNoFrameskp-v4", "gym_BreakoutNoFrameskip-v4"),
        (f"gym_{CONTAINED}:KeptQuite-v1", f"gym_{CONTAINED}:KeptQuiet-v1"),
        (f"gym_{CONTAINED}:CartPol-v1", "gym_CartPole-v1"),
    ],
)
def test_hints_can_be_typed(task, near):
    text = message(task)
    advised = re.search(r"Nearest: (.*?)\.( |$)", text)[1].split(", ")
    assert near in advised
    for other in advised:
        make_env(other)


def test_an_id_that_no_name_resembles_gets_no_nearest_but_the_way_to_give_a_module():
    text = message("gym_highway-v0")
    assert "Nearest" not in text
    assert "gym_MODULE:highway-v0" in text


def test_a_hint_whose_environment_cannot_be_made_is_not_printed():
    text = message(f"gym_{CONTAINED}:KeptWordles-v0")
    assert "KeptWordless" not in text


def test_a_module_that_does_not_exist_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "registers_few.py").write_text("")
    text = message("gym_registers_fw:Foo-v0")
    assert f"'registers_fw' is neither in {tmp_path} nor installed" in text
    assert "similar name: registers_few" in text
    assert "pip install" not in text
    assert "registers no id like it" in message("gym_json:Foobar-v0") or "Nearest" in message("gym_json:Foobar-v0")


def test_a_hint_is_tried_for_a_limited_time(monkeypatch):
    import time

    monkeypatch.setattr(gym_hints, "TRIAL_SECONDS", 0.05)
    assert gym_hints.can_be_made(["slow"], lambda env_id: time.sleep(5)) == []
