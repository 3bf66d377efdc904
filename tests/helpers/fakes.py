"""Small spaces and random batches for tests of the agent."""

import numpy as np
from gymnasium import spaces


def obs_space(image=True, vector=True):
    """An image, a vector and a scalar, or some of them."""
    items = {"image": spaces.Box(0, 255, (64, 64, 3), np.uint8)} if image else {}
    if vector:
        items |= {"state": spaces.Box(-9, 9, (5,), np.float32), "height": spaces.Box(-9, 9, (), np.float32)}
    return spaces.Dict(items)


def action_space(kind):
    """box, discrete or multi."""
    return {
        "box": spaces.Box(-1, 1, (2,), np.float32),
        "discrete": spaces.Discrete(3),
        "multi": spaces.MultiDiscrete([2, 3]),
    }[kind]


def random_obs(space, shape, rng):
    """Random observations (*shape, ...) of a space."""
    draw = lambda box: (
        rng.integers(0, 256, (*shape, *box.shape), np.uint8)
        if box.dtype == np.uint8
        else rng.normal(size=(*shape, *box.shape)).astype(np.float32)
    )
    return {key: draw(box) for key, box in space.items()}


def random_actions(agent, shape, rng):
    """Random action vectors (*shape, A)."""
    if not agent.classes:
        return rng.uniform(-1, 1, (*shape, agent.actions)).astype(np.float32)
    return np.concatenate([np.eye(n, dtype=np.float32)[rng.integers(0, n, shape)] for n in agent.classes], -1)


def random_batch(agent, size=3, length=7, seed=0, space=None):
    """A batch (B, T, ...) like the replay's, with an episode end by time and one by termination."""
    rng = np.random.default_rng(seed)
    shape, flag = (size, length), lambda *places: mark(np.zeros((size, length), bool), places)
    batch = random_obs(space or agent_space(agent), shape, rng) | {
        "prev_action": random_actions(agent, shape, rng),
        "reward": rng.normal(size=shape).astype(np.float32),
        "is_first": flag((0, 0), (1, 4), (2, 3)),
        "is_last": flag((1, 3), (2, 2)),
        "is_terminal": flag((2, 2)),
    }
    batch["prev_action"][batch["is_first"]] = 0
    for key, (tail, dtype) in agent.latent_spec().items():
        batch[f"context_{key}"] = np.zeros((size, *tail), dtype)
    return batch


def agent_space(agent):
    """The observations an agent was built for, as far as its decoder knows them."""
    shapes = agent.world.decoder.shapes
    return spaces.Dict(
        {
            key: spaces.Box(0, 255, shape, np.uint8) if len(shape) == 3 else spaces.Box(-9, 9, shape, np.float32)
            for key, shape in shapes.items()
        }
    )


def mark(flags, places):
    for place in places:
        flags[place] = True
    return flags
