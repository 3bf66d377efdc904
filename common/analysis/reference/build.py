"""Script that builds the curve files of this folder from the official repositories.

    python -m common.analysis.reference.build FOLDER

FOLDER holds clones of the repositories in folders of their names, such as dreamerv2; those of a catalogue entry with a
commit have it in their names, such as dreamerv3-423291a. Curves of the format "figure" were read from figures by hand.
"""

import json
import sys
from pathlib import Path

import numpy as np

from common.analysis.reference import data
from common.analysis.reference.binning import average_of_ends, bin_means, pool_runs
from common.analysis.reference.score_files import RawScores
from common.analysis.reference.source_files import read_sources
from common.analysis.reference.task_names import canonical


def build(benchmark: str, folder: Path) -> dict:
    """Return the content of a benchmark's curve file. Entries without a readable source keep their numbers."""
    curves = {
        entry["scores"]: data.rows(entry) if entry.get("format") == "figure" else table(entry, folder)
        for entry in data.entries(benchmark)
    }
    kept = data.load(benchmark) if (data.FOLDER / f"{benchmark}.json").exists() else {}
    return {"schema": 1, "benchmark": benchmark, **kept, "curves": curves}


def table(entry: dict, folder: Path) -> dict[str, dict]:
    """Return task -> numbers of the curve of a catalogue entry."""
    tasks: dict[str, list[RawScores]] = {}
    for run in read_sources(entry, folder):
        if (run.xs <= entry["budget"]).sum() > 1 and not run.task.startswith("stats_"):
            tasks.setdefault(canonical(run.task), []).append(run)
    return {task: row(entry, distinct_runs(tasks[task])) for task in sorted(tasks)}


def distinct_runs(runs: list[RawScores]) -> list[RawScores]:
    """Return the runs without exact copies of earlier ones: some sources list one run under several seeds.

    Runs that always have the same score, such as 0, can agree without being copies and are all kept.
    """
    found: dict[tuple, RawScores] = {}
    for number, run in enumerate(runs):
        constant = (run.ys == run.ys[0]).all()
        found.setdefault((number,) if constant else (run.xs.tobytes(), run.ys.tobytes()), run)
    return list(found.values())


def row(entry: dict, runs: list[RawScores]) -> dict:
    """Return the numbers of one curve: means with 4 digits, deviations with 3; one count if all bins have the same."""
    edges, budget = np.arange(1, entry["bins"] + 1) * (entry["budget"] / entry["bins"]), entry["budget"]
    mean, std, n = pool_runs(np.array([bin_means(run.xs, run.ys, edges, run.xs[-1] > budget) for run in runs]))
    known = np.flatnonzero(n)
    counts = n[known].tolist()
    ends = [(run.xs[run.xs <= budget], run.ys[run.xs <= budget]) for run in runs]
    score, deviation, number = average_of_ends(ends, budget, entry["reach"])
    partial = {} if known[-1] == len(known) - 1 else {"x_index": known.tolist()}
    return partial | {
        "mean": [round_digits(value, 4) for value in mean[known]],
        "std": [round_digits(value, 3) for value in std[known]],
        "n": counts[0] if len(set(counts)) == 1 else counts,
        "seeds": len(runs),
        "final": [round_digits(score, 4), round_digits(deviation, 3), number],
    }


def round_digits(value: float, digits: int) -> float:
    """Round a value to significant digits; whole numbers become integers, which are shorter in JSON."""
    rounded = float(f"{value:.{digits - 1}e}")
    return int(rounded) if rounded.is_integer() else rounded


def dump(content: dict) -> str:
    """Return the content as JSON with one line per task."""
    blocks = []
    for name, tasks in content["curves"].items():
        lines = [f"{json.dumps(task)}: {json.dumps(row, separators=(',', ':'))}" for task, row in tasks.items()]
        blocks.append(f"{json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n}")
    head = json.dumps({key: value for key, value in content.items() if key != "curves"})[:-1]
    return f'{head}, "curves": {{\n' + ",\n".join(blocks) + "\n}}\n"


if __name__ == "__main__":
    for benchmark in data.benchmarks():
        (data.FOLDER / f"{benchmark}.json").write_text(dump(build(benchmark, Path(sys.argv[1]))))
