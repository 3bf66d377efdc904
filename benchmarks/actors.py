"""Frames per second with actors on Ray and without: python benchmarks/actors.py [--seconds N] [--only RUN ...]

A slow environment waits in each step, a fast one does not. V3 with tiny networks and few updates, so that environments
take the time. A run's rate is measured between two lines of its metrics, after its start. Writes actors.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium import spaces

ROOT = Path(__file__).parents[1]
WAIT = 0.1  # seconds of a step of the slow environment
ACTORS = "--run.actors ray --run.actor_count {0} --run.envs {0}"
RUNS = {
    "1 environment": "",
    "4 environments": "--run.envs 4",
    "4 worker processes": "--run.envs 4 --run.parallel process",
    **{f"{count} actors": ACTORS.format(count) for count in (1, 2, 4)},
}
FLAGS = (
    "--steps 100000000 --run.threads 1 --run.device cpu --run.compile off --run.log_every 20 --run.eval_every 0 "
    "--run.video_every 0 --run.save_every 0 --run.logger jsonl --replay.capacity 100000"
)


class Fast(gymnasium.Env):
    """A vector that does not change, in episodes of 100 steps."""

    observation_space, action_space = spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(2)
    wait = 0.0

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return np.zeros(4, np.float32), {}

    def step(self, action):
        time.sleep(self.wait)
        self.steps += 1
        return np.zeros(4, np.float32), 1.0, False, self.steps == 100, {}


class Slow(Fast):
    """Waits in each step, as a simulator on another machine does."""

    wait = WAIT


def measure(env: str, flags: str, seconds: int) -> dict[str, float]:
    """Train for `seconds` and return frames/s, updates/s and the mean lag of the second half."""
    with tempfile.TemporaryDirectory() as folder:
        words = [
            "--algo",
            "v3",
            "--configs",
            "debug",
            "--task",
            f"benchmarks.actors:{env}",
            *FLAGS.split(),
            *flags.split(),
        ]
        words += ["--run.max_seconds", str(seconds), "--logdir", f"{folder}/run"]
        one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(
            [sys.executable, "dreamer.py", *words], cwd=ROOT, check=True, capture_output=True, env=one_thread
        )
        rows = [json.loads(line) for line in Path(folder, "run", "metrics.jsonl").read_text().splitlines()]
    last = rows[-1]
    begin = next(row for row in rows if row["wall"] >= seconds / 2)
    span = last["wall"] - begin["wall"]
    recent = rows[rows.index(begin) :]
    lags = [row["actors/lag"] for row in recent if "actors/lag" in row]
    return {
        "frames_per_second": (last["frames"] - begin["frames"]) / span,
        "updates_per_second": (last["updates"] - begin["updates"]) / span,
        "lag": sum(lags) / len(lags) if lags else 0.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="of each run")
    parser.add_argument("--only", nargs="+", default=RUNS, choices=RUNS, metavar="RUN", help="keep the other figures")
    options = parser.parse_args()
    path = Path(__file__).with_suffix(".json")
    found = json.loads(path.read_text()) if path.exists() else {}
    for env in ("Slow", "Fast"):
        for name in options.only:
            found[f"{env}, {name}"] = result = measure(env, RUNS[name], options.seconds)
            print(f"{env:>4}  {name:<22}", "  ".join(f"{key} {value:.2f}" for key, value in result.items()), flush=True)
            path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
