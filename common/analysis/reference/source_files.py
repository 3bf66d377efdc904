"""Reader of the score files of other projects, for the script that builds the curve files of this folder.

Formats, named by `format` of a catalogue entry: "official" as in the repositories of Dreamer; "tdmpc2": a CSV file per
task with step, score and seed; "harmony": one JSON file with steps, and scores of every seed per game.
"""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.analysis.reference.score_files import RawScores, read_score_file

#: Benchmark -> pattern of the names of its CSV files, and prefix of its tasks.
CSV_TASKS = {
    "dmc_states": (r"(acrobot|cartpole|cheetah|cup|finger|fish|hopper|pendulum|quadruped|reacher|walker)-.*", "dmc_"),
    "dmc_locomotion": (r"(dog|humanoid)-.*", "dmc_"),
    "metaworld": (r"mw-.*", "metaworld_"),
}


def read_sources(entry: dict, folder: Path) -> list[RawScores]:
    """Return the runs of a catalogue entry from a clone of its repository; `folder` holds the clones."""
    name = entry["repository"].split("/")[1]
    path = folder / (f"{name}-{entry['commit']}" if "commit" in entry else name) / entry["scores"]
    readers = {"official": read_score_file, "harmony": read_harmony_file}
    if entry.get("format") == "tdmpc2":
        return list(read_csv_files(path, entry["benchmark"]))
    return list(readers[entry.get("format", "official")](path))


def read_csv_files(pattern: Path, benchmark: str) -> Iterator[RawScores]:
    """Yield the runs of TD-MPC2's files that are of a benchmark. The score before training, at frame 0, is left out."""
    names, prefix = CSV_TASKS[benchmark]
    for path in sorted(pattern.parent.glob(pattern.name)):
        if not re.fullmatch(names, path.stem):
            continue
        with path.open(newline="") as file:
            _, *rows = csv.reader(file)
        task = path.stem.removeprefix("mw-") if benchmark == "metaworld" else path.stem.replace("-", "_")
        for seed in sorted({row[2] for row in rows}):
            points = np.array(sorted((float(x), float(y)) for x, y, who in rows if who == seed and float(x) > 0))
            yield RawScores(prefix + task, "", seed, "", *points.T)


def read_harmony_file(path: Path) -> Iterator[RawScores]:
    """Yield the runs of HarmonyDream's file of Atari scores. It counts frames."""
    content = json.loads(path.read_text())
    for game, runs in content["score"].items():
        for seed, ys in enumerate(runs):
            task = f"atari_{game.lower().replace(' ', '_')}"
            yield RawScores(task, "", str(seed), "", np.array(content["steps"], float), np.array(ys, float))
