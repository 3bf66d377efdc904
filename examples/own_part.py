"""Train with a part of your own, without changing the program: python examples/own_part.py"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))


class JeffreysKL:
    """`kl` part: scale * max((KL(post || prior) + KL(prior || post)) / 2, free)."""

    def __init__(self, *, scale: float = 0.5, free: float = 1.0):
        self.scales, self.free = {"kl": scale}, free

    def __call__(self, latent, post, prior):
        """Parameters (B, T, P) each -> {"kl": (B, T)}, unscaled."""
        both = 0.5 * (latent.kl(post, prior) + latent.kl(prior, post))
        return {"kl": both.clamp(min=self.free)}


def main(**settings):
    from dreamer import make_config, train

    keys = {"configs": ["cpu"], "task": "dummy_point", "logdir": "logs/jeffreys", "kl": {"free": 0.5}} | settings
    config = make_config("v3", parts={"kl": JeffreysKL}, **keys)
    return train(config)


if __name__ == "__main__":
    print(main())
