"""One name per task: cup_catch is ball_in_cup_catch, james_bond is jamesbond, with or without a prefix."""

import functools
import re

from common.analysis.reference import data


def find(task: str, benchmark: str = "") -> list[tuple[str, str]]:
    """(benchmark, name in the tables) of every benchmark, or of the one asked for, that has a task; [] if none has.

    Capitals, dashes and underscores do not count. The prefix chooses the benchmarks: dmc_ those from pixels and from
    vectors, atari_ and atari100k_ one each; without a prefix a task is looked for in all. A benchmark asked for goes
    before the prefix where both have the game.
    """
    found = _spelled().get(_squash(task), [])
    if not benchmark:
        return list(found)
    own = [pair for pair in found if pair[0] == benchmark]
    return own or [(benchmark, name) for name in _tabled(benchmark) if _squash(name) == _squash(task)]


def is_same_task(one: str, two: str) -> bool:
    """Whether two names are one task, the tables asked or, for tasks that are not there, the letters."""
    return _squash(one) == _squash(two) or bool({*find(one)} & {*find(two)})


def tasks(benchmark: str) -> list[str]:
    """Names of a benchmark's tasks as its runs have them, such as atari100k_pong, in order."""
    prefix = data.benchmarks()[benchmark]["prefixes"][0]
    return [f"{prefix}_{_body(task)}" for task in _tabled(benchmark)]


@functools.cache
def _spelled() -> dict[str, list[tuple[str, str]]]:
    """Every spelling without its separators -> (benchmark, task)."""
    table: dict[str, list[tuple[str, str]]] = {}
    for benchmark, about in data.benchmarks().items():
        for task in _tabled(benchmark):
            bodies = [_body(task), *_others(_body(task))]
            for name in {_squash(prefix + body) for body in bodies for prefix in ("", *about["prefixes"])}:
                table.setdefault(name, []).append((benchmark, task))
    return table


def _tabled(benchmark: str) -> list[str]:
    curves = [data.rows(entry) for entry in data.entries(benchmark)]
    finals = [table["tasks"] for table in data.final_tables(benchmark)]
    return sorted({task for table in [*curves, *finals] for task in table})


def _body(task: str) -> str:
    return task.partition("_")[2]


def _others(body: str) -> list[str]:
    """Other spellings of a task's name, without prefix."""
    pairs = data.load("catalogue")["spellings"].items()
    return [body.replace(short, long) for short, long in pairs if short in body]


def canonical(task: str) -> str:
    """A task's name as the tables have it: ball_in_cup_catch -> cup_catch, james_bond -> jamesbond."""
    for short, long in data.load("catalogue")["spellings"].items():
        task = task.replace(long, short)
    return task


def _squash(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())
