"""A short form of `make soak`: kills at random points, and bad input of every kind."""

import random
from collections import Counter

import pytest
from fuzz_tools import ends_well
from inputs import Inputs
from soak_tools import Children, killed_and_resumed, straight


@pytest.fixture(scope="module")
def children(tmp_path_factory):
    made = Children(tmp_path_factory.mktemp("children"))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("algo", "disk", "kills"),
    [
        ("v3", True, [("replay", 0.7), ("beginning", 0.8), ("checkpoint", 0.2)]),
        pytest.param("v1", False, [("evaluation", 0.6), ("files", 0.1)], marks=pytest.mark.long),
    ],
    ids=["v3-disk", "v1-memory"],
)
def test_a_killed_run_resumes_bit_by_bit(children, tmp_path, algo, disk, kills):
    run = straight(children, algo, disk, tmp_path / "straight")
    assert len(killed_and_resumed(children, run, tmp_path / "killed", kills)) == len(kills)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return Inputs(tmp_path_factory.mktemp("inputs"))


@pytest.mark.parametrize(
    ("kind", "cases"),
    [
        ("flags", 60), ("words", 30), ("config files", 8), ("files of a logdir", 3), ("checkpoints", 3),
        ("replay files", 3), ("records of JSON", 2), ("grids", 4), ("batches on file", 3), ("score files", 60),
        ("logdirs", 30),
    ],
)  # fmt: skip
def test_bad_input_ends_in_success_or_one_message_and_changes_nothing(inputs, kind, cases, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(cases):
        inputs.kinds[kind](random.Random(f"{kind} {number}"))
    assert not list(tmp_path.iterdir())


def test_every_fuzzed_command_succeeds_with_good_input(inputs):
    run, _ = inputs.copy(random.Random(0))
    for words in inputs.commands(run):
        assert ends_well(words) == 0, words
    assert ends_well(["debug-batch", inputs.caught]) == 0


@pytest.mark.long
def test_a_command_that_is_always_refused_is_reported(inputs, monkeypatch):
    monkeypatch.setattr(inputs, "ends", Counter({("report", 2): 100, ("eval", 2): 90, ("eval", 0): 10, ("plan", 2): 3}))
    assert inputs.vain() == ["report"]
