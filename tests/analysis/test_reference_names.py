"""Task names in all spellings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.analysis.reference import constants, curves, data, find, normalise, task_names

ALL = [(benchmark, task) for benchmark in data.benchmarks() for task in task_names.tasks(benchmark)]


@pytest.mark.parametrize(("one", "other"), [
    ("dmc_cup_catch", "dmc_ball_in_cup_catch"),
    ("cup_catch", "ball_in_cup_catch"),
    ("atari_james_bond", "atari_jamesbond"),
    ("atari100k_james_bond", "atari100k_JamesBond"),
    ("walker-walk", "Walker Walk"),
    ("dmc_finger_turn_hard", "DMC-finger-turn_hard"),
    ("metaworld_pick-place", "metaworld_pick-place-v3"),
])  # fmt: skip
def test_spellings_of_one_task(one, other):
    assert find(one) == find(other) != []
    assert [curve.mean.tolist() for curve in curves(one)] == [curve.mean.tolist() for curve in curves(other)]


@given(st.sampled_from(ALL), st.sampled_from("_- "), st.booleans(), st.booleans())
def test_separators_case_and_prefixes_are_ignored(pair, separator, upper, bare):
    benchmark, task = pair
    name = task.partition("_")[2] if bare else task
    name = name.replace("_", separator)
    name = name.upper() if upper else name
    assert {found for found in find(task) if found[0] == benchmark} <= set(find(name))
    assert task_names.is_same_task(task, name)


@given(st.sampled_from(ALL), st.sampled_from(ALL))
def test_different_tasks_are_different(one, other):
    if one[1] != other[1]:
        assert not task_names.is_same_task(one[1], other[1])


def test_the_prefix_selects_the_benchmark():
    assert find("atari_pong") == [("atari", "atari_pong")]
    assert find("atari100k_pong") == [("atari100k", "atari_pong")]
    assert [benchmark for benchmark, _ in find("pong")] == ["atari", "atari100k"]
    assert [benchmark for benchmark, _ in find("dmc_walker_walk")] == ["dmc_vision", "dmc_proprio", "dmc_states"]
    assert find("dmc_quadruped_run", "dmc_proprio") == []
    assert find("atari_pong", "atari100k") == [("atari100k", "atari_pong")]


@pytest.mark.parametrize("task", ["gym_CartPole-v1", "dummy", "my_env:Pong", "crafter_other", "dmc_walker", "", "_"])
def test_tasks_without_published_scores(task):
    assert find(task) == curves(task) == []
    assert constants(task) == (None, None, None)
    assert normalise(task, 1.0) is None


def test_constants_and_scales():
    assert constants("atari100k_pong") == constants("pong") == (-20.7, 14.6, 21.0)
    assert constants("james_bond")[:2] == (29.0, 302.8)
    assert constants("atari_air_raid").human is None
    assert normalise("atari_pong", -20.7) == 0
    assert normalise("atari_pong", 14.6) == 1
    assert normalise("atari_pong", 21.0, "record") == 1
    assert normalise("dmc_walker_walk", 250) == 0.25
