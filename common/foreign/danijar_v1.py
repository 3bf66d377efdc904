"""Format `danijar-v1`: `variables.pkl` of danijar/dreamer, which holds the agent but not its optimisers.

The file has no names and its run stores no settings. The numbers of layers are fixed in that code; sizes come from
shapes. Activations and losses are taken as published. Source: `dreamer.Dreamer`, `tools.Module.save`.
"""

from pathlib import Path

from gymnasium import spaces

from common.agent.agent import Agent
from common.errors import UserError
from common.foreign import danijar_names as names
from common.foreign.slots import Slots, under
from common.foreign.source import Description, Source, action_space, image_space
from common.foreign.variables_file import chain_fits, layers, read_variables

SIDE = 64
PCONT = "pcont"
#: Module -> its arrays in the order of the file.
MODULES = {
    "actor": [*layers(["h0", "h1", "h2", "h3", "hout"])],
    "decode": [*layers(["h1", "h2", "h3", "h4", "h5"])],
    "dynamics": [
        "cell/kernel",
        "cell/recurrent_kernel",
        "cell/bias",
        *layers(["img1", "img2", "img3", "obs1", "obs2"]),
    ],
    "encode": [*layers(["h1", "h2", "h3", "h4"])],
    "reward": [*layers(["h0", "h1", "hout"])],
    PCONT: [*layers(["h0", "h1", "h2", "hout"])],
    "value": [*layers(["h0", "h1", "h2", "hout"])],
}


def read(path: Path) -> Source:
    """Read the file. Its numbers without axes are the step counter, then sums for logs, which are dropped."""
    file, values = read_variables(path)
    counters, arrays = [x for x in values if not x.ndim], [x for x in values if x.ndim]
    for pcont in (True, False):
        order = [f"{module}/{name}" for module, own in MODULES.items() if pcont or module != PCONT for name in own]
        if len(order) == len(arrays) and chain_fits(order, arrays):
            frames = int(counters[0]) if counters else 0
            return Source(file, dict(zip(order, arrays, strict=True)), frames=frames)
    raise UserError(f"{file} has {len(arrays)} arrays in an order that danijar/dreamer does not write.")


def describe(source: Source) -> Description:
    """Infer sizes and spaces from shapes."""
    shape = source.shape
    deter, stoch = shape("dynamics/cell/recurrent_kernel")[0], shape("dynamics/img3/bias")[0] // 2
    actions = shape("dynamics/img1/kernel")[0] - stoch
    outs = shape("actor/hout/bias")[0]
    if outs not in (actions, 2 * actions):
        raise source.refuse(f"its actor has {outs} outputs for {actions} actions")
    pcont = source.has(f"{PCONT}/")
    flags = {
        "rssm": {"deter": deter, "hidden": shape("dynamics/img1/kernel")[1]},
        "latent.stoch": stoch,
        "conv.depth": shape("encode/h1/kernel")[3],
        "con.use": "SoftContinue" if pcont else "NoContinue",
        "imagination.drop_last": int(pcont),
    }
    for ours, theirs in {"reward": "reward", "critic": "value", "actor": "actor", "con": PCONT}.items():
        if source.has(f"{theirs}/"):
            flags[f"mlp.{ours}.units"] = shape(f"{theirs}/h0/kernel")[1]
    observation = spaces.Dict({"image": image_space(SIDE, SIDE, shape("encode/h1/kernel")[2])})
    return Description("v1", flags, observation, action_space(actions, outs == actions))


def slots(agent: Agent, source: Source, keys: dict[str, str]) -> Slots:
    """Return the places of all arrays in an agent."""
    groups = names.v1_agent(agent).items()
    return {name: slot for module, group in groups for name, slot in under(module, group).items()}
