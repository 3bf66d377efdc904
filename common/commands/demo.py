"""`demo`: trains versions side by side on a small task, then shows the report and a table beside random actions."""

import json
import os
import sys
import webbrowser
from pathlib import Path
from typing import Any

import numpy as np

from common.commands import bench
from common.config.request import Request
from common.envs import make_envs
from common.errors import UserError
from common.experiments.grid.experiment import run_experiment
from common.files import write_text

EPISODES = 10  # of the final evaluation and of the random policy
OPTIONS: dict[str, Any] = bench.OPTIONS | {"suite": "demo", "seeds": 1, "episodes": EPISODES, "logdir": "demo"}


def demo(request: Request) -> None:
    """Trains versions side by side, evaluates them, writes the report, and `demo.md` with the table it prints.

    Takes the flags of `bench`. A demo that was broken off goes on. Raises UserError as `bench` does.
    """
    own, folder = request.options, Path(request.options["logdir"])
    if own["episodes"] < 1:
        raise UserError(f"demo plays --episodes with every version, at least 1, got {own['episodes']}.")
    variants, tasks = bench.plan_suite(request)
    side_by_side = {"jobs": own["jobs"] or len(variants) * len(tasks) * own["seeds"]}
    variants = {name: one._replace(options=own | side_by_side) for name, one in variants.items()}
    run_experiment("demo", variants, tasks, folder)
    if not own["dry-run"]:
        algo, first = next(iter(variants.items()))
        print_results(folder, {task: random_scores(first.config(algo, task=task)) for task in tasks})


def print_results(folder: Path, random: dict[str, list[float]]) -> None:
    """Prints the table, writes it to `demo.md`, and opens the report if there is a screen to open it on."""
    found = json.loads((folder / "report.json").read_text())
    text = f"{found['title']}\n\n{results_table(found['runs'], random)}\n"
    write_text(folder / "demo.md", text)
    page = (folder / "report.html").resolve()
    print(f"\n{text}\nLearning curves and more: {page}")
    if sys.stdout.isatty() and {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        webbrowser.open(page.as_uri())


def results_table(runs: list[dict], random: dict[str, list[float]]) -> str:
    """Records of evaluated runs, and returns at random by task, as a Markdown table."""
    score = f"score (mean ± std of {runs[0]['evaluation']['n']} episodes)"
    lines = [["version", "task", score, "random policy", "frames", "updates", "training time"], ["---"] * 7]
    for run in runs:
        scored = "{mean:.0f} ± {std:.0f}".format(**run["evaluation"])
        counts = f"{run['frames']:,}", f"{run['updates']:,}", f"{run['wall'] / 60:.1f} min"
        lines.append([run["variant"], run["task"], scored, f"{np.mean(random[run['task']]):.0f}", *counts])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def random_scores(config: dict, seed: int = 12345) -> list[float]:
    """Returns of EPISODES episodes with uniform actions."""
    rng = np.random.default_rng(seed)
    with make_envs(config["task"], config["env"], 1, seed, "none") as envs:
        envs.act_space.seed(seed)
        scores: list[float] = []
        total = 0.0
        envs.reset()
        while len(scores) < EPISODES:
            record = envs.step(random_action(envs.act_space, rng))
            total += float(record["reward"][0])
            if record["is_last"][0]:
                scores.append(total)
                total = 0.0
    return scores


def random_action(space: Any, rng: np.random.Generator) -> np.ndarray:
    """One uniform action of a space, (1, ...)."""
    if hasattr(space, "high"):
        return rng.uniform(-1, 1, (1, *space.shape)).astype(np.float32)
    return np.asarray(space.sample())[None]
