"""Time the steps of `dream` with untrained agents at the sizes of a config block, and print JSON.

    python benchmarks/dreaming.py > benchmarks/dreaming.json
    python benchmarks/dreaming.py --task dmc_walker_walk --configs dmc_vision cpu

A step is what the page waits for: one step of the environment, then a posterior and a prior step, the reconstruction
and the heads of each run, and the message of the frame. In the rows, `ms` is the median of the wall time. `cpu_ms` is
the mean processor time of this process; other programs on the machine hardly change it with one thread.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dreamer
from benchmarks.figures import make_parser, positive_int, run_script
from common.agent.agent import Agent
from common.nn import machine
from common.viewer import messages
from common.viewer.environment import Environment
from common.viewer.runs import Run, picture_key
from common.viewer.session import Session

GROUPS = (("v1",), ("v2",), ("v3",), ("v3-2023",), ("v1", "v2", "v3"), ("v1", "v2", "v3", "v3-2023"))
WARM_UP = 10  # steps


def arguments(argv=None):
    parser = make_parser(__doc__, json=False)
    parser.add_argument("--task", default="dmc_cartpole_swingup")
    parser.add_argument("--configs", nargs="*", default=["dmc_vision", "cpu"], help="config blocks")
    parser.add_argument("--render", default="ray", help="env.render of DeepMind Control")
    parser.add_argument("--steps", type=positive_int, default=200, help="timed steps of each row")
    parser.add_argument("--threads", type=positive_int, default=1)
    return parser.parse_args(argv)


def config_of(algo, options):
    """Return the config of a run."""
    flags = {"task": options.task, "run.device": "cpu", "env.render": options.render}
    return dreamer.resolve(algo, options.configs, flags)


def run_of(config, copy):
    """Return a run with random weights that observes a copy of the environment."""
    agent = Agent(copy.obs_space, copy.act_space, config).requires_grad_(False)
    return Run(config["algo"], config, agent, 0, copy.obs_space)


def row(algos, options):
    """Return the figures of one group of runs."""
    configs = [config_of(algo, options) for algo in algos]
    environment = Environment(configs[0], configs)
    copies = [environment.copies[place] for place in environment.views]
    runs = [run_of(config, copy) for config, copy in zip(configs, copies, strict=True)]
    session = Session(environment, runs, picture_key(environment.images, runs))
    wall, cpu = [], 0.0
    for number in range(WARM_UP + options.steps):
        begin, used = time.perf_counter(), time.process_time()
        messages.frame_bytes(session, session.step())
        if number >= WARM_UP:
            wall.append(time.perf_counter() - begin)
            cpu += time.process_time() - used
    environment.close()
    median = float(np.median(wall))
    shown = {"ms": 1e3 * median, "p90_ms": 1e3 * float(np.quantile(wall, 0.9)), "cpu_ms": 1e3 * cpu / len(wall)}
    return {"runs": list(algos), "steps_per_second": 1 / median, **shown}


def main(argv=None):
    options = arguments(argv)
    torch.set_num_threads(options.threads)
    load = os.getloadavg()[0]
    found = []
    for algos in GROUPS:
        found.append(row(algos, options))
        print(found[-1], file=sys.stderr)
    facts = {"where": machine.describe_device(torch.device("cpu")), "date": time.strftime("%Y-%m-%d")}
    facts |= {"task": options.task, "configs": options.configs, "load": [load, os.getloadavg()[0]]}
    print(json.dumps({**facts, "rows": found}, indent=2))


if __name__ == "__main__":
    run_script(main)
