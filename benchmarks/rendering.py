"""Times how fast images of DeepMind Control are drawn, prints a table, and draws the same states side by side.

    python benchmarks/rendering.py
    python benchmarks/rendering.py --tasks walker_walk --renders ray --seconds 1
    python benchmarks/rendering.py --seconds 0 --picture docs/rendering.png

Columns: images of 64x64 a second on the clock, and a second of processor time over all cores, which other work on the
machine disturbs less; both from the best of five rounds, after a first image that is not counted.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import script
from common.envs import CHOICES, make_env

TASKS = ["walker_walk", "cheetah_run", "cartpole_swingup", "reacher_easy", "quadruped_walk", "humanoid_walk"]
SHOWN = TASKS[:4]
ROUNDS, STEPS = 5, 12  # rounds of timing; steps before a state is shown
SIDE, MARGIN = 192, 44  # pixels of a panel, and beside it


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="*", default=TASKS)
    parser.add_argument("--renders", nargs="*", default=CHOICES["render"], choices=CHOICES["render"])
    parser.add_argument("--seconds", type=float, default=5.0, help="for each row; 0 for no table")
    parser.add_argument("--picture", help="a PNG with some tasks, each drawn in every way")
    return parser.parse_args(argv)


def build(task, render):
    """A task's environment, some steps after its first reset."""
    env = make_env(f"dmc_{task}", {"obs": "image", "render": render, "repeat": 2})
    env.reset()
    env.action_space.seed(0)
    for _ in range(STEPS):
        image = env.step(env.action_space.sample())[0]["image"]
    return env, image


def rates(draw, seconds):
    """Images a second, on the clock and of processor time."""
    draw()
    best = np.full(2, np.inf)
    for _ in range(ROUNDS):
        count, begin, used = 0, time.perf_counter(), time.process_time()
        while not count or time.perf_counter() - begin < seconds / ROUNDS:
            draw()
            count += 1
        spent = time.perf_counter() - begin, time.process_time() - used
        best = np.minimum(best, np.array(spent) / count)
    return 1 / best


def table(options):
    """Prints a row for each task and way to draw."""
    print("| task | `env.render` | images/s | of processor time |\n|---|---|---:|---:|")
    for task in options.tasks:
        for render in options.renders:
            env, _ = build(task, render)
            clock, processor = rates(env.env.draw, options.seconds)
            print(f"| {task} | {render} | {clock:,.0f} | {processor:,.0f} |", flush=True)
            env.close()


def picture(path):
    """Writes the states of some tasks, a column each, drawn in every way."""
    renders = CHOICES["render"]
    sheet = Image.new("RGB", (MARGIN + SIDE * len(SHOWN), MARGIN // 2 + SIDE * len(renders)), "white")
    text = ImageDraw.Draw(sheet)
    for column, task in enumerate(SHOWN):
        text.text((MARGIN + SIDE * column + 6, 5), task, "black")
        for row, render in enumerate(renders):
            panel = Image.fromarray(build(task, render)[1]).resize((SIDE, SIDE), Image.Resampling.NEAREST)
            sheet.paste(panel, (MARGIN + SIDE * column, MARGIN // 2 + SIDE * row))
            text.text((6, MARGIN // 2 + SIDE * row + SIDE // 2), render, "black")
    sheet.save(path, optimize=True)


def main(argv=None):
    options = arguments(argv)
    if options.seconds:
        table(options)
    if options.picture:
        picture(options.picture)


if __name__ == "__main__":
    script(main)
