"""Time the training updates of one agent in a separate process, and print one JSON object.

    python benchmarks/contestant.py --who ours --algo v3 --workload P --precision bf16
    python benchmarks/contestant.py --who r2dreamer --checkout PATH --workload P

Run it with a Python that has the contestant's packages. Each contestant is a module of `benchmarks/peers` with
`build(work, options) -> (update, info)`. update() does one complete training step and returns when it is done. info is
a dict with at least {"parameters": trained parameters}. `benchmarks/updates.py` alternates between several contestants.
Peak memory is that of the process, or of torch's tensors on a GPU. `taken_gib` is what the contestant adds to it: the
peak without what the process had after its imports.
"""

import argparse
import contextlib
import importlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.workloads import WORKLOADS


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--who", required=True, help="module in benchmarks/peers")
    parser.add_argument("--workload", required=True, choices=WORKLOADS)
    parser.add_argument("--algo", default="v3", help="the agent, if the contestant has several")
    parser.add_argument("--checkout", default="", help="folder of the contestant's source")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16", "fp16"))
    parser.add_argument("--compile", default="off", choices=("auto", "on", "off"))
    parser.add_argument("--graphs", action="store_true", help="launch our update as CUDA graphs")
    parser.add_argument("--recompute", action="store_true", help="our run.recompute_activations")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--updates", type=int, default=10, help="timed updates")
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--patience", type=float, default=60.0, help="stop after the update that passes these seconds")
    return parser.parse_args(argv)


def time_updates(update, updates, patience):
    """Return the seconds of each update, at least three."""
    seconds = []
    while len(seconds) < updates and (len(seconds) < 3 or sum(seconds) < patience):
        start = time.perf_counter()
        update()
        seconds.append(time.perf_counter() - start)
    return seconds


def revision(folder):
    """Return the git revision of a checkout, else the content of its file REVISION, else an empty text."""
    if not (folder / ".git").exists():
        return (folder / "REVISION").read_text().strip() if (folder / "REVISION").exists() else ""
    git = ["git", "-C", str(folder), "describe", "--always", "--dirty"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()


def peak_gib(device):
    """Return the peak memory so far in GiB."""
    if device.startswith("cuda"):
        import torch  # here: contestants on the CPU may lack it

        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def resident_gib():
    """Return the resident memory of this process in GiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**30


def main(argv=None):
    options = arguments(argv)
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    with contextlib.redirect_stdout(sys.stderr):
        contestant = importlib.import_module(f"benchmarks.peers.{options.who}")
        before = 0.0 if options.device.startswith("cuda") else resident_gib()
        update, info = contestant.build(WORKLOADS[options.workload], options)
        start = time.perf_counter()
        for _ in range(options.warmup):
            update()
        warmup = time.perf_counter() - start
        seconds = time_updates(update, options.updates, options.patience)
    figures = {"seconds": seconds, "warmup_seconds": warmup, "peak_gib": peak_gib(options.device)}
    figures |= {"taken_gib": figures["peak_gib"] - before, "python": platform.python_version()}
    figures |= {"revision": revision(Path(options.checkout or Path(__file__).resolve().parents[1]))}
    print(json.dumps(vars(options) | figures | info))


if __name__ == "__main__":
    main()
