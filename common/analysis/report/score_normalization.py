"""Scores of different tasks on one scale."""

from typing import NamedTuple

from common.analysis.reference import constants

DMC_MAX_RETURN = 1000.0  # largest return of a task in DeepMind Control


class Scale(NamedTuple):
    """Scores that count as 0 and as 1, and what they are."""

    zero: float
    one: float
    name: str

    def __call__(self, score):
        """Score on the scale; works for arrays, too."""
        return (score - self.zero) / (self.one - self.zero)


def scale(task: str) -> Scale | None:
    """The scale that a task is known for: a random and a human player in Atari, 0 to 1000 in DeepMind Control."""
    if task.startswith("dmc_"):
        return Scale(0.0, DMC_MAX_RETURN, "score / 1000")
    known = constants(task)
    if known.random is None or known.human is None:
        return None
    return Scale(known.random, known.human, "random player 0, human 1")
