"""DreamerV3 of January 2023 (arXiv 2301.04104v1): V3's robust losses on V2's networks and optimisers.

The recipe of `--algo v3-2023`; that of `--algo v3` is in dreamer_v3/recipe.py. The numbers are in
configs/dreamer_v3_2023.yaml, the deviations in docs/v3.md.
"""

from common.agent.optim import Adam, GlobalNorm
from common.agent.returns import NoReplayValue, RawReward
from common.config.parts import Recipe
from common.nn.distributions import OneHot
from dreamer_v1.actor import DynamicsGradient
from dreamer_v2.actor import NoNoise, Reinforce
from dreamer_v2.cell import NormGRU
from dreamer_v2.kl import BalancedKL
from dreamer_v2.latent import Categorical
from dreamer_v2.order import ModelFirst
from dreamer_v3.actor import BoundedNormal
from dreamer_v3.conv_2023 import StrideConv
from dreamer_v3.heads import BinaryContinue, SymlogMSE, SymlogTwohot
from dreamer_v3.image import PixelMSE
from dreamer_v3.returns import DepartureReturns, PercentileReturnNorm
from dreamer_v3.sampler import Windows
from dreamer_v3.schedule import Ratio
from dreamer_v3.slow import SlowRegularizer

recipe = Recipe(
    # World model
    latent=Categorical,  # with 1% of uniform probability mixed in
    cell=NormGRU,
    kl=BalancedKL,  # 0.5 dyn + 0.1 rep, at least 1 nat at every step
    conv=StrideConv,
    image=PixelMSE,  # shifted by 0.5 instead of a sigmoid
    vector=SymlogMSE,
    reward=SymlogTwohot,
    con=BinaryContinue,  # the discount stays outside
    # Behaviour
    critic=SymlogTwohot,
    returns=DepartureReturns,
    slow=SlowRegularizer,
    replay_value=NoReplayValue,
    policy_cont=BoundedNormal,
    policy_disc=OneHot,
    grad_cont=DynamicsGradient,  # of the advantage, baseline included
    grad_disc=Reinforce,
    advantage=PercentileReturnNorm,
    reward_norm=RawReward,
    explore=NoNoise,
    # Training
    order=ModelFirst,
    optim=Adam,
    clip=GlobalNorm,
    schedule=Ratio,
    sampler=Windows,
)
