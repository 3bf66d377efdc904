"""On a chain that random actions do not cross, disagreement alone sees almost all cells, and V3 without it few."""

import numpy as np
import pytest

import dreamer
from common.envs.suites.dummy import Chain
from common.training.train import train
from tests.learning.test_learning import FAST, SMALL, VERSIONS

pytestmark = [pytest.mark.learning, pytest.mark.long]  # the short form is in test_planned_exploration.py

STEPS = 2000
DISAGREEMENT = {"explore.use": "Plan2Explore", "explore.extr_scale": 0.0, "explore.models": 4}


@pytest.fixture
def seen(monkeypatch):
    """The cells that the environment was in."""
    cells, observe = set(), Chain._observe

    def counting(self):
        cells.add(self.cell)
        return observe(self)

    monkeypatch.setattr(Chain, "_observe", counting)
    return cells


def run(folder, algo="v3", **flags):
    flags = SMALL | VERSIONS[algo] | FAST | {"task": "dummy_chain", "steps": STEPS, "seed": 1} | flags
    flags |= {"run.parallel": "none", "run.precision": "fp32", "run.compile": "off", "logdir": str(folder / "run")}
    train(dreamer.resolve(algo, ["debug"], flags))


def test_random_actions_see_less_than_a_tenth(seen):
    chain, random = Chain(), np.random.default_rng(0)
    for step in range(STEPS):
        if step % 150 == 0:
            chain.reset(random, 150)
        chain.step(int(random.integers(4)), 0.0)
    assert len(seen) < 0.1 * Chain.cells


def test_disagreement_sees_more_than_four_fifths(seen, tmp_path):
    run(tmp_path, **DISAGREEMENT)
    assert len(seen) > 0.8 * Chain.cells


def test_without_it_v3_sees_less_than_a_tenth(seen, tmp_path):
    run(tmp_path)
    assert len(seen) < 0.1 * Chain.cells
