"""Format `esteveste`: the file variables.pt of esteveste/dreamerV2-pytorch, a DreamerV2 for games from images.

The file has weights only: no settings, counters or moments. Settings that no shape shows are taken to be those of its
block `atari`. Source: `dreamerv2/agent.py`, `common/nets.py`.
"""

from pathlib import Path
from typing import Any

from gymnasium import spaces

from common.errors import UserError
from common.foreign import torch_names as names
from common.foreign.slots import Slots, torch_conv, torch_linear, under
from common.foreign.source import Description, Source, action_space, image_space, one_hots
from common.foreign.torch_file import read_torch

SIDE, IMAGE = 2, 64  # of the last image of the encoder, of the images
RSSM, ENCODER, HEADS, BEHAVIOR = "wm.rssm.", "wm.encoder.", "wm.heads.", "_task_behavior."
NETS = {"reward": f"{HEADS}reward.", "con": f"{HEADS}discount.", "actor": f"{BEHAVIOR}actor."}
NETS |= {"critic": f"{BEHAVIOR}critic."}
RATES = {"model": 2e-4, "actor": 4e-5, "critic": 1e-4}


def read(path: Path) -> Source:
    """Read a checkpoint. Raises UserError if there is none at `path`."""
    file = path / "variables.pt" if path.is_dir() else path
    data = read_torch(file)
    if not isinstance(data, dict) or f"{RSSM}_cell._layer.weight" not in data:
        raise UserError(f"{file} is not a variables.pt of dreamerV2-pytorch: it has no {RSSM}_cell._layer.weight.")
    copies = ("_expl_behavior.actor.", "_expl_behavior.critic.", "_expl_behavior._target_critic.")
    return Source(file, {name: x for name, x in data.items() if not name.startswith(copies)})


def describe(source: Source) -> Description:
    """Infer sizes from shapes. Raises UserError for what our parts lack."""
    if not source.has(f"{ENCODER}h0.") or len(source.shape(f"{ENCODER}h0.weight")) < 4:
        raise source.refuse("encoder.keys is flatten; images are read by convolutions")
    if source.has(f"{NETS['actor']}out.std."):
        raise source.refuse("its actor is continuous; that project cannot train it, and no such file was seen")
    hidden, width = source.shape(f"{RSSM}img_in.weight")
    action, latent = source.shape(f"{NETS['actor']}out.out.weight")[0], source.shape(f"{RSSM}obs_dist.weight")[0]
    if width != latent + action:
        raise source.refuse("rssm.discrete is off: its states are Gaussian; one-hots are read")
    depth, channels, *_ = source.shape(f"{ENCODER}h0.weight")
    deter = source.shape(f"{RSSM}_cell._layer.weight")[0] // 3
    flags = one_hots(source, latent) | {"rssm.deter": deter, "rssm.hidden": hidden, "conv.depth": depth}
    flags |= {"con.use": "SoftContinue" if source.has(NETS["con"]) else "NoContinue", "discount": 0.999}
    flags |= {"reward_transform": "tanh", "actor.entropy": 1e-3, "kl": {"dyn": 0.08, "rep": 0.02}, "loss.con": 5.0}
    flags |= {f"optim.lr.{group}": rate for group, rate in RATES.items()}
    for ours, prefix in NETS.items():
        if source.has(prefix):
            flags[f"mlp.{ours}.layers"] = source.count(f"{prefix}h{{}}.weight")
            flags[f"mlp.{ours}.units"] = source.shape(f"{prefix}h0.weight")[0]
    found = spaces.Dict({"image": image_space(IMAGE, IMAGE, channels)})
    return Description("v2", flags, found, action_space(action, discrete=True))


def slots(agent: Any, source: Source, keys: dict[str, str]) -> Slots:
    """Return the places of all tensors in an agent."""
    world, behavior, rows = agent.world, agent.behavior, names.latent_rows(agent)
    found = rssm_slots(agent) | convolutions(ENCODER, list(world.encoder.cnn))
    found |= under(f"{HEADS}image.hin", torch_linear(world.decoder.cnn.inp, rows), ".")
    found |= convolutions(f"{HEADS}image.", list(world.decoder.cnn.stages))
    nets: dict[str, Any] = {NETS["reward"]: world.reward.net, NETS["critic"]: behavior.critic.net}
    nets |= {NETS["con"]: world.con.net} if hasattr(world.con, "net") else {}
    nets |= {f"{BEHAVIOR}_target_critic.": behavior.slow.slow.net}
    for prefix, net in nets.items():
        found |= names.mlp(net[0], f"{prefix}h{{}}", "", rows) | under(f"{prefix}out.out", torch_linear(net[1]), ".")
    actor = NETS["actor"]
    found |= names.mlp(behavior.actor.net, f"{actor}h{{}}", "", rows)
    return found | under(f"{actor}out.out", torch_linear(behavior.actor.outs[0]), ".")


def convolutions(prefix: str, stages: list[Any]) -> Slots:
    """Convolutions, numbered from 0; each but the last is followed by an activation."""
    found: Slots = {}
    for i, stage in enumerate(stages[::2]):
        found |= under(f"{prefix}h{i}", torch_conv(stage), ".")
    return found


def rssm_slots(agent: Any) -> Slots:
    """Dynamics, prior and posterior."""
    rssm: Any = agent.world.rssm
    (prior, prior_out), (post, post_out) = rssm.priors[0], rssm.post
    linears: dict[str, Any] = {"_cell._layer": (rssm.cell.gates, None), "img_in": (rssm.cell.inp.linear, None)}
    linears |= {"img_out": (prior[0].linear, None), "img_dist": (prior_out, None), "obs_dist": (post_out, None)}
    linears |= {"obs_out": (post[0].linear, names.posterior_rows(agent, SIDE))}
    found = under("_cell._norm", names.norm(rssm.cell.norm), ".")
    for name, (linear, rows) in linears.items():
        found |= under(name, torch_linear(linear, rows), ".")
    return under(RSSM, found, "")
