"""The study: its tasks, seeds, order of runs, margins and tests, as `results/official/PROTOCOL.md` states them."""

from typing import NamedTuple

from benchmarks.learning.score_files import SIDES, Run

FRAMES = 10_000
FIRST_SEED = 10
SEEDS = 6
SHARE = 0.1  # of the range of scores: the margin that counts as equal


class Task(NamedTuple):
    """A task with its range: the mean scores of random actions and of a policy near the best."""

    name: str
    random: float
    best: float

    @property
    def margin(self) -> float:
        """Return the largest difference of scores that counts as equal."""
        return SHARE * (self.best - self.random)


CARTPOLE = Task("gym_CartPole-v1", 23.0, 500.0)
PENDULUM = Task("gym_Pendulum-v1", -1220.0, -150.0)
POINT = Task("dummy_point_50", 12.0, 48.0)

#: Version -> its tasks. V1 draws only episodes that are longer than a row, so it cannot be compared on CartPole.
TASKS = {"v1": (PENDULUM, POINT), "v2": (CARTPOLE, PENDULUM), "v3": (CARTPOLE, PENDULUM)}


def order(versions, seeds: int, first: int = FIRST_SEED, sides=SIDES) -> list[Run]:
    """Return all runs, seed after seed, both sides of a task next to each other: partial results are balanced."""
    return [
        Run(side, version, task.name, seed)
        for seed in range(first, first + seeds)
        for version in versions
        for task in TASKS[version]
        for side in sides
    ]
