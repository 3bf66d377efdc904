"""Numbers that foreign projects computed with their own code, compared with those of an imported agent.

A file VARIANT.npz holds inputs `in/...` and results `out/...` of the checkpoint next to it. N rows: observations
(N, ...), the state before (deter, stoch), the action, is_first; and next_stoch, which stands for the sample of the
posterior, so that no random number is compared. The embedding is in our order: vector, then image (H, W, C).
"""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from common.agent.agent import Agent
from common.agent.rssm import LatentState
from common.foreign.formats import format_module
from common.foreign.run import Imported, import_run
from common.foreign.source import Source
from dreamer import resolve

DATA = Path(__file__).parent / "data"


def stored(file: str) -> tuple[dict[str, torch.Tensor], dict[str, np.ndarray]]:
    """Return the inputs and the results of a checkpoint."""
    with np.load((DATA / file).with_suffix(".npz")) as data:
        parts = lambda kind: {key[len(kind) :]: data[key] for key in data.files if key.startswith(kind)}
        return {key: torch.from_numpy(x) for key, x in parts("in/").items()}, parts("out/")


def read(form: str, file: str, given: dict) -> Source:
    """Read a committed checkpoint. given: config keys that the user would type, as `latent.stoch`."""
    return dataclasses.replace(format_module(form).read(DATA / file), given=given)


def imported(form: str, source: Source, logdir: Path) -> Imported:
    """Import a checkpoint with the config keys that it was read with."""
    module = format_module(form)
    algo = module.describe(source).algo
    return import_run(module, source, logdir, lambda flags: resolve(algo, [], flags), dict(source.given))


@torch.no_grad()
def computed(agent: Agent, inputs: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Return what the agent computes from the inputs."""
    world, latent = agent.world, agent.world.rssm.latent
    names = observation_names(agent)
    embed = world.encoder({ours: inputs[theirs] for theirs, ours in names.items()})
    before = LatentState(inputs["deter"], inputs["stoch"])
    state, post = world.rssm.obs_step(before, inputs["action"], embed, inputs["is_first"], latent.noise(len(embed)))
    after = LatentState(state.deter, inputs["next_stoch"])
    found = {"embed": embed, "deter": state.deter, "reward": world.reward.pred(after.feat)}
    found |= latent_numbers(latent, post, "post") | latent_numbers(latent, world.rssm.prior(state.deter), "prior")
    found |= behavior_numbers(agent, after.feat)
    decoded = world.decoder.predict(after)
    found |= {f"recon_{theirs}": decoded[ours] for theirs, ours in names.items()}
    return {key: x.numpy() for key, x in found.items()}


def observation_names(agent: Agent) -> dict[str, str]:
    """Return our name of `image` and `vector` in the inputs."""
    encoder = agent.world.encoder
    return dict(zip(("image",), encoder.images, strict=False)) | dict(zip(("vector",), encoder.vectors, strict=False))


def behavior_numbers(agent: Agent, feat: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return what continue head, critics and actor compute from features (N, F)."""
    behavior, con = agent.behavior, agent.world.con
    found = {"value": behavior.critic.pred(feat)}
    found |= {"continue": con.logit(feat).sigmoid()} if hasattr(con, "logit") else {}
    found |= {"slow_value": behavior.slow.slow.pred(feat)} if hasattr(behavior.slow, "slow") else {}
    out, dist = behavior.actor(feat), behavior.actor.dist
    if agent.classes:
        return found | {"probs": torch.cat(dist.logits(out), -1).exp()}
    return found | dict(zip(("mean", "std"), dist.stats(out), strict=True))


def latent_numbers(latent, params: torch.Tensor, name: str) -> dict[str, torch.Tensor]:
    """Return probabilities, or mean and std of a Gaussian state."""
    if hasattr(latent, "stats"):
        return dict(zip((f"{name}_mean", f"{name}_std"), latent.stats(params), strict=True))
    return {name: latent.logits(params).exp().flatten(-2)}
