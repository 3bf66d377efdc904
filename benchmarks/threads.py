"""Check that a run chooses the fastest number of threads: its short measurement, compared with whole updates.

    python benchmarks/threads.py
    python benchmarks/threads.py --only v1-vision --precision fp32 --compile on

The choice is made without compilation, on short sequences, longer for a longer run. Whole updates have the batch size
of training. Prints a table, and writes JSON with --json.
"""

import math
import statistics
import sys
import time
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from gymnasium import spaces

import dreamer
from benchmarks.figures import make_parser, positive_int, print_head, print_row, run_script, write_results
from common.nn.compile import make_compiler
from common.training.factory import Factory, record_spec
from common.training.threads import available_threads, choose_threads, random_batch, thread_counts

VECTOR = spaces.Dict({"vector": spaces.Box(-np.inf, np.inf, (24,), np.float32)})
IMAGE = spaces.Dict({"image": spaces.Box(0, 255, (64, 64, 3), np.uint8)})
PRESETS = {
    "v1-cpu": ("v1", ["dmc_proprio", "cpu"], VECTOR),
    "v2-cpu": ("v2", ["dmc_proprio", "cpu"], VECTOR),
    "v3-cpu": ("v3", ["dmc_proprio", "cpu"], VECTOR),
    "v3-debug": ("v3", ["dmc_proprio", "debug"], VECTOR),
    "v3-size1m": ("v3", ["dmc_proprio", "size1m"], VECTOR),
    "v1-vision": ("v1", ["dmc_vision"], IMAGE),
    "v2-vision": ("v2", ["dmc_vision"], IMAGE),
    "v3-size1m-vision": ("v3", ["dmc_vision", "size1m"], IMAGE),
    "v3-size12m-vision": ("v3", ["dmc_vision", "size12m"], IMAGE),
}


def arguments(argv=None):
    parser = make_parser(__doc__)
    parser.add_argument("--only", nargs="+", default=list(PRESETS), choices=PRESETS, help="presets to run")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--compile", default="off", choices=("on", "off"), help="for the whole updates")
    parser.add_argument("--updates", type=positive_int, default=3, help="whole updates per number of threads")
    parser.add_argument("--run", type=positive_int, default=100_000, help="updates of the run that the choice is for")
    return parser.parse_args(argv)


def resolve_preset(name, precision):
    """Return the config of a preset, and its spaces as those of environments."""
    algo, blocks, obs_space = PRESETS[name]
    config = dreamer.resolve(algo, blocks, {"run.precision": precision, "run.device": "cpu"})
    return config, SimpleNamespace(obs_space=obs_space, act_space=spaces.Box(-1, 1, (6,), np.float32))


def time_updates(config, envs, threads, compile, updates):
    """Return the seconds of the first whole updates of a new agent, with a number of threads."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    agent = Factory().agent(envs.obs_space, envs.act_space, config)
    agent.compiler = make_compiler(compile, agent.device, math.inf)
    batch = random_batch(record_spec(envs.obs_space, agent), config["batch_size"], config["batch_length"])
    times = []
    for _ in range(updates):
        begin = time.perf_counter()
        agent.update(batch, 0)
        times.append(time.perf_counter() - begin)
    return times


def time_whole_updates(config, envs, most, options):
    """Return 1, 2, 4, ... threads -> median seconds of a whole update after the first, with a new agent for each."""
    counts = (1, *thread_counts(most))
    times = {n: time_updates(config, envs, n, options.compile, options.updates + 1) for n in counts}
    return {n: statistics.median(seconds[1:]) for n, seconds in times.items()}


def compare(name, most, options):
    config, envs = resolve_preset(name, options.precision)
    torch.set_num_threads(most)
    begin = time.perf_counter()
    choice = choose_threads(config, None, Factory(), envs, options.run)
    spent = time.perf_counter() - begin
    seconds = time_whole_updates(config, envs, most, options)
    return {"threads": choice.threads, "why": choice.why, "seconds_to_choose": spent, "whole": seconds}


def table_cells(name, found):
    """Return the cells of a row: the choice, and how much faster the best number of threads is."""
    times = found["whole"]
    figures = ", ".join(f"{count}: {1000 * spent:.0f} ms" for count, spent in times.items())
    regret = times[found["threads"]] / min(times.values()) - 1
    return [name, found["threads"], found["why"], f"{found['seconds_to_choose']:.1f}", figures, f"{regret:.0%}"]


def main(argv=None):
    options, most = arguments(argv), available_threads()
    results = {}
    print_head(["preset", "choice", "why", "seconds to choose", "whole updates", "best is faster by"])
    for name in options.only:
        results[name] = compare(name, most, options)
        print_row(table_cells(name, results[name]))
    write_results(options, results)


if __name__ == "__main__":
    run_script(main)
