"""Seeking the disagreement of an ensemble explores a chain; with shuffled targets, the same search does not.

The ensemble learns alone, by its own loss. A planner knows the true chain and maximises disagreement with an entropy
bonus of fixed weight, so only the ensemble can fail. In each cell one of six actions, drawn at random, steps forward.
"""

import numpy as np
import pytest
import torch

from common.agent.ensemble import Ensemble
from common.nn.nets import Style

CELLS, ACTIONS, STEPS, EPISODES, UPDATES = 64, 6, 85, 36, 40
ENTROPY = 1.0


def chain(random):
    """Return the next cell of each cell and action (CELLS, ACTIONS)."""
    forward = random.integers(ACTIONS, size=CELLS)
    step = np.where(np.arange(ACTIONS) == forward[:, None], 1, -1)
    return np.clip(np.arange(CELLS)[:, None] + step, 0, CELLS - 1)


def plans(reward, following):
    """Return the probabilities of actions (CELLS, ACTIONS) for each step of an episode: soft value iteration."""
    value, found = np.zeros(CELLS), []
    for _ in range(STEPS):
        logits = (reward + value[following]) / ENTROPY
        top = logits.max(-1, keepdims=True)
        weights = np.exp(logits - top)
        found.append(weights / weights.sum(-1, keepdims=True))
        value = ENTROPY * (top[:, 0] + np.log(weights.mean(-1)))
    return found[::-1]


def play(following, probabilities, random):
    """Return cells and actions of an episode, and the last cell."""
    cell, cells, actions = 0, [], []
    for table in probabilities:
        cells.append(cell)
        actions.append(int(random.choice(ACTIONS, p=table[cell])))
        cell = int(following[cell, actions[-1]])
    return cells, actions


def share_seen(seed, *, shuffled=False, explores=True):
    """Return the share of the cells that are seen in all episodes."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    following, cells, actions = chain(random), [], []
    ensemble = Ensemble(CELLS, ACTIONS, CELLS, Style(), models=4, net="mlp", layers=2, units=32, factor=1.0,
                        average=False, spread="std", log=False)  # fmt: skip
    optim = torch.optim.Adam(ensemble.parameters(), 5e-3)
    one_cell, one_action = torch.eye(CELLS), torch.eye(ACTIONS)
    pairs = one_cell[:, None].expand(-1, ACTIONS, -1), one_action.expand(CELLS, -1, -1)
    probabilities = [np.full((CELLS, ACTIONS), 1 / ACTIONS)] * STEPS
    for _ in range(EPISODES):
        new_cells, new_actions = play(following, probabilities, random)
        cells, actions = cells + new_cells, actions + new_actions
        if not explores:
            continue
        for _ in range(UPDATES):
            rows = torch.randint(len(cells), (64,))
            cell, action = np.array(cells)[rows], np.array(actions)[rows]
            target = one_cell[following[cell, action]]
            target = target[torch.randperm(64)] if shuffled else target
            optim.zero_grad()
            ensemble.loss(one_cell[cell][None], one_action[action][None], target[None], None).loss.mean().backward()
            optim.step()
        disagreement = ensemble.disagreement(*pairs).detach().numpy()
        probabilities = plans(CELLS * disagreement, following)
    return len(set(cells)) / CELLS


def test_random_actions_see_less_than_a_tenth():
    assert share_seen(0, explores=False) < 0.1


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long), pytest.param(2, marks=pytest.mark.long)])
def test_disagreement_sees_more_than_four_fifths_and_not_with_shuffled_targets(seed):
    sound, faulty = share_seen(seed), share_seen(seed, shuffled=True)
    assert sound > 0.8 > faulty
