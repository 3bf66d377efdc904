"""Format `danijar-v3`: checkpoints of danijar/dreamerv3, both the folders of `elements` and the file of 2023.

PATH may be the logdir, its folder `ckpt`, one of the folders in it, or the file `checkpoint.ckpt` of 2023. Source:
`embodied/jax/agent.py` `Agent.save`, `elements/checkpoint.py`; of 2023: `embodied/core/checkpoint.py`.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gymnasium import spaces

from common.agent.agent import Agent
from common.config.config import flatten
from common.errors import UserError
from common.foreign import danijar_v3_2023
from common.foreign import danijar_v3_names as names
from common.foreign.danijar_v3_settings import make_flags
from common.foreign.safe_pickle import read_pickle
from common.foreign.settings import read_settings, repeat_flag
from common.foreign.slots import Slots, key_rows, plain, under
from common.foreign.source import Description, Moments, Source, action_space, image_space, vector_space

FILE_2023 = "checkpoint.ckpt"
STOCH = 32  # groups of one-hots in every published size
COUNTERS = ("opt/", "slowval_count/")  # not networks
MULTIPLIERS = (2, 3, 4, 4)  # channels of the stages


def read(path: Path) -> Source:
    """Read a checkpoint. Raises UserError if there is none at `path`."""
    if (file := path / FILE_2023 if path.is_dir() else path).is_file() and file.suffix == ".ckpt":
        return danijar_v3_2023.read(file)
    folder = checkpoint_folder(path)
    data = read_pickle(folder / "agent.pkl")
    if not isinstance(data, dict) or not isinstance(data.get("params"), dict):
        raise UserError(f"{folder / 'agent.pkl'} holds no params: it is not an agent of danijar/dreamerv3.")
    params, step = data["params"], folder / "step.pkl"
    return Source(
        folder,
        {name: value for name, value in params.items() if not name.startswith(COUNTERS)},
        read_settings(folder),
        steps=int(read_pickle(step)) if step.is_file() else 0,
        updates=int(data.get("counters", {}).get("updates", 0)),
        moments=moments(params),
    )


def is_of_2023(source: Source) -> bool:
    """Whether the names are those of the code of 2023."""
    return source.has("agent/wm/")


def checkpoint_folder(path: Path) -> Path:
    """Return the folder with agent.pkl. Raises UserError if there is none."""
    for place in (path, path.parent, path / "ckpt"):
        latest = place / "latest"
        chosen = place / latest.read_text().strip() if latest.is_file() and place != path.parent else place
        if (chosen / "agent.pkl").is_file():
            return chosen
    raise UserError(f"{path} has no checkpoint of danijar/dreamerv3: no agent.pkl is in it, in ckpt or in its latest.")


def moments(params: Mapping[str, Any]) -> Moments | None:
    """Return the optimiser's state: the chain is clipping, second moment, first moment; each with its step."""
    nu, mu = (with_prefix(params, f"opt/state/{place}/1/") for place in (1, 2))
    if not nu or set(nu) != set(mu):
        return None
    steps = int(params["opt/step/value"])
    return Moments(mu, nu, dict.fromkeys(("model", "actor", "critic"), steps))


def with_prefix(params: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the entries whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in params.items() if name.startswith(prefix)}


def describe(source: Source) -> Description:
    """Infer sizes from shapes; the rest from the settings, or the published ones without any."""
    if is_of_2023(source):
        return danijar_v3_2023.describe(source)
    cfg = source.settings.get("agent", {})
    flags = (make_flags(cfg) if cfg else {}) | size_flags(source, cfg) | repeat_flag(flatten(dict(source.settings)))
    observation = observations(source, flags)
    discrete = source.has("pol/head/action/logits")
    if not discrete:
        source.shape("pol/head/action/mean/kernel")
    return Description("v3", flags, observation, action_space(source.shape("dyn/dynin2/kernel")[0], discrete))


