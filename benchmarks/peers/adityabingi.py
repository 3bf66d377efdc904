"""adityabingi/Dreamer, DreamerV1 for continuous control from images.

Calls `Dreamer.train_one_batch` of the checkout with its default arguments (`--algo Dreamerv1`) and the sizes of the
workload. That update leaves out the first observation of every sequence, so the sequences here are one step longer than
the workload says: it trains, and imagines from, as many steps as the others.

Replaced: the replay buffer, by a fixed batch. Stubbed, since the update has no part in them: its environments
(`env_wrapper`, which needs old gym) and moviepy, matplotlib, and tensorboardX, which its logger imports. Needs torch
and numpy.
"""

import argparse
import importlib
import statistics
import sys
import time
from itertools import chain
from pathlib import Path
from unittest import mock

import numpy as np
import torch

STUBS = ("env_wrapper", "moviepy", "moviepy.editor", "matplotlib", "matplotlib.pyplot", "tensorboardX")


class FixedBatch:
    """Stands where the replay buffer does: the same steps every time, time first; nothing ends."""

    def __init__(self, work, rng):
        lead = (work["length"] + 1, work["batch"])
        action = rng.uniform(-1, 1, (*lead, work["actions"])).astype(np.float32)
        reward, terminal = rng.standard_normal(lead, np.float32), np.zeros(lead, np.float32)
        self.data = rng.integers(0, 256, (*lead, work["channels"], 64, 64), np.uint8), action, reward, terminal

    def sample(self):
        return self.data


def refuse(work, options):
    """Ends the run with what the peer or this adapter cannot do."""
    sizes = work["sizes"]
    checks = {
        "only algo v1": options.algo != "v1" or "classes" in sizes,
        "fp32 only": options.precision != "fp32",
        "eager only": options.compile == "on",
        "runs on the CPU": options.device != "cpu",
        "image workloads only": not work["channels"] or work["vector"],
        "continuous actions only": work["discrete"],
        "hidden is deter": sizes["hidden"] != sizes["deter"],
        "its convolutions have depth 32": sizes["depth"] != 32,
    }
    wrong = [message for message, holds in checks.items() if holds]
    if wrong:
        raise SystemExit(f"adityabingi: {'; '.join(wrong)}")


def default_arguments(peer):
    """The defaults of its command line: its main() runs up to the parsing, and no further."""
    parse, found = argparse.ArgumentParser.parse_args, []

    def stop(parser):
        found.append(parse(parser, []))
        raise StopIteration

    with mock.patch.object(argparse.ArgumentParser, "parse_args", stop):
        try:
            peer.main()
        except StopIteration:
            return found[0]


def make_agent(peer, work):
    """Its agent with the sizes of the workload, on a fixed batch."""
    args, sizes = default_arguments(peer), work["sizes"]
    args.deter_size, args.stoch_size, args.num_units = sizes["deter"], sizes["stoch"], sizes["units"]
    args.batch_size, args.train_seq_len = work["batch"], work["length"] + 1
    args.imagine_horizon, args.buffer_size = work["horizon"], 1
    agent = peer.Dreamer(args, (work["channels"], 64, 64), work["actions"], torch.device("cpu"))
    agent.data_buffer = FixedBatch(work, np.random.default_rng(0))
    return agent


@torch.no_grad()
def policy_ms(agent, calls=50):
    """Median milliseconds of one policy call with batch 1, from a uint8 image."""
    obs, seconds = {"image": agent.data_buffer.data[0][0, 0]}, []
    state, action = agent.rssm.init_state(1, agent.device), torch.zeros(1, agent.action_size)
    for _ in range(calls):
        start = time.perf_counter()
        state, action = agent.act_with_world_model(obs, state, action, explore=True)
        seconds.append(time.perf_counter() - start)
    return {"1": 1e3 * statistics.median(seconds)}


def build(work, options):
    refuse(work, options)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    sys.path.insert(0, str(Path(options.checkout).resolve()))
    sys.modules.update({name: mock.MagicMock() for name in STUBS})
    agent = make_agent(importlib.import_module("dreamer"), work)
    parts = chain(agent.world_model_params, agent.actor.parameters(), agent.value_model.parameters())
    info = {"parameters": sum(value.numel() for value in parts)}
    info |= {"torch": torch.__version__}
    return agent.train_one_batch, info | {"policy_ms": policy_ms(agent)}
