"""Measure the speed of the renderers of DeepMind Control, and draw the same states with each of them.

    python benchmarks/rendering.py
    python benchmarks/rendering.py --tasks walker_walk --renders ray --seconds 1
    python benchmarks/rendering.py --seconds 0 --picture docs/rendering.png

Columns: images of 64x64 per second of wall time, and per second of processor time over all cores, which depends less on
the other load of the machine. Both are the best of five rounds, after a first image that is not counted.
"""

import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import make_parser, print_head, print_row, run_script
from common.envs import CHOICES, make_env

TASKS = ["walker_walk", "cheetah_run", "cartpole_swingup", "reacher_easy", "quadruped_walk", "humanoid_walk"]
SHOWN = TASKS[:4]
ROUNDS, STEPS = 5, 12  # timing rounds; steps before a state is drawn
SIDE, MARGIN = 192, 44  # pixels of an image, and of the labels


def arguments(argv=None):
    parser = make_parser(__doc__, json=False)
    parser.add_argument("--tasks", nargs="*", default=TASKS)
    parser.add_argument("--renders", nargs="*", default=CHOICES["render"], choices=CHOICES["render"])
    parser.add_argument("--seconds", type=float, default=5.0, help="per row; 0: no table")
    parser.add_argument("--picture", help="PNG file with some tasks, drawn by each renderer")
    return parser.parse_args(argv)


def build(task, render):
    """Return the environment of a task some steps after its reset, and its last image."""
    env = make_env(f"dmc_{task}", {"obs": "image", "render": render, "repeat": 2})
    env.reset()
    env.action_space.seed(0)
    for _ in range(STEPS):
        image = env.step(env.action_space.sample())[0]["image"]
    return env, image


def rates(draw, seconds):
    """Return images per second of wall time, and per second of processor time."""
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


def print_table(options):
    print_head(["task", "`env.render`", "images/s", "of processor time"])
    for task in options.tasks:
        for render in options.renders:
            env, _ = build(task, render)
            clock, processor = rates(env.env.draw, options.seconds)
            print_row([task, render, f"{clock:,.0f}", f"{processor:,.0f}"])
            env.close()


def draw_picture(path):
    """Write an image with one state of each task, a column per task and a row per renderer."""
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
        print_table(options)
    if options.picture:
        draw_picture(options.picture)


if __name__ == "__main__":
    run_script(main)
