"""danijar/dreamerv3, the official 2024 agent in JAX, jitted on the CPU.

Calls `train` of the agent that the checkout builds, with its last carry and a fixed batch on the device, and waits for
the new parameters. The configuration is the checkout's defaults with the sizes of the workload; its batch has one more
step than the length, the replay context, with zero latents.

Omitted: the compilation of its report, which an update does not call, and its profiler. Replaced: `jax.jit`, so that it
takes options by position, which newer JAX forbids. Nothing is stubbed. JAX always compiles, so `--compile` has no
effect. `--threads` limits the cores of the process, from which XLA takes its threads. Needs the checkout's
requirements, except the environments.
"""

import os
import sys
from pathlib import Path

import numpy as np

from benchmarks.peers.shared import policy_ms, refuse

TRAINED = ("enc/", "dyn/", "dec/", "rew/", "con/", "pol/", "val/")


def load_config(work, options, folder):
    """Return the checkout's defaults with the sizes of the workload, as its main program passes them to the agent."""
    import elements
    import ruamel.yaml

    sizes = work["sizes"]
    text = (folder / "dreamerv3" / "configs.yaml").read_text()
    config = elements.Config(ruamel.yaml.YAML(typ="safe").load(text)["defaults"])
    rssm = {key: sizes[key] for key in ("deter", "hidden", "stoch", "classes")}
    config = config.update({r".*\.rssm": rssm, r".*\.depth": sizes["depth"], r".*\.units": sizes["units"]})
    config = config.update({"agent.imag_length": work["horizon"], "jax.platform": "cpu"})
    config = config.update({"jax.compute_dtype": {"fp32": "float32", "bf16": "bfloat16"}[options.precision]})
    keys = ("seed", "replay_context", "report_length", "replica", "replicas")
    return elements.Config(
        **config.agent,
        **{key: config[key] for key in keys},
        logdir="",
        jax={**config.jax, "profiler": False},
        batch_size=work["batch"],
        batch_length=work["length"],
    )


def make_spaces(work):
    """Return observation and action spaces of a workload, with the flags that its environments always have."""
    import elements

    scalar = {"reward": np.float32, "is_first": bool, "is_last": bool, "is_terminal": bool}
    observation = {key: elements.Space(dtype) for key, dtype in scalar.items()}
    if work["vector"]:
        observation["vector"] = elements.Space(np.float32, (work["vector"],))
    if work["channels"]:
        observation["image"] = elements.Space(np.uint8, (64, 64, work["channels"]))
    discrete = elements.Space(np.int32, (), 0, work["actions"])
    action = discrete if work["discrete"] else elements.Space(np.float32, (work["actions"],), -1, 1)
    return observation, {"action": action}


def random_data(spaces, extras, lead, first):
    """Return random steps with leading shape `lead`, with zeros for `extras`. An episode starts at step `first`."""
    rng = np.random.default_rng(0)
    data = {}
    for key, space in spaces.items():
        shape = (*lead, *space.shape)
        if key in extras or space.dtype == bool:
            data[key] = np.zeros(shape, space.dtype)
        elif key == "action" and not space.discrete:
            data[key] = rng.uniform(-1, 1, shape).astype(np.float32)
        elif space.discrete:
            data[key] = rng.integers(space.low, np.int64(space.high), shape).astype(space.dtype)
        else:
            data[key] = rng.standard_normal(shape, np.float32)
    data["is_first"][:, first] = True
    return data


def make_policy(agent, data):
    """Return a policy call with batch 1, which is compiled."""
    obs = {key: data[key][:1, -1] for key in agent.obs_space}
    carry = agent.init_policy(1)

    def act():
        nonlocal carry
        carry, _, _ = agent.policy(carry, obs)

    act()  # compiles
    return act


def accept_positions():
    """Let `jax.jit` take its options by position, as the JAX version of the checkout does."""
    import jax

    jit, names = jax.jit, ("in_shardings", "out_shardings", "static_argnums", "static_argnames", "donate_argnums")
    jax.jit = lambda fun, *args, **kwargs: jit(fun, **dict(zip(names, args, strict=False)), **kwargs)


def make_agent(work, options, folder):
    """Return the agent with its training step compiled."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    sys.path.insert(0, str(folder))
    accept_positions()
    import embodied.jax
    from dreamerv3.agent import Agent

    embodied.jax.Agent._compile_report = lambda self: None
    return Agent(*make_spaces(work), load_config(work, options, folder))


def build(work, options):
    refuse(options.who, {"needs --device cpu": options.device != "cpu"})
    folder = Path(options.checkout).resolve()
    agent = make_agent(work, options, folder)
    import jax

    context = agent.config.replay_context
    data = random_data(agent.spaces, agent.model.ext_space, (work["batch"], work["length"] + context), context)
    batch = jax.device_put(data, agent.train_sharded)
    carry = agent.init_train(work["batch"])

    def update():
        nonlocal carry
        seed = agent._seeds(int(agent.n_updates), agent.train_mirrored)
        carry, _, metrics = agent.train(carry, {**batch, "seed": seed})
        jax.block_until_ready((agent.params, carry))
        return metrics

    info = {"parameters": sum(value.size for key, value in agent.params.items() if key.startswith(TRAINED))}
    return update, info | {"jax": jax.__version__, "policy_ms": policy_ms(make_policy(agent, data))}
