"""Task names in any spelling: ball_in_cup_catch is cup_catch, jamesbond is james_bond, with or without prefix."""

import functools
import re

from common.analysis.reference import data


def find(task: str, benchmark: str = "") -> list[tuple[str, str]]:
    """Return (benchmark, name in the tables) for each benchmark that has a task; [] if none has.

    Ignores case, dashes and underscores, and the version of Meta-World's tasks. The prefix selects the benchmarks: dmc_
    those from pixels and from vectors, atari_ and atari100k_ one each, no prefix all of them. `benchmark` takes
    precedence over the prefix.
    """
    found = _spellings().get(_squash(task), [])
    if not benchmark:
        return list(found)
    own = [pair for pair in found if pair[0] == benchmark]
    return own or [(benchmark, name) for name in _table_names(benchmark) if _squash(name) == _squash(task)]


def is_same_task(one: str, two: str) -> bool:
    """Return whether two names are the same task, according to the tables or, for other tasks, to their letters."""
    return _squash(one) == _squash(two) or bool({*find(one)} & {*find(two)})


def tasks(benchmark: str) -> list[str]:
    """Return the sorted names of a benchmark's tasks as runs have them, such as atari100k_pong."""
    prefix = data.benchmarks()[benchmark]["prefixes"][0]
    return [f"{prefix}_{_without_prefix(task)}" for task in _table_names(benchmark)]


def canonical(task: str) -> str:
    """Return the name of a task in the tables: ball_in_cup_catch -> cup_catch, james_bond -> jamesbond."""
    for short, long in data.load("catalogue")["spellings"].items():
        task = task.replace(long, short)
    return task


@functools.cache
def _spellings() -> dict[str, list[tuple[str, str]]]:
    """Return every spelling without separators and case -> (benchmark, task)."""
    table: dict[str, list[tuple[str, str]]] = {}
    others = data.load("catalogue")["spellings"].items()
    for benchmark, about in data.benchmarks().items():
        for task in _table_names(benchmark):
            body = _without_prefix(task)
            bodies = [body, *(body.replace(short, long) for short, long in others if short in body)]
            ends = ("", *about.get("suffixes", ()))
            prefixes = ("", *about["prefixes"])
            for name in {_squash(start + body + end) for body in bodies for start in prefixes for end in ends}:
                table.setdefault(name, []).append((benchmark, task))
    return table


def _table_names(benchmark: str) -> list[str]:
    curves = [data.rows(entry) for entry in data.entries(benchmark)]
    finals = [table["tasks"] for table in data.final_tables(benchmark)]
    return sorted({task for table in [*curves, *finals] for task in table})


def _without_prefix(task: str) -> str:
    return task.partition("_")[2]


def _squash(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())
