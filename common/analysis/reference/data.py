"""Access to the JSON files of this folder; each is read once."""

import functools
import json
from pathlib import Path

FOLDER = Path(__file__).parent


@functools.cache
def load(name: str) -> dict:
    """Return the content of `name`.json. Callers must not change it."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def benchmarks() -> dict[str, dict]:
    """Return benchmark -> what the catalogue has on it.

    title; prefixes and suffixes of task names; config: keys that identify it. Where they apply, metric: what the scores
    are if not returns; scale: the score that counts as 1; range, limits: possible scores of all and of single tasks.
    """
    return load("catalogue")["benchmarks"]


def entries(benchmark: str) -> list[dict]:
    """Return the catalogue entries of the methods with curves on a benchmark, the versions of Dreamer first."""
    return [entry for entry in load("catalogue")["methods"] if entry["benchmark"] == benchmark]


def rows(entry: dict) -> dict[str, dict]:
    """Return task -> numbers of the curve of a catalogue entry."""
    return load(entry["benchmark"])["curves"][entry["scores"]]


def final_tables(benchmark: str) -> list[dict]:
    """Return the tables of final scores of runs without curves on a benchmark."""
    return [table for table in load("finals")["tables"] if table["benchmark"] == benchmark]


def success_rates(benchmark: str) -> dict:
    """Return "achievements": their names, and "percent": method -> rates, as Crafter has them; {} for the others."""
    return load(benchmark).get("rates", {}) if entries(benchmark) else {}
