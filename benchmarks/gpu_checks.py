"""Compare updates on a device with those of the CPU, and a resumed run with an uninterrupted one.

    python benchmarks/gpu_checks.py parity --algo v3 --device cuda
    python benchmarks/gpu_checks.py resume --device cuda

Each line of the output is a JSON object: variant, whether it passed, what was found, largest relative difference. Used
by `gpu.py`.

parity: six updates from the same weights, on the same batches, with the same noise, at small sizes in float32. Compared
are all losses and gradient norms of the first and of the last update, with those of the CPU. The last updates of a
variant with graphs are replays. Kernels add in other orders, so the last update has the larger tolerance. bfloat16 is
compared with float32 in the first update.

resume: two runs of `train`, one of them stopped at half of its steps and continued, both with torch's deterministic
algorithms. Compared are the weights.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from gymnasium import spaces
from torch.utils import _pytree as pytree

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dreamer
from benchmarks.peers.ours import random_batch
from common.agent.agent import Agent
from common.errors import UserError
from common.nn.compile import Compiler
from common.nn.launch import make_launcher
from common.storage.checkpoints import Checkpoints
from common.training.train import train

UPDATES = 6
FIRST_TOLERANCE, LAST_TOLERANCE, HALF_TOLERANCE, RESUME_TOLERANCE = 1e-3, 2e-2, 5e-2, 1e-3
SMALLEST = 1e-3  # added to the reference of a relative difference
#: Variant -> precision, compiled, graphs.
VARIANTS = {
    "eager": ("fp32", False, False),
    "graphs": ("fp32", False, True),
    "bf16": ("bf16", False, False),
    "compiled": ("fp32", True, False),
    "compiled graphs": ("fp32", True, True),
}


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("check", choices=("parity", "resume"))
    parser.add_argument("--algo", default="v3", choices=dreamer.ALGOS)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    return parser.parse_args(argv)


def report(variant, passed, says, difference=None):
    """Print one finding."""
    print(json.dumps({"variant": variant, "passed": passed, "says": says, "difference": difference}), flush=True)


def make_agent(algo, device, precision="fp32", compiled=False, graphs=False):
    """Return an agent with the same small networks and weights on any device."""
    flags = {"run.precision": precision, "run.cuda_graphs": graphs}
    config = dreamer.resolve(algo, ["debug"], flags)
    obs = spaces.Dict(
        {"image": spaces.Box(0, 255, (64, 64, 3), np.uint8), "vector": spaces.Box(-9, 9, (5,), np.float32)}
    )
    torch.manual_seed(0)
    agent = Agent(obs, spaces.Box(-1, 1, (2,), np.float32), config, "cpu")
    state = agent.state_dict()
    if device != "cpu":
        agent = Agent(obs, spaces.Box(-1, 1, (2,), np.float32), config, device)
        agent.load_state_dict(state)
    agent.compiler = Compiler(fallback=False) if compiled else None
    agent.launcher = make_launcher(config, agent.device)
    return agent, obs


def losses_of_updates(agent, obs, updates):
    """Make updates on fixed batches with fixed noise; return the losses and gradient norms of each."""
    reference, found = torch.Generator().manual_seed(0), []
    for seed in range(updates):
        batch = random_batch(agent, obs, 3, 8, np.random.default_rng(seed))
        noise = fixed_noise(agent, reference, 3, 8)
        metrics, _ = agent.update(batch, step=seed, noise=noise)
        found.append({k: float(v) for k, v in metrics.items() if k.startswith(("loss/", "grad/"))})
    return found


def fixed_noise(agent, generator, batch, length):
    """Return noise with the distribution of `agent.noise`, the same numbers on every device."""
    seed = int(torch.randint(2**31, (1,), generator=generator))
    device, agent.device = agent.device, torch.device("cpu")
    try:
        torch.manual_seed(seed)
        drawn = agent.noise(batch, length)
    finally:
        agent.device = device
    return pytree.tree_map_only(torch.Tensor, lambda x: x.to(device), drawn)


def largest_difference(found, wanted):
    """Return the largest relative difference of two dicts of numbers, and its name."""
    differences = {key: abs(found[key] - wanted[key]) / (abs(wanted[key]) + SMALLEST) for key in wanted}
    name = max(differences, key=differences.__getitem__)
    return differences[name], name


def check_parity(options):
    """Report how far each variant is from the CPU."""
    wanted = losses_of_updates(*make_agent(options.algo, "cpu"), UPDATES)
    for variant in options.variants:
        precision, compiled, graphs = VARIANTS[variant]
        try:
            updates = 1 if precision == "bf16" else UPDATES
            found = losses_of_updates(*make_agent(options.algo, options.device, precision, compiled, graphs), updates)
        except UserError as error:
            skipped = graphs and torch.device(options.device).type == "cpu"
            report(variant, skipped, f"{'skipped: ' * skipped}{error}")
            continue
        limits = {0: HALF_TOLERANCE if precision == "bf16" else FIRST_TOLERANCE}
        limits |= {UPDATES - 1: LAST_TOLERANCE} if updates == UPDATES else {}
        results = {i: largest_difference(found[i], wanted[i]) for i in limits}
        says = ", ".join(
            f"update {i + 1}: {worst:.1e} of {limits[i]:.0e} ({name})" for i, (worst, name) in results.items()
        )
        passed = all(worst <= limits[i] for i, (worst, _) in results.items())
        report(variant, passed, says, max(worst for worst, _ in results.values()))


def check_resume(options):
    """Report whether a run that was stopped and continued ends with the weights of one that was not."""
    graphs = torch.device(options.device).type == "cuda"
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS needs it to be deterministic
    torch.use_deterministic_algorithms(True, warn_only=True)
    for algo in ("v2", "v3"):
        for with_graphs in (False, True) if graphs else (False,):
            with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
                whole, halves = (Path(folder) / name for name in ("whole", "halves"))
                train_run(algo, options.device, with_graphs, whole, 400)
                for steps in (200, 400):
                    train_run(algo, options.device, with_graphs, halves, steps)
                one, two = (Checkpoints(path / "checkpoints").load()["agent"] for path in (whole, halves))
            worst, name = largest_weight_difference(one, two)
            variant = f"{algo}{' graphs' * with_graphs}"
            says = "equal to the last bit" if not worst else f"{worst:.1e} of {RESUME_TOLERANCE:.0e} ({name})"
            report(variant, worst <= RESUME_TOLERANCE, says, worst)


def train_run(algo, device, graphs, logdir, steps):
    """Train a small run until `steps` frames."""
    flags = {"task": "dummy_point_20", "logdir": str(logdir), "steps": steps, "run.device": device}
    flags |= {"run.envs": 1, "run.parallel": "none", "run.threads": 1, "run.compile": "off", "run.cuda_graphs": graphs}
    flags |= {"run.prefill": 100, "run.video_every": 0, "run.eval_every": 0, "run.logger": "jsonl"}
    flags |= {"v2": {"schedule.updates": 5}, "v3": {"schedule.ratio": 4}}[algo]  # about 30 updates
    train(dreamer.resolve(algo, ["debug"], flags))


def largest_weight_difference(one, two):
    """Return the largest difference of a tensor relative to its largest number, and the tensor's name."""
    tensors = {key: x for key, x in one.items() if isinstance(x, torch.Tensor) and x.is_floating_point()}
    gap = lambda key, x: float((two[key] - x).abs().max() / (x.abs().max() + SMALLEST)) if x.numel() else 0.0
    differences = {key: gap(key, x) for key, x in tensors.items()}
    name = max(differences, key=differences.__getitem__)
    return differences[name], name


def main(argv=None):
    options = arguments(argv)
    torch.set_num_threads(1)  # the networks are small
    {"parity": check_parity, "resume": check_resume}[options.check](options)


if __name__ == "__main__":
    main()
