"""Random number generators of Python, NumPy and torch (CPU and GPUs): seed, save, restore."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed all generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (third-party environments use it)
    torch.manual_seed(seed)


def get_state() -> dict:
    """Return the states of all generators as tensors, arrays and plain Python."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002
        "torch": torch.get_rng_state(),
        "cuda": gpus,
    }


def set_state(state: dict) -> None:
    """Restore what `get_state` returned. States of GPUs are skipped if the number of GPUs has changed."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


@contextlib.contextmanager
def isolated_rng(*seeds: int) -> Iterator[None]:
    """Run a block with generators seeded by `seeds`; restore the previous states afterwards."""
    before = get_state()
    seed_all(int(np.random.SeedSequence(seeds).generate_state(1)[0]))
    try:
        yield
    finally:
        set_state(before)
