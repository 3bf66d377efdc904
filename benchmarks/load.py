"""Time updates while other programs keep the processor busy, by number of threads and time that waiting threads spin.

    python benchmarks/load.py --json benchmarks/load.json
    python benchmarks/load.py --row R --burners 0 8 --updates 3

A burner is a process that computes without a pause. Each cell is timed in a new process. `spin` is GOMP_SPINCOUNT, how
often a thread of OpenMP looks for work before it sleeps; "" leaves OpenMP's own choice.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import make_parser, positive_int, print_head, print_row, run_script, write_results
from benchmarks.workloads import WORKLOADS

ROOT = Path(__file__).resolve().parents[1]
WAYS = ((1, ""), (2, ""), (2, "0"), (2, "1000"), (2, "10000"))  # threads, spin


def arguments(argv=None):
    parser = make_parser(__doc__)
    parser.add_argument("--row", choices=WORKLOADS, default="P")
    parser.add_argument("--burners", nargs="+", type=int, default=[0, 1, 2, 8])
    parser.add_argument("--updates", type=positive_int, default=5, help="timed updates of each cell")
    parser.add_argument("--patience", type=float, default=20.0, help="seconds after which a cell ends, with 3 updates")
    parser.add_argument("--precision", default="bf16", choices=("fp32", "bf16"))
    return parser.parse_args(argv)


def main():
    options = arguments()
    print_head(["busy programs", "threads", "spin", "median update", "against quiet"])
    results, quiet = [], {}
    for burners in options.burners:
        for way in WAYS:
            seconds = timed_with_burners(burners, *way, options)
            quiet.setdefault(way, seconds)
            found = {"burners": burners, "threads": way[0], "spin": way[1], "seconds": seconds}
            results.append(found | {"slowdown": seconds / quiet[way]})
            print_row([burners, way[0], way[1] or "as it comes", f"{seconds:.2f} s", f"{seconds / quiet[way]:.2f}x"])
    write_results(options, results)


def timed_with_burners(burners, threads, spin, options):
    """Return the median seconds of an update in a new process, next to other busy processes."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(burners)]
    try:
        time.sleep(0.5 * bool(busy))
        return timed_update(threads, spin, options)
    finally:
        for process in busy:
            process.kill()
            process.wait()


def timed_update(threads, spin, options):
    """Return the median seconds of an update in a new process."""
    words = ["--who", "ours", "--algo", "v3", "--workload", options.row, "--threads", threads]
    words += ["--precision", options.precision, "--updates", options.updates, "--warmup", 1]
    words += ["--patience", options.patience]
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)} | ({"GOMP_SPINCOUNT": spin} if spin else {})
    command = [sys.executable, "benchmarks/contestant.py", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return statistics.median(json.loads(done.stdout.splitlines()[-1])["seconds"])


if __name__ == "__main__":
    run_script(main)
