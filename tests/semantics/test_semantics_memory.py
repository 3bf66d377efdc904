"""Memory of a run stops growing once its replay is full."""

import resource
from pathlib import Path

import pytest

from tests.semantics.tools import Pipeline, load

ENVS, CAPACITY, STEPS = 10, 5000, 20_000


def resident():
    """Return the resident memory in MiB, or its peak if the system has no /proc."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


@pytest.mark.long
@pytest.mark.parametrize("algo", ["v1", "v3"])
def test_memory_is_flat_after_the_replay_is_full(algo):
    """Episode and window sampling, batches drawn now and then; less than 1 MiB for 1000 steps."""
    pipe = Pipeline(load(algo, task="dummy_mixed_vector_30", run__envs=ENVS, replay__capacity=CAPACITY, steps=STEPS))
    sizes = []
    for _ in range(20):
        pipe.collect(STEPS // 20 // ENVS, random=False)
        pipe.sample()
        sizes.append(resident())
    assert len(pipe.replay) == CAPACITY
    assert sizes[-1] - sizes[7] < 6  # MiB, over 12,000 steps; one small picture for each would be 140
