"""Script that builds the curve files of this folder from the official repositories.

    python -m common.analysis.reference.build FOLDER

FOLDER holds clones of the repositories in folders of their names: dreamer, dreamerv2, dreamerv3.
"""

import json
import sys
from pathlib import Path

import numpy as np

from common.analysis.reference import data, score_files
from common.analysis.reference.binning import average_of_ends, bin_means, pool_runs
from common.analysis.reference.task_names import canonical


def build(benchmark: str, folder: Path) -> dict:
    """Return the content of a benchmark's curve file."""
    curves = {entry["scores"]: table(entry, folder) for entry in data.entries(benchmark)}
    return {"schema": 1, "benchmark": benchmark, "curves": curves}


def table(entry: dict, folder: Path) -> dict[str, dict]:
    """Return task -> numbers of the curve of a catalogue entry."""
    tasks: dict[str, list] = {}
    for run in score_files.read_score_file(folder / entry["repository"].split("/")[1] / entry["scores"]):
        if (run.xs <= entry["budget"]).sum() > 1 and not run.task.startswith("stats_"):
            tasks.setdefault(canonical(run.task), []).append(run)
    return {task: row(entry, tasks[task]) for task in sorted(tasks)}


def row(entry: dict, runs: list[score_files.RawScores]) -> dict:
    """Return the numbers of one curve: means with 4 digits, deviations with 3; one count if all bins have the same."""
    edges = np.arange(1, entry["bins"] + 1) * (entry["budget"] / entry["bins"])
    mean, std, n = pool_runs(np.array([bin_means(run.xs, run.ys, edges) for run in runs]))
    known = np.flatnonzero(n)
    counts = n[known].tolist()
    ends = [(run.xs[run.xs <= entry["budget"]], run.ys[run.xs <= entry["budget"]]) for run in runs]
    score, deviation, number = average_of_ends(ends, entry["budget"], entry["reach"])
    partial = {} if len(known) == len(edges) else {"x_index": known.tolist()}
    return partial | {
        "mean": [round_digits(value, 4) for value in mean[known]],
        "std": [round_digits(value, 3) for value in std[known]],
        "n": counts[0] if len(set(counts)) == 1 else counts,
        "seeds": len(runs),
        "final": [round_digits(score, 4), round_digits(deviation, 3), number],
    }


def round_digits(value: float, digits: int) -> float:
    """Round a value to significant digits."""
    return float(f"{value:.{digits - 1}e}")


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
