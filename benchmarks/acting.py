"""Time one policy call at the sizes of the workloads, for 1 and 16 environments, and print JSON.

    python benchmarks/acting.py --threads 2 > acting.json
    python benchmarks/acting.py --algo v3 --batches 1

Each row has the version, the workload with its sizes, the observations, the precision, the number of environments, and
the median and 90th percentile of the milliseconds of `agent.act`, from the record to the actions.
"""

import json
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dreamer
from benchmarks.figures import make_parser, positive_int, run_script
from benchmarks.peers.ours import flags, make_spaces
from benchmarks.workloads import WORKLOADS
from common.agent.agent import Agent
from common.nn import machine
from common.profiling import measure
from common.profiling.speed import latency

#: Version -> name of a workload -> changed values; images and vectors at each size.
STATES = {"vector": 24, "channels": 0}
CASES = {
    "v1": {"V1": {}, "V1 vector": STATES},
    "v2": {"V2": {}, "V2A": {}, "V2 vector": STATES},
    "v3": {"P": {}, "R": {}, "Q": {}, "Q vector": STATES},
    "v3-2023": {"P": {}, "R": {}},
}


def arguments(argv=None):
    parser = make_parser(__doc__, json=False)
    parser.add_argument("--algo", nargs="*", default=list(CASES), choices=CASES)
    parser.add_argument("--batches", nargs="*", type=positive_int, default=[1, 16], help="numbers of environments")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="0: the default of torch")
    parser.add_argument("--seconds", type=float, default=2.0, help="per row")
    return parser.parse_args(argv)


def build(algo, work, options):
    """Return the agent of a version at the sizes of a workload, and its observation space."""
    keys = flags(work, algo) | {"run.precision": options.precision}
    obs_space, act_space = make_spaces(work)
    return Agent(obs_space, act_space, dreamer.resolve(algo, [], keys), options.device), obs_space


def rows(options):
    """Yield one dict for each version, workload and number of environments."""
    for algo in options.algo:
        for name, change in CASES[algo].items():
            work = WORKLOADS[name.split()[0]] | change
            agent, obs_space = build(algo, work, options)
            for n in options.batches:
                times = latency(measure.time_policy(agent, obs_space, n, options.seconds))
                shown = {f"{key}_ms": 1e3 * value for key, value in times.items()}
                what = {"observes": "image" if work["channels"] else "vector"}
                what |= {"precision": "bf16" if agent.half and options.device != "cpu" else "fp32"}
                yield {"algo": algo, "workload": name, **what, "environments": n, **shown}


def main(argv=None):
    options = arguments(argv)
    options.device = machine.resolve_device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    found = []
    for row in rows(options):
        found.append(row)
        print(row, file=sys.stderr)
    where = machine.describe_device(torch.device(options.device))
    print(json.dumps({"where": where, "date": time.strftime("%Y-%m-%d"), "rows": found}, indent=2))


if __name__ == "__main__":
    run_script(main)
