"""Runs of a game with its minimal and its full set of actions share a session."""

import numpy as np
import pytest
from gymnasium import spaces

from common.errors import UserError
from common.viewer.actions import Actions
from common.viewer.environment import Environment
from common.viewer.runs import load_runs
from common.viewer.session import Session
from common.viewer.shared_actions import NamedActions, nearest_place, share_actions
from tests.helpers.saved_runs import untrained

PONG = ["NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE"]
BREAKOUT = ["NOOP", "FIRE", "RIGHT", "LEFT"]


def discrete(*names):
    return Actions(spaces.Discrete(len(names)), names)


@pytest.mark.parametrize(
    ("names", "name", "nearest"),
    [
        (PONG, "UPRIGHTFIRE", "RIGHTFIRE"),
        (PONG, "UPRIGHT", "RIGHT"),
        (PONG, "LEFT", "LEFT"),
        (PONG, "DOWN", "NOOP"),
        (BREAKOUT, "LEFTFIRE", "LEFT"),
        (BREAKOUT, "UPFIRE", "FIRE"),
    ],
)
def test_an_action_outside_the_set_becomes_the_one_with_most_of_its_words(names, name, nearest):
    assert names[nearest_place(name, names)] == nearest


def test_names_decide_not_places():
    large, small = discrete("LEFT", "NOOP", "UPLEFT"), discrete("NOOP", "LEFT")
    shared, (one, two) = share_actions([large, small], ["a", "b"])
    assert shared is small
    assert one.to_own(small.action([1])).numbers == [0]
    assert [one.to_shared(large.action([place])).numbers for place in range(3)] == [[1], [0], [1]]
    assert two.to_own(small.action([1])).numbers == [1]


def test_sets_without_common_names_are_refused():
    for other in (discrete("a", "b", "c"), Actions(spaces.Discrete(3))):
        with pytest.raises(UserError, match=r"a and b differ in their actions.*--logdir b"):
            share_actions([discrete("NOOP", "LEFT"), other], ["a", "b"])


@pytest.mark.parametrize("order", [("few", "all"), ("all", "few")])
def test_a_minimal_and_a_full_run_of_two_protocols_share_a_game(order, tmp_path):
    untrained(tmp_path / "few", "v1", "atari_pong", env__actions="minimal")
    untrained(tmp_path / "all", "v3", "atari100k_pong", env__actions="full")
    runs = load_runs([str(tmp_path / name) for name in order])
    environment = Environment(runs[0].config, [run.config for run in runs])
    session = Session(environment, runs, None)
    assert session.actions.names == PONG
    full = next(own for own in session.sets if isinstance(own, NamedActions))
    for who, agent in (("agent", 0), ("agent", 1), ("random", 0)):
        session.change("who", who)
        session.change("agent", agent)
        for _ in range(8):
            session.step()  # raises an error if rewards or ends of the two copies differ
            small, large = session.action.numbers, full.to_own(session.action).numbers
            assert PONG[int(small[0])] == full.own.names[int(large[0])]
            screens = [copy.render(0) for copy in environment.copies]
            assert np.array_equal(*screens)
    environment.close()
