"""Compare the peak memory of training updates with that of r2dreamer, and with recomputed activations.

    python benchmarks/peak.py --json benchmarks/peak.json --peer r2dreamer=CHECKOUT,PYTHON

Each contestant is a process that makes two updates, uncompiled. The figure is its peak resident memory without what it
had after its imports: weights, moments, gradients and everything that an update holds. The processes run one after the
other.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import make_parser, positive_int, print_head, print_row, run_script, write_results
from benchmarks.updates import ROWS, parse_peer
from common.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
PRECISIONS = ("fp32", "bf16")


def arguments(argv=None):
    parser = make_parser(__doc__)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=["P", "R", "Q", "V1", "V2"])
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--updates", type=positive_int, default=1, help="updates after the first one")
    parser.add_argument("--threads", type=positive_int, default=2)
    parser.add_argument("--peer", default="", metavar="r2dreamer=CHECKOUT,PYTHON")
    options = parser.parse_args(argv)
    options.checkout, options.python = parse_peer(parser, options.peer)[1] if options.peer else ("", "")
    return options


def contestants(row, options):
    """Yield (name, command) for each contestant of a row."""
    workload, algo, peers = ROWS[row]
    shared = [f"--workload={workload}", f"--algo={algo}", f"--threads={options.threads}", "--warmup=1"]
    shared += [f"--updates={options.updates}"]
    make = lambda python, *words: [python, "benchmarks/contestant.py", *words, *shared]
    for precision in options.precisions:
        for recompute in (False, True):
            name = f"{algo} {precision}{' recomputed' * recompute}"
            words = ["--who=ours", f"--precision={precision}", *["--recompute"] * recompute]
            yield name, make(sys.executable, *words)
        if options.peer and "r2dreamer" in peers:
            words = ["--who=r2dreamer", f"--precision={precision}", f"--checkout={options.checkout}"]
            yield f"r2dreamer {precision}", make(options.python, *words)


def measure(name, command):
    """Return the figures of one contestant. Raise UserError with its last line if it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise UserError(f"{name} failed: {reason}")
    found = json.loads(done.stdout.splitlines()[-1])
    return {key: found[key] for key in ("taken_gib", "peak_gib", "parameters", "revision", "seconds")}


def main(argv=None):
    options = arguments(argv)
    results = []
    print_head(["row", "contestant", "GiB", "s / update"])
    for row in options.rows:
        for name, command in contestants(row, options):
            found = measure(f"{row} {name}", command)
            results.append({"row": row, "contestant": name, **found})
            print_row([row, name, f"{found['taken_gib']:.2f}", f"{statistics.median(found['seconds']):.2f}"])
            write_results(clean(options), results)


def clean(options):
    """Return the options without the folders of this machine."""
    kept = {key: value for key, value in vars(options).items() if key not in ("peer", "checkout", "python")}
    return type(options)(**kept)


if __name__ == "__main__":
    run_script(main)
