"""DreamerV3: one set of hyperparameters for every domain.

Hafner, Pasukonis, Ba, Lillicrap. Mastering diverse control tasks through world models. Nature 640 (2025), arXiv
2301.04104v2; code danijar/dreamerv3 (2024 and later). The agent of the first preprint is in dreamer_v3/recipe_2023.py.

The recipe: one part for each seam. Parts from dreamer_v3 are V3's ideas; the others are what it kept. Numbers are in
configs/dreamer_v3.yaml, the deviations in docs/v3.md. docs/v3_update.md walks through one update. The contract of each
seam is in common/agent/interfaces.py.
"""

from common.agent.heads import SoftContinue
from common.agent.returns import RawReward
from common.config.parts import Recipe
from common.nn.distributions import OneHot
from dreamer_v1.order import Joint
from dreamer_v2.actor import NoNoise, Reinforce
from dreamer_v2.kl import BalancedKL
from dreamer_v2.latent import Categorical
from dreamer_v3.actor import BoundedNormal
from dreamer_v3.cell import BlockGRU
from dreamer_v3.conv import PoolConv
from dreamer_v3.heads import SymexpTwohot, SymlogMSE
from dreamer_v3.image import PixelMSE
from dreamer_v3.optim import AGC, LaProp
from dreamer_v3.replay_value import ReplayValue
from dreamer_v3.returns import DepartureReturns, PercentileReturnNorm
from dreamer_v3.sampler import Windows
from dreamer_v3.schedule import Ratio
from dreamer_v3.slow import SlowRegularizer

recipe = Recipe(
    # World model
    latent=Categorical,  # with 1% of uniform probability mixed in
    cell=BlockGRU,  # 8 blocks, one input layer each for deter, stoch and action
    kl=BalancedKL,  # 1.0 dyn + 0.1 rep, at least 1 nat at every step
    conv=PoolConv,
    image=PixelMSE,
    vector=SymlogMSE,
    reward=SymexpTwohot,  # 255 bins, starts at zero
    con=SoftContinue,
    # Behaviour
    critic=SymexpTwohot,
    returns=DepartureReturns,
    slow=SlowRegularizer,  # the critic is pulled to its moving average
    replay_value=ReplayValue,  # the critic also learns on replayed rewards
    policy_cont=BoundedNormal,
    policy_disc=OneHot,
    grad_cont=Reinforce,
    grad_disc=Reinforce,
    advantage=PercentileReturnNorm,  # divided by max(1, running P95 - P5 of returns)
    reward_norm=RawReward,
    explore=NoNoise,
    # Training
    order=Joint,
    optim=LaProp,
    clip=AGC,
    schedule=Ratio,
    sampler=Windows,  # across episodes, each new one once, soon
)
