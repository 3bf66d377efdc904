"""Normalisation of scores: what counts as 0 and as 1 on a task."""

from typing import NamedTuple

from common.analysis.reference import constants

DMC_MAX_RETURN = 1000.0  # largest return of a task in DeepMind Control
MAXIMUM_SCALE = "score / 1000"
HUMAN_SCALE = "(score − random) / (human − random)"


class Scale(NamedTuple):
    """The scores that count as 0 and as 1, and their description."""

    zero: float
    one: float
    name: str

    def __call__(self, score):
        """Normalise a score, or an array of scores."""
        return (score - self.zero) / (self.one - self.zero)


def accepted_scale(task: str) -> Scale | None:
    """Return a task's accepted scale: random and human player in Atari, 0 to 1000 in DeepMind Control, else None."""
    if task.startswith("dmc_"):
        return Scale(0.0, DMC_MAX_RETURN, MAXIMUM_SCALE)
    known = constants(task)
    if known.random is None or known.human is None:
        return None
    return Scale(known.random, known.human, HUMAN_SCALE)
