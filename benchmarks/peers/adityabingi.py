"""adityabingi/Dreamer, DreamerV1 for continuous control from images.

Calls `Dreamer.train_one_batch` of the checkout with its default arguments (`--algo Dreamerv1`) and the sizes of the
workload. That update omits the first observation of each sequence. Sequences here are therefore one step longer than in
the workload, so that it trains on as many steps as the others.

Replaced: the replay buffer, by a fixed batch. Stubbed, because the update does not use them: its environments
(`env_wrapper`, which needs old gym) and moviepy, matplotlib and tensorboardX, which its logger imports. Needs torch and
numpy.
"""

import argparse
import importlib
import sys
from itertools import chain
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from benchmarks.peers.shared import policy_ms, random_actions, refuse, refuse_options

STUBS = ("env_wrapper", "moviepy", "moviepy.editor", "matplotlib", "matplotlib.pyplot", "tensorboardX")


class FixedBatch:
    """Replaces the replay buffer: always the same steps, time first, without episode ends."""

    def __init__(self, work, rng):
        lead = (work["length"] + 1, work["batch"])
        action = random_actions(work, lead, rng)
        reward, terminal = rng.standard_normal(lead, np.float32), np.zeros(lead, np.float32)
        self.data = rng.integers(0, 256, (*lead, work["channels"], 64, 64), np.uint8), action, reward, terminal

    def sample(self):
        return self.data


def default_arguments(peer):
    """Return the defaults of its command line: run its main() until it parses the arguments."""
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
    """Return its agent with the sizes of the workload, on a fixed batch."""
    args, sizes = default_arguments(peer), work["sizes"]
    args.deter_size, args.stoch_size, args.num_units = sizes["deter"], sizes["stoch"], sizes["units"]
    args.batch_size, args.train_seq_len = work["batch"], work["length"] + 1
    args.imagine_horizon, args.buffer_size = work["horizon"], 1
    agent = peer.Dreamer(args, (work["channels"], 64, 64), work["actions"], torch.device("cpu"))
    agent.data_buffer = FixedBatch(work, np.random.default_rng(0))
    return agent


def make_policy(agent):
    """Return a policy call with batch 1, from a uint8 image."""
    obs = {"image": agent.data_buffer.data[0][0, 0]}
    state, action = agent.rssm.init_state(1, agent.device), torch.zeros(1, agent.action_size)

    @torch.no_grad()
    def act():
        nonlocal state, action
        state, action = agent.act_with_world_model(obs, state, action, explore=True)

    return act


def build(work, options):
    sizes = work["sizes"]
    refuse_options(options)
    refuse(options.who, {
        "needs --algo v1": options.algo != "v1" or "classes" in sizes,
        "needs an image workload": not work["channels"] or work["vector"],
        "needs continuous actions": work["discrete"],
        "needs hidden equal to deter": sizes["hidden"] != sizes["deter"],
        "needs convolutions of depth 32": sizes["depth"] != 32,
    })  # fmt: skip
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    sys.path.insert(0, str(Path(options.checkout).resolve()))
    sys.modules.update({name: mock.MagicMock() for name in STUBS})
    agent = make_agent(importlib.import_module("dreamer"), work)
    parts = chain(agent.world_model_params, agent.actor.parameters(), agent.value_model.parameters())
    info = {"parameters": sum(value.numel() for value in parts)}
    return agent.train_one_batch, info | {"torch": torch.__version__, "policy_ms": policy_ms(make_policy(agent))}
