"""Measure the speed of Atari games in ale-py's threads, in this process, and in worker processes.

    python benchmarks/atari.py --json atari.json
    python benchmarks/atari.py --games 1 --seconds 1 --rounds 3

Columns: agent steps per second of all games together with random actions (median of alternating rounds), and the
milliseconds for which a step of all games keeps the main thread busy. Finished games restart. Prints a table.
"""

import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dreamer
from benchmarks.figures import make_parser, positive_int, print_head, print_row, run_script, write_results
from common.training.factory import Factory

KINDS = {"native": "native", "none": "this process", "process": "worker processes"}
VERSIONS = ("v2", "v3-2023")  # with blocks that ale-py's threads support


def arguments(argv=None):
    parser = make_parser(__doc__)
    parser.add_argument("--algos", nargs="+", default=VERSIONS, choices=VERSIONS)
    parser.add_argument("--games", nargs="+", type=positive_int, default=[1, 4, 8], help="number of parallel games")
    parser.add_argument("--task", default="atari_pong")
    parser.add_argument("--seconds", type=float, default=4.0, help="per round")
    parser.add_argument("--rounds", type=positive_int, default=5)
    return parser.parse_args(argv)


def make_envs(algo, games, kind, task):
    """Return environments of this version, after their reset."""
    config = dreamer.resolve(algo, ["atari"], {"task": task, "run.envs": games, "run.parallel": kind})
    envs = Factory().envs(config)
    envs.reset()
    return envs


def play(envs, seconds, rng):
    """Return agent steps per second, and the seconds for which a step of all games keeps this thread busy."""
    steps, busy, begin = 0, 0.0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        actions = rng.integers(0, envs.act_space.n, envs.num)
        used = time.thread_time()
        envs.send(actions)
        envs.receive()
        busy += time.thread_time() - used
        steps += 1
    return steps * envs.num / (time.perf_counter() - begin), busy / steps


def compare(algo, games, options):
    """Return kind -> steps per second and busy milliseconds, medians over the rounds."""
    envs = {kind: make_envs(algo, games, kind, options.task) for kind in KINDS}
    rng = np.random.default_rng(0)
    try:
        rounds = {kind: [] for kind in KINDS}
        for _ in range(options.rounds):
            for kind, some in envs.items():
                rounds[kind].append(play(some, options.seconds, rng))
    finally:
        for some in envs.values():
            some.close()
    middle = {
        kind: [statistics.median(values) for values in zip(*found, strict=True)] for kind, found in rounds.items()
    }
    return {kind: {"steps": rate, "busy_ms": 1e3 * busy} for kind, (rate, busy) in middle.items()}


def main(argv=None):
    options = arguments(argv)
    print_head(["as", "games", *(f"{name}, {unit}" for unit in ("steps/s", "ms") for name in KINDS.values())])
    results = []
    for algo in options.algos:
        for games in options.games:
            found = compare(algo, games, options)
            results.append({"algo": algo, "games": games, **found})
            rates = [f"{found[kind]['steps']:,.0f}" for kind in KINDS]
            print_row([algo, games, *rates, *(f"{found[kind]['busy_ms']:.2f}" for kind in KINDS)])
            write_results(options, results)


if __name__ == "__main__":
    run_script(main)
