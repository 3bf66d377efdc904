"""Where the time of a training run goes: shares of its parts, from the run's own metrics.

    python benchmarks/loop.py                                     # all presets, about a minute each
    python benchmarks/loop.py --only v3-cpu --seconds 120

Each preset is trained by `dreamer.py train` in a process of its own, interrupted after some seconds of updates, and its
`metrics.jsonl` is read. Counted are the lines after the first one with updates. `train` is the gradient step; the aim
is that everything else takes at most a tenth of the time. Prints a table, and JSON with --json.
"""

import argparse
import itertools
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import script, write

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("train", "policy", "env", "replay", "log", "save", "video", "eval")
QUICK = ["--run.prefill", "500", "--run.eval_every", "0"]  # less waiting for the first update
OFTEN = ["--run.log_every", "250"]  # at V3's rate of updates a line of metrics comes late
PRESETS = {
    "v1-cpu": ["--algo", "v1", "--configs", "dmc_proprio", "cpu"],
    "v2-cpu": ["--algo", "v2", "--configs", "dmc_proprio", "cpu"],
    "v3-cpu": ["--algo", "v3", "--configs", "dmc_proprio", "cpu", *OFTEN],
    "v3-size1m": ["--algo", "v3", "--configs", "dmc_proprio", "size1m", *OFTEN],
}


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(PRESETS), choices=PRESETS, help="presets to run")
    parser.add_argument("--task", default="dmc_walker_walk")
    parser.add_argument("--seconds", type=float, default=60.0, help="of training after the first updates, each preset")
    parser.add_argument("--flags", default="", help='more flags for all, such as "--precision bf16 --threads 1"')
    parser.add_argument("--json", default="", help="file to write")
    return parser.parse_args(argv)


def trained(logdir, flags, seconds):
    """Trains until metrics over `seconds` of updates are there, then stops the run; returns the metric lines."""
    command = [sys.executable, str(ROOT / "dreamer.py"), "train", "--logdir", str(logdir), *flags]
    with (logdir.parent / "output.txt").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=ROOT)
        try:
            while process.poll() is None and span(timed(logdir)) < seconds:
                time.sleep(1)
            process.send_signal(signal.SIGINT)
            process.wait(120)
        finally:
            process.kill()
    if process.returncode not in (0, 130):
        raise SystemExit((logdir.parent / "output.txt").read_text())
    return timed(logdir)


def timed(logdir):
    """Metric lines with shares of time, from the first one with updates on."""
    path = logdir / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [row for row in rows if "time/train" in row]


def span(rows):
    """Seconds between the first line and the last; what the shares of all but the first are about."""
    return rows[-1]["wall"] - rows[0]["wall"] if rows else 0.0


def summary(rows):
    """Shares of time of the parts, and rates, over all lines but the first."""
    total = span(rows)
    weights = [(now, now["wall"] - before["wall"]) for before, now in itertools.pairwise(rows)]
    shares = {part: sum(row.get(f"time/{part}", 0.0) * weight for row, weight in weights) / total for part in PARTS}
    updates, frames = (rows[-1][key] - rows[0][key] for key in ("updates", "frames"))
    rates = {"seconds": total, "updates": updates, "updates_per_second": updates / total, "frames": frames}
    return rates | {"outside": 1 - shares["train"], "other": 1 - sum(shares.values()), "shares": shares}


def table(results):
    """Markdown."""
    head = ["preset", "seconds", "updates", "updates/s", "outside the update", *PARTS[1:], "other"]
    lines = [head, ["---"] * len(head)]
    for name, found in results.items():
        parts = [f"{found['shares'][part]:.1%}" for part in PARTS[1:]]
        rates = [f"{found['seconds']:.0f}", str(found["updates"]), f"{found['updates_per_second']:.2f}"]
        lines.append([name, *rates, f"{found['outside']:.1%}", *parts, f"{found['other']:.1%}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(argv=None):
    options = arguments(argv)
    results = {}
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            flags = [*PRESETS[name], "--task", options.task, *QUICK, *options.flags.split()]
            results[name] = summary(trained(Path(folder) / "run", flags, options.seconds))
        write(options, results)
    print(table(results))


if __name__ == "__main__":
    script(main)