def size_flags(source: Source, cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sizes of all networks, from shapes."""
    deter, hidden = source.shape("dyn/dynin0/kernel")
    latent = source.shape("dyn/dynin1/kernel")[0]
    stoch = cfg.get("dyn", {}).get("rssm", {}).get("stoch", STOCH)
    if latent % stoch:
        raise source.refuse(f"its {latent} latent numbers are not {stoch} one-hots; keep its config.yaml next to it")
    flags: dict[str, Any] = {
        "rssm": {"deter": deter, "hidden": hidden},
        "rssm.prior_layers": source.count("dyn/prior{}/kernel"),
        "rssm.post_layers": source.count("dyn/obs{}/kernel"),
        "latent.stoch": stoch,
        "latent.classes": latent // stoch,
        "cell": {"blocks": source.shape("dyn/dynhid0/kernel")[0], "layers": source.count("dyn/dynhid{}/kernel")},
        "policy_disc.unimix": 0.0,  # a setting of that code which it does not use
        "net.norm": "layer" if source.has("dyn/dynin0norm/shift") else "rms",
    }
    for ours, theirs in {"reward": "rew", "con": "con", "critic": "val", "actor": "pol"}.items():
        flags[f"mlp.{ours}.layers"] = source.count(f"{theirs}/mlp/linear{{}}/kernel")
        flags[f"mlp.{ours}.units"] = source.shape(f"{theirs}/mlp/linear0/kernel")[1]
    for ours, theirs in {"reward": "rew", "critic": "val"}.items():
        flags[f"{ours}.bins"] = source.shape(f"{theirs}/head/logits/kernel")[1]
    return flags | vector_sizes(source) | image_sizes(source)


def vector_sizes(source: Source) -> dict[str, int]:
    """Return the sizes of the networks of vectors; the decoder of images has the same units."""
    flags = {}
    if source.has("enc/mlp0/"):
        flags["mlp.encoder.layers"] = source.count("enc/mlp{}/kernel")
        flags["mlp.encoder.units"] = source.shape("enc/mlp0/kernel")[1]
    if source.has("dec/mlp/"):
        flags["mlp.decoder.layers"] = source.count("dec/mlp/linear{}/kernel")
        flags["mlp.decoder.units"] = source.shape("dec/mlp/linear0/kernel")[1]
    elif source.has("dec/sp1/"):
        flags["mlp.decoder.units"] = source.shape("dec/sp1/kernel")[1] // 2
    return flags


def image_sizes(source: Source) -> dict[str, int]:
    """Return depth and blocks of the convolutions."""
    if not source.has("enc/cnn0/"):
        return {}
    widths = [source.shape(f"enc/cnn{i}/kernel")[3] for i in range(source.count("enc/cnn{}/kernel"))]
    depth = widths[0] // MULTIPLIERS[0]
    if widths != [depth * m for m in MULTIPLIERS] or source.shape("enc/cnn0/kernel")[:2] != (5, 5):
        raise source.refuse(f"its convolutions have {widths} channels; here they are {MULTIPLIERS} times one depth")
    if not source.has("dec/sp0/"):
        raise source.refuse("its decoder has bspace 0; PoolConv begins with blocks")
    return {"conv.depth": depth, "conv.blocks": source.shape("dec/sp0/kernel")[0]}


def observations(source: Source, flags: Mapping[str, Any]) -> spaces.Dict:
    """Return the spaces of the observations. The file has no names of images: all are one, `image`."""
    found: dict[str, spaces.Space] = {}
    if source.has("enc/cnn0/"):
        vector = flags["mlp.encoder.units"] if source.has("enc/mlp0/") else 0
        embed = source.shape("dyn/obs0/kernel")[0] - flags["rssm"]["deter"] - vector
        side = 16 * round((embed // (MULTIPLIERS[-1] * flags["conv.depth"])) ** 0.5)
        found["image"] = image_space(side, side, source.shape("enc/cnn0/kernel")[2])
    for key in source.find(r"dec/vec/(.+)/\w+/kernel"):
        found[key] = vector_space(source.shape(f"dec/vec/{key}/pred/kernel")[1])
    return spaces.Dict(found)


def slots(agent: Agent, source: Source, keys: dict[str, str]) -> Slots:
    """Return the places of all arrays in an agent."""
    if is_of_2023(source):
        return danijar_v3_2023.slots(agent, source, keys)
    encoder, behavior = agent.world.encoder, agent.behavior
    slow: Any = behavior.slow
    norm: Any = behavior.advantage
    foreign = {ours: theirs for theirs, ours in keys.items()}
    theirs = sorted(foreign[key] for key in encoder.vectors)
    sizes = {key: math.prod(agent.world.decoder.shapes[key]) for key in encoder.vectors}
    rows = key_rows([keys[key] for key in theirs], sizes) if theirs else None
    modules = names.agent(agent, rows, foreign) | {"slowval": names.head(slow.slow.net)}
    found = {name: slot for module, group in modules.items() for name, slot in under(module, group).items()}
    found |= {"retnorm/lo/value": plain(norm.range[0]), "retnorm/hi/value": plain(norm.range[1])}
    return found | ({"retnorm/corr/value": plain(norm.total)} if source.has("retnorm/corr/") else {})
