"""Shares of the parts of a training run in its time, from its own metrics.

    python benchmarks/loop.py                                     # all presets, about a minute each
    python benchmarks/loop.py --only v3-cpu --seconds 120

Each preset runs `dreamer.py train` in a separate process, which is interrupted after some seconds of updates. The
figures come from the lines of its `metrics.jsonl` after the first one with updates. `train` is the gradient step; the
goal is that all other parts take at most a tenth of the time. Prints a table, and writes JSON with --json.
"""

import itertools
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import make_parser, print_head, print_row, run_script, write_results

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("train", "policy", "env", "replay", "log", "save", "video", "eval")
QUICK = ["--run.prefill", "500", "--run.eval_every", "0"]  # shorten the wait for the first update
OFTEN = ["--run.log_every", "250"]  # V3's updates are slow, so lines of metrics are rare
PRESETS = {
    "v1-cpu": ["--algo", "v1", "--configs", "dmc_proprio", "cpu"],
    "v2-cpu": ["--algo", "v2", "--configs", "dmc_proprio", "cpu"],
    "v3-cpu": ["--algo", "v3", "--configs", "dmc_proprio", "cpu", *OFTEN],
    "v3-size1m": ["--algo", "v3", "--configs", "dmc_proprio", "size1m", *OFTEN],
}


def arguments(argv=None):
    parser = make_parser(__doc__)
    parser.add_argument("--only", nargs="+", default=list(PRESETS), choices=PRESETS, help="presets to run")
    parser.add_argument("--task", default="dmc_walker_walk")
    parser.add_argument("--seconds", type=float, default=60.0, help="of training after the first updates, per preset")
    parser.add_argument("--flags", default="", help='more flags for all, such as "--precision bf16 --threads 1"')
    return parser.parse_args(argv)


def train(logdir, flags, seconds):
    """Train until there are metrics over `seconds` of updates, then stop the run. Return the metric lines."""
    command = [sys.executable, str(ROOT / "dreamer.py"), "train", "--logdir", str(logdir), *flags]
    with (logdir.parent / "output.txt").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=ROOT)
        try:
            while process.poll() is None and span(timed_rows(logdir)) < seconds:
                time.sleep(1)
            process.send_signal(signal.SIGINT)
            process.wait(120)
        finally:
            process.kill()
    if process.returncode not in (0, 130):
        raise SystemExit((logdir.parent / "output.txt").read_text())
    return timed_rows(logdir)


def timed_rows(logdir):
    """Return the metric lines with shares of time, from the first one with updates."""
    path = logdir / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [row for row in rows if "time/train" in row]


def span(rows):
    """Return the seconds between the first and the last line, which the shares refer to."""
    return rows[-1]["wall"] - rows[0]["wall"] if rows else 0.0


def summarize(rows):
    """Return shares of the parts, and rates, over all lines except the first."""
    total = span(rows)
    weights = [(now, now["wall"] - before["wall"]) for before, now in itertools.pairwise(rows)]
    shares = {part: sum(row.get(f"time/{part}", 0.0) * weight for row, weight in weights) / total for part in PARTS}
    updates, frames = (rows[-1][key] - rows[0][key] for key in ("updates", "frames"))
    rates = {"seconds": total, "updates": updates, "updates_per_second": updates / total, "frames": frames}
    return rates | {"outside": 1 - shares["train"], "other": 1 - sum(shares.values()), "shares": shares}


def print_table(results):
    print_head(["preset", "seconds", "updates", "updates/s", "outside the update", *PARTS[1:], "other"])
    for name, found in results.items():
        parts = [f"{found['shares'][part]:.1%}" for part in PARTS[1:]]
        rates = [f"{found['seconds']:.0f}", str(found["updates"]), f"{found['updates_per_second']:.2f}"]
        print_row([name, *rates, f"{found['outside']:.1%}", *parts, f"{found['other']:.1%}"])


def main(argv=None):
    options = arguments(argv)
    results = {}
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            flags = [*PRESETS[name], "--task", options.task, *QUICK, *options.flags.split()]
            results[name] = summarize(train(Path(folder) / "run", flags, options.seconds))
        write_results(options, results)
    print_table(results)


if __name__ == "__main__":
    run_script(main)
