"""`train`: train an agent in a logdir, or resume the run in it."""

from common.config.arguments import Option
from common.training.train import train

OPTIONS: dict[str, Option] = {}
EXAMPLES = (
    "train --algo v3 --task dmc_walker_walk --logdir logs/walker",
    "train --algo v2 --configs atari --task atari_pong --seed 1 --logdir logs/pong",
    "train --algo v1 --features latent=v2 kl=v2 --optim.lr.model 3e-4",
)

__all__ = ["EXAMPLES", "OPTIONS", "train"]
