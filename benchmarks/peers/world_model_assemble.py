"""World_model_assemble, the 2023 agent in PyTorch; a relative of dreamerv3-torch.

Calls `Dreamer._train` of the checkout with `wm_type: v3`, its default, through the adapter of dreamerv3-torch. Its
docstring lists the stubbed and replaced parts. Images only: its vector decoder cannot be trained.
"""

from benchmarks.peers import dreamerv3_torch
from benchmarks.peers.shared import refuse


def build(work, options):
    refuse(options.who, {"needs a workload without vectors": work["vector"]})
    return dreamerv3_torch.build(work, options)
