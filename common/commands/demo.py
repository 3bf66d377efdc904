"""`demo`: train versions on a small task, then show the report and a table with the scores of a random policy."""

import json
import os
import sys
import webbrowser
from pathlib import Path

import numpy as np

from common.commands import bench
from common.config.arguments import Options, with_defaults, with_help
from common.config.request import Request
from common.errors import UserError
from common.experiments.grid.experiment import run_experiment
from common.experiments.grid.launcher import OPTIONS as LAUNCHER_OPTIONS
from common.experiments.random_policy import random_scores
from common.files import write_text

EPISODES = 10  # of the final evaluation and of the random policy
DEFAULTS = {"suite": "demo", "seeds": 1, "episodes": EPISODES, "logdir": "demo", "gif": True}
NOT_HERE = ("sweep", *LAUNCHER_OPTIONS)  # flags of `bench` alone
OPTIONS: Options = with_help(
    {name: one for name, one in with_defaults(bench.OPTIONS, DEFAULTS).items() if name not in NOT_HERE},
    jobs="runs at a time; 0: all",
)
ONE_SEED = (
    "Each score is of one seed: it shows that a version learns, not which one is best. "
    "For more: python dreamer.py demo --seeds 5"
)
EXAMPLES = (
    "demo",
    "demo --algos v1,v3 --logdir demo13",
    "demo --dry-run",
)


def demo(request: Request) -> None:
    """Train and evaluate versions in parallel, write the report, print a table and write it to `demo.md`.

    Takes the flags of `bench`, and raises UserError as `bench` does. Rerun the same command to continue a stopped demo.
    """
    options, folder = request.options, Path(request.options["logdir"])
    if options["episodes"] < 1:
        raise UserError(f"demo needs at least 1 of --episodes, got {options['episodes']}.")
    variants, tasks = bench.plan_suite(request)
    jobs = options["jobs"] or len(variants) * len(tasks) * options["seeds"]
    variants = {name: one._replace(options=options | {"jobs": jobs}) for name, one in variants.items()}
    run_experiment("demo", variants, tasks, folder)
    if not options["dry-run"] and (folder / "report.json").exists():  # runs without an episode have no report
        algo, first = next(iter(variants.items()))
        print_results(folder, {task: random_scores(first.config(algo, task=task), EPISODES) for task in tasks})


def print_results(folder: Path, random: dict[str, list[float]]) -> None:
    """Print the table, write it to `demo.md`, and open the report if there is a display."""
    found = json.loads((folder / "report.json").read_text())
    text = f"{found['title']}\n\n{results_table(found['runs'], random)}\n"
    if len(found["runs"]) == len({(run["variant"], run["task"]) for run in found["runs"]}):
        text += f"\n{ONE_SEED}\n"
    write_text(folder / "demo.md", text)
    page = (folder / "report.html").resolve()
    print(f"\n{text}\nLearning curves and more: {page}")
    if sys.stdout.isatty() and {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        webbrowser.open(page.as_uri())


def results_table(runs: list[dict], random: dict[str, list[float]]) -> str:
    """Return a Markdown table of evaluated runs. random: task -> returns of the random policy."""
    score = f"score (mean ± std of {runs[0]['evaluation']['n']} episodes)"
    lines = [["version", "task", score, "random policy", "frames", "updates", "training time"], ["---"] * 7]
    for run in runs:
        scored = "{mean:.0f} ± {std:.0f}".format(**run["evaluation"])
        counts = f"{run['frames']:,}", f"{run['updates']:,}", f"{run['wall'] / 60:.1f} min"
        lines.append([run["variant"], run["task"], scored, f"{np.mean(random[run['task']]):.0f}", *counts])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
