"""World_model_assemble, the 2023 agent in PyTorch; a relative of dreamerv3-torch.

Calls `Dreamer._train` of the checkout with `wm_type: v3`, its default, as the adapter of dreamerv3-torch does, whose
docstring says what is stubbed and replaced; the same holds here. Images only: its vector decoder cannot be trained.
"""

import sys

from benchmarks.peers import dreamerv3_torch


def build(work, options):
    if work["vector"]:
        sys.exit("world_model_assemble cannot train a decoder of vectors: take a workload with images alone")
    return dreamerv3_torch.build(work, options)
