"""Shared by the adapters: checks, spaces, random data, and the time of the policy. Imports only NumPy."""

import statistics
import sys
import time

import numpy as np


def refuse(who, checks):
    """Exit with the messages of the checks that fail. checks: message -> whether something is not supported."""
    wrong = [message for message, unsupported in checks.items() if unsupported]
    if wrong:
        sys.exit(f"{who}: {'; '.join(wrong)}")


def refuse_options(options, device="cpu", precision="fp32", compile="off"):
    """Exit if the options ask for another device, precision or compilation than these."""
    wanted = {"device": device, "precision": precision, "compile": compile}
    refuse(options.who, {f"needs --{key} {value}": getattr(options, key) != value for key, value in wanted.items()})


def observation_space(work):
    """Return the gymnasium space of the observations of a workload."""
    from gymnasium import spaces  # here: not all peers need it

    found = {}
    if work["vector"]:
        found["vector"] = spaces.Box(-np.inf, np.inf, (work["vector"],), np.float32)
    if work["channels"]:
        found["image"] = spaces.Box(0, 255, (64, 64, work["channels"]), np.uint8)
    return spaces.Dict(found)


def random_actions(work, lead, rng):
    """Return actions (*lead, actions), float32: uniform, or one-hot if they are discrete."""
    if work["discrete"]:
        return np.eye(work["actions"], dtype=np.float32)[rng.integers(0, work["actions"], lead)]
    return rng.uniform(-1, 1, (*lead, work["actions"])).astype(np.float32)


def random_observations(spaces, lead, rng):
    """Return observations (*lead, ...) of all spaces: uint8 images and float32 vectors."""
    draw = lambda shape, image: (
        rng.integers(0, 256, shape, np.uint8) if image else rng.standard_normal(shape, np.float32)
    )
    return {key: draw((*lead, *space.shape), space.dtype == np.uint8) for key, space in spaces.items()}


def policy_ms(act, calls=50):
    """Return the median milliseconds of `act()`, a policy call with batch 1."""
    seconds = []
    for _ in range(calls):
        start = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - start)
    return {"1": 1e3 * statistics.median(seconds)}
