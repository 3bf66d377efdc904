"""The JSON files of this folder, each read once."""

import functools
import json
from pathlib import Path

FOLDER = Path(__file__).parent


@functools.cache
def load(name: str) -> dict:
    """Content of `name`.json; not to be changed."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def benchmarks() -> dict[str, dict]:
    """Benchmark -> its title, prefixes of its tasks, config keys that tell it from others, largest score if fixed."""
    return load("catalogue")["benchmarks"]


def entries(benchmark: str) -> list[dict]:
    """Catalogue entries of the methods with curves on a benchmark, ours first."""
    return [entry for entry in load("catalogue")["methods"] if entry["benchmark"] == benchmark]


def rows(entry: dict) -> dict[str, dict]:
    """Task -> figures of the curve of a catalogue entry."""
    return load(entry["benchmark"])["curves"][entry["scores"]]


def final_tables(benchmark: str) -> list[dict]:
    """Tables of final scores of methods without curves on a benchmark."""
    return [table for table in load("finals")["tables"] if table["benchmark"] == benchmark]
