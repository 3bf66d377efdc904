"""A toy fourth version: V3 with the Jeffreys divergence and V1's exploration noise.

python -m examples.dreamer_v4 --configs debug --task dummy_point --logdir logs/v4
"""

import dataclasses
import sys
from pathlib import Path

from torch import Tensor

import dreamer
from common.agent.interfaces import Latent, Losses
from common.config.parts import PARTS
from dreamer_v1.actor import ActionNoise
from dreamer_v3.recipe import recipe as v3


class JeffreysKL:
    """`kl` part: scale * max((KL(post || prior) + KL(prior || post)) / 2, free)."""

    def __init__(self, *, scale: float = 0.5, free: float = 1.0):
        self.scales, self.free = {"kl": scale}, free

    def __call__(self, latent: Latent, post: Tensor, prior: Tensor) -> Losses:
        """Parameters (B, T, P) each -> {"kl": (B, T)}, unscaled."""
        both = 0.5 * (latent.kl(post, prior) + latent.kl(prior, post))
        return {"kl": both.clamp(min=self.free)}


recipe = dataclasses.replace(v3, kl=JeffreysKL, explore=ActionNoise)

if "v4" not in dreamer.ALGOS:  # run as a program, this module is imported once more under its own name
    PARTS["kl"].append("examples.dreamer_v4:JeffreysKL")
    dreamer.ALGOS["v4"] = ("examples.dreamer_v4", str(Path(__file__).with_suffix(".yaml").resolve()))

if __name__ == "__main__":
    sys.exit(dreamer.main([*sys.argv[1:], "--algo", "v4"]))
