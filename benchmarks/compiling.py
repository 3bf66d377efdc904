"""Time the first compiled update with an empty cache and with a full one, and what later updates gain.

    python benchmarks/compiling.py --json benchmarks/compiling.json
    python benchmarks/compiling.py --only v3-cpu v1-vision --threads 1

`pays after` is the time of uncompiled updates after which a run with compilation is ahead.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.figures import make_parser, positive_int, print_head, print_row, run_script, write_results
from benchmarks.threads import PRESETS, resolve_preset, time_updates


def arguments(argv=None):
    parser = make_parser(__doc__)
    parser.add_argument("--only", nargs="+", default=list(PRESETS), choices=PRESETS, help="presets to run")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--threads", type=positive_int, default=torch.get_num_threads())
    parser.add_argument("--updates", type=positive_int, default=5, help="timed updates after the first")
    parser.add_argument("--child", choices=("on", "off"), help="time one preset in this process and print JSON")
    return parser.parse_args(argv)


def first_and_later(name, compile, options):
    """Return the seconds of the first update and the median of later ones."""
    config, envs = resolve_preset(name, options.precision)
    seconds = time_updates(config, envs, options.threads, compile, options.updates + 2)
    return {"first": seconds[0], "later": statistics.median(seconds[2:])}


def in_new_process(name, compile, cache, options):
    words = ["--only", name, "--child", compile, "--precision", options.precision]
    words += ["--threads", str(options.threads), "--updates", str(options.updates)]
    command = [sys.executable, __file__, *words]
    done = subprocess.run(
        command, env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def compare(name, options):
    """Return the figures of one preset, with a cache of its own."""
    with tempfile.TemporaryDirectory() as cache:
        eager = in_new_process(name, "off", cache, options)
        cold, warm = (in_new_process(name, "on", cache, options) for _ in range(2))
    later = min(cold["later"], warm["later"])
    share = later / eager["later"]
    costs = {key: max(0.0, found["first"] - later) for key, found in (("cold", cold), ("warm", warm))}
    pays = {key: cost / (1 - share) if share < 1 else math.inf for key, cost in costs.items()}
    return {"eager": eager["later"], "compiled": later, "share": share, "compiling": costs, "pays_after": pays}


def main(argv=None):
    options = arguments(argv)
    if options.child:
        print(json.dumps(first_and_later(options.only[0], options.child, options)))
        return
    results = {}
    print_head(
        ["preset", "uncompiled", "compiled", "share", "compiling", "from the cache", "pays after", "from the cache"]
    )
    for name in options.only:
        found = results[name] = compare(name, options)
        costs, pays = ([f"{found[key][way]:.0f} s" for way in ("cold", "warm")] for key in ("compiling", "pays_after"))
        times = [f"{1000 * found[key]:.0f} ms" for key in ("eager", "compiled")]
        print_row([name, *times, f"{found['share']:.0%}", *costs, *pays])
    write_results(options, results)


if __name__ == "__main__":
    run_script(main)
