"""Time updates in one process with two threads and in two processes with one thread each, on the same batch.

    python benchmarks/ranks.py --json benchmarks/ranks.json
    python benchmarks/ranks.py --rows P --updates 5

Rows are those of `benchmarks/workloads.py`. The two ways alternate in separate groups of processes. `reduction` is the
time in the exchange of gradients, which includes the wait for the slower process. The last row compares a process that
torchrun started alone with one that it did not start.
"""

import json
import os
import statistics
import subprocess
import sys
import time
import types
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import make_parser, positive_int, print_head, print_row, run_script, write_results
from benchmarks.peers import ours
from benchmarks.workloads import WORKLOADS
from common.distributed.launch import joined_group
from common.distributed.shares import split
from common.distributed.torchrun import find_place
from common.nn import ranks
from common.nn.sections import time_sections

ROOT = Path(__file__).resolve().parents[1]
ROWS = {"P": "v3", "R": "v3", "V1": "v1"}
#: Name -> processes (0: without torchrun) and threads of each.
WAYS = {"2 threads": (0, 2), "2 ranks x 1 thread": (2, 1), "1 thread": (0, 1), "1 rank x 1 thread": (1, 1)}
WARM_UP = 2
REPLY = "RANKS "


def arguments(argv=None):
    parser = make_parser(__doc__)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--updates", type=positive_int, default=8, help="timed updates in each turn")
    parser.add_argument("--turns", type=positive_int, default=2)
    parser.add_argument("--precision", default="bf16", choices=("fp32", "bf16"))
    parser.add_argument("--worker", default="", help="used by this script")
    parser.add_argument("--threads", type=positive_int, default=1, help="used by this script")
    return parser.parse_args(argv)


def main():
    options = arguments()
    if options.worker:
        work(options)
        return
    print_head(["row", "processes", "median update", "reduction", "share", "against the first"])
    results = []
    for row in options.rows:
        turns = {way: [] for way in WAYS}
        for _ in range(options.turns):
            for way, found in turns.items():
                found.append(start(row, way, options))
        results += summarise(row, turns)
    write_results(options, results)


def start(row, way, options):
    """Time updates in new processes; return seconds of each update and of the reductions in it."""
    processes, threads = WAYS[way]
    words = [__file__, "--worker", row, "--threads", str(threads), "--updates", str(options.updates)]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes else []
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, *launcher, *words, "--precision", options.precision]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line.partition(REPLY)[2] for line in done.stdout.splitlines() if REPLY in line]
    if not lines:
        raise RuntimeError(done.stderr)
    return json.loads(lines[0])


def summarise(row, turns):
    """Print and return the rows of one workload."""
    rows, first = [], None
    for way, found in turns.items():
        seconds, reduction = (
            statistics.median(x for turn in found for x in turn[key]) for key in ("update", "reduction")
        )
        first = first or seconds
        rows.append({"row": row, "way": way, "seconds": seconds, "reduction": reduction, "ratio": first / seconds})
        share = f"{reduction / seconds:.1%}"
        print_row([row, way, f"{seconds:.3f} s", f"{1000 * reduction:.1f} ms", share, f"{first / seconds:.2f}x"])
    return rows


def work(options):
    """Time updates in this process, on its share of the batch if torchrun started it."""
    place = find_place()
    if place is None:
        time_updates(options, WORKLOADS[options.worker])
        return
    rows = split(WORKLOADS[options.worker]["batch"], place.size)
    with joined_group(place, lambda size: rows, gpu=False) as group, ranks.joined(group):
        time_updates(options, WORKLOADS[options.worker] | {"batch": rows[place.rank]})


def time_updates(options, workload):
    """Print the seconds of each update and of its reductions, on rank 0."""
    choices = {"algo": ROWS[options.worker], "precision": options.precision, "compile": "off", "device": "cpu"}
    with ranks.joined(ranks.ALONE):
        update, _ = ours.build(workload, types.SimpleNamespace(**choices, threads=options.threads))
    torch.set_num_threads(options.threads)
    seconds, reductions = [], []
    for number in range(WARM_UP + options.updates):
        begin = time.perf_counter()
        with time_sections() as sections:
            update()
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - begin)
            reductions.append(sections.get("reduction", 0.0))
    if ranks.current().leads:
        print(REPLY + json.dumps({"update": seconds, "reduction": reductions}), flush=True)


if __name__ == "__main__":
    run_script(main)
