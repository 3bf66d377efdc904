"""Forward passes of an imported agent in the layout of the foreign files, compared with foreign numbers."""

from pathlib import Path

import numpy as np
import torch

from common.agent.rssm import LatentState

DATA = Path(__file__).parent / "data"
TOLERANCE = 1e-5


def given(case: str) -> tuple[dict[str, torch.Tensor], dict[str, np.ndarray]]:
    """Inputs and expected outputs of a case."""
    with np.load(DATA / case / "forward.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    inputs = {name[3:]: torch.from_numpy(x) for name, x in arrays.items() if name.startswith("in/")}
    return inputs, {name[4:]: x for name, x in arrays.items() if name.startswith("out/")}


@torch.no_grad()
def outputs(agent, inputs, keys=None) -> dict[str, torch.Tensor]:
    """Outputs of one posterior step from given latents, then of all heads on a given posterior sample.

    keys: foreign name of an observation -> ours.
    """
    world, behavior, latent = agent.world, agent.behavior, agent.latent
    names = keys or {}
    shown = {name[4:]: x for name, x in inputs.items() if name.startswith("obs/")}
    obs = {names.get(key, key): x[:, None] if x.ndim == 1 else x for key, x in shown.items()}
    action = inputs["action"]
    if not action.is_floating_point():
        action = torch.nn.functional.one_hot(action.long(), agent.actions).float()
    embed = world.encoder(obs)
    deter = world.rssm.deter_step(LatentState(inputs["deter"], inputs["stoch"].flatten(1)), action)
    post = world.rssm.post(torch.cat([deter, embed], -1))
    states = LatentState(deter, inputs["post"].flatten(1))
    found = {"deter": deter, "embed": embed, "reward": world.reward.pred(states.feat)}
    for name, params in (("prior", world.rssm.prior(deter)), ("post", post)):
        found[name] = torch.cat(latent.stats(params), -1) if hasattr(latent, "stats") else params
    out = behavior.actor(states.feat)
    found["policy"] = out if agent.classes else torch.cat(behavior.actor.dist.stats(out), -1)
    found["value"] = behavior.critic.pred(states.feat)
    if hasattr(behavior.slow, "slow"):
        found["slowvalue"] = behavior.slow.slow.pred(states.feat)
    if hasattr(world.con, "net"):
        found["con"] = world.con.logit(states.feat).sigmoid()
    theirs = {ours: foreign for foreign, ours in names.items()}
    pictures = world.decoder.predict(states)
    return found | {f"rec/{theirs.get(key, key)}": x for key, x in pictures.items()}


def differences(found: dict[str, torch.Tensor], expected: dict[str, np.ndarray]) -> dict[str, float]:
    """Largest difference by name, relative above 1; every expected number must be found, in its shape."""
    worst = {}
    for name, want in expected.items():
        got = found[name].numpy()
        if name.startswith("rec/") and want.ndim == 4:
            got = got[:, ::8, ::8]  # files hold every eighth pixel
        assert got.size == want.size, (name, got.shape, want.shape)
        worst[name] = float((np.abs(got.reshape(want.shape) - want) / np.maximum(1, np.abs(want))).max())
    return worst
