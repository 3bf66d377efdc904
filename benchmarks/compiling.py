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
import time
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from gymnasium import spaces

import dreamer
from benchmarks.figures import make_parser, positive_int, print_head, print_row, run_script, write_results
from benchmarks.threads import PRESETS
from common.nn.compile import make_compiler
from common.training.factory import Factory, record_spec
from common.training.threads import random_batch


def arguments(argv=None):
    parser = make_parser(__doc__)
    parser.add_argument("--only", nargs="+", default=list(PRESETS), choices=PRESETS, help="presets to run")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--threads", type=positive_int, default=torch.get_num_threads())
    parser.add_argument("--updates", type=positive_int, default=5, help="timed updates after the first")
    parser.add_argument("--child", choices=("on", "off"), help="time one preset in this process and print JSON")
    return parser.parse_args(argv)


def time_updates(name, compile, options):
    """Return the seconds of the first update and the median of later ones."""
    algo, blocks, obs_space = PRESETS[name]
    config = dreamer.resolve(algo, blocks, {"run.precision": options.precision, "run.device": "cpu"})
    envs = SimpleNamespace(obs_space=obs_space, act_space=spaces.Box(-1, 1, (6,), np.float32))
    torch.set_num_threads(options.threads)
    agent = Factory().agent(envs.obs_space, envs.act_space, config)
    agent.compiler = make_compiler(compile, agent.device, math.inf)
    batch = random_batch(record_spec(envs.obs_space, agent), config["batch_size"], config["batch_length"])
    seconds = []
    for _ in range(options.updates + 2):
        begin = time.perf_counter()
        agent.update(batch, 0)
        seconds.append(time.perf_counter() - begin)
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
        print(json.dumps(time_updates(options.only[0], options.child, options)))
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
