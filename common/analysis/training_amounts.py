"""Amounts of training in a comparison: updates and replayed steps, and a notice if they differ more than twofold."""

from collections.abc import Iterable
from typing import NamedTuple

MAX_RATIO = 2.0  # between the variants of a task, without a notice
UNITS = {"updates": "updates", "replayed": "replayed steps"}  # field of an amount -> its name; also values of --match
UNKNOWN_MATCH = ""  # of runs that are not from one comparison


class TrainingAmount(NamedTuple):
    """Updates and replayed steps (updates x batch size x batch length) of a variant on a task, means over seeds."""

    variant: str
    task: str
    updates: float
    replayed: float


def mean_amounts(runs: Iterable[TrainingAmount]) -> list[TrainingAmount]:
    """Return the means over the runs of each variant on each task, in order of appearance."""
    groups: dict[tuple[str, str], list[TrainingAmount]] = {}
    for run in runs:
        groups.setdefault((run.variant, run.task), []).append(run)
    mean = lambda own, field: sum(getattr(run, field) for run in own) / len(own)
    return [TrainingAmount(*pair, *(mean(own, field) for field in UNITS)) for pair, own in groups.items()]


def uneven_notice(amounts: Iterable[TrainingAmount], match: str = UNKNOWN_MATCH) -> str:
    """Return where variants differ most in updates or replayed steps; "" if no task has more than twofold differences.

    match: the value of --match of the comparison; the notice names the others.
    """
    by_task: dict[str, list[TrainingAmount]] = {}
    for amount in amounts:
        by_task.setdefault(amount.task, []).append(amount)
    ratios = {task: max(_ratio(own, field) for field in UNITS) for task, own in by_task.items()}
    uneven = [task for task, ratio in ratios.items() if ratio > MAX_RATIO]
    if not uneven:
        return ""
    worst = max(uneven, key=lambda task: ratios[task])
    parts = [_range(by_task[worst], field) for field in UNITS if _ratio(by_task[worst], field) > MAX_RATIO]
    more = f" {len(uneven) - 1} more task{'s' * (len(uneven) > 2)} differ{'s' * (len(uneven) == 2)} more than twofold."
    flags = " or ".join(f"--match {field}" for field in UNITS if field != match)
    advice = f" Use {flags} for equal numbers." if match else ""
    return f"The variants train unequally. On {worst}: {'; '.join(parts)}.{more * (len(uneven) > 1)}{advice}"


def _ratio(amounts: list[TrainingAmount], field: str) -> float:
    """Return the largest amount divided by the smallest; 1 if all are 0."""
    values = [getattr(amount, field) for amount in amounts]
    return max(values) / min(values) if min(values) > 0 else float("inf") if max(values) > 0 else 1.0


def _range(amounts: list[TrainingAmount], field: str) -> str:
    """Return '1,000 updates of v1 to 18,001 of v3 (18 times)'."""
    low, *_, high = sorted(amounts, key=lambda amount: getattr(amount, field))
    ratio = _ratio(amounts, field)
    times = f" ({ratio:.2g} times)" if ratio < 100 else f" ({ratio:,.0f} times)" if ratio < float("inf") else ""
    least, most = (getattr(one, field) for one in (low, high))
    return f"{least:,.0f} {UNITS[field]} of {low.variant} to {most:,.0f} of {high.variant}{times}"
