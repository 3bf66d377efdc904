"""How fast games of Atari are played: in ale-py's threads, in this process, and in worker processes; prints a table.

    python benchmarks/atari.py --json atari.json
    python benchmarks/atari.py --games 1 --seconds 1 --rounds 3

Columns: agent steps a second of all games together with random actions, the median of rounds in turns, and the
milliseconds for which a step of all games keeps the thread of the program busy. Games that end are begun again.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dreamer
from benchmarks.figures import positive, script, write
from common.training.factory import Factory

KINDS = {"native": "native", "none": "this process", "process": "worker processes"}
VERSIONS = ("v2", "v3-2023")  # whose blocks ale-py's threads can play


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--algos", nargs="+", default=VERSIONS, choices=VERSIONS)
    parser.add_argument("--games", nargs="+", type=positive, default=[1, 4, 8], help="how many at a time")
    parser.add_argument("--task", default="atari_pong")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each round")
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--json", default="", help="file to write")
    return parser.parse_args(argv)


def made(algo, games, kind, task):
    """Environments that have been begun, as a training of this version has them."""
    config = dreamer.resolve(algo, ["atari"], {"task": task, "run.envs": games, "run.parallel": kind})
    envs = Factory().envs(config)
    envs.reset()
    return envs


def played(envs, seconds, rng):
    """Agent steps a second, and the seconds for which a step of all games keeps this thread busy."""
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
    """Kind -> steps a second and busy milliseconds, medians over the rounds."""
    envs = {kind: made(algo, games, kind, options.task) for kind in KINDS}
    rng = np.random.default_rng(0)
    try:
        rounds = {kind: [] for kind in KINDS}
        for _ in range(options.rounds):
            for kind, some in envs.items():
                rounds[kind].append(played(some, options.seconds, rng))
    finally:
        for some in envs.values():
            some.close()
    middle = {
        kind: [statistics.median(values) for values in zip(*found, strict=True)] for kind, found in rounds.items()
    }
    return {kind: {"steps": rate, "busy_ms": 1e3 * busy} for kind, (rate, busy) in middle.items()}


def row(algo, games, found):
    """A line of the table."""
    rates = [f"{found[kind]['steps']:,.0f}" for kind in KINDS]
    busy = [f"{found[kind]['busy_ms']:.2f}" for kind in KINDS]
    return f"| {' | '.join([algo, str(games), *rates, *busy])} |"


def main(argv=None):
    options = arguments(argv)
    heads = [
        "as",
        "games",
        *(f"{name}, steps/s" for name in KINDS.values()),
        *(f"{name}, ms" for name in KINDS.values()),
    ]
    print(f"| {' | '.join(heads)} |\n" + "| --- " * len(heads) + "|")
    results = []
    for algo in options.algos:
        for games in options.games:
            found = compare(algo, games, options)
            results.append({"algo": algo, "games": games, **found})
            print(row(algo, games, found), flush=True)
            write(options, results)


if __name__ == "__main__":
    script(main)
