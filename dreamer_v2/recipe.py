"""DreamerV2: discrete world models, KL balancing, a target critic; REINFORCE for games.

Hafner, Lillicrap, Norouzi, Ba. Mastering Atari with Discrete World Models. ICLR 2021, arXiv 2010.02193; code
danijar/dreamerv2.

The recipe: one part for each seam. Parts from dreamer_v2 are V2's ideas; those from dreamer_v1 are what it kept. The
numbers are in configs/dreamer_v2.yaml, the deviations in docs/v2.md, the update in common/agent/agent.py. The contract
of each seam is in common/agent/interfaces.py.
"""

from common.agent.heads import SoftContinue, UnitNormal
from common.agent.optim import Adam, GlobalNorm
from common.agent.returns import NoReplayValue, Unscaled
from common.config.parts import Recipe
from common.nn.distributions import OneHot
from dreamer_v1.actor import DynamicsGradient
from dreamer_v1.conv import ValidConv
from dreamer_v1.image import PixelNormal
from dreamer_v1.returns import ArrivalReturns
from dreamer_v1.sampler import Episodes
from dreamer_v2.actor import NoNoise, Reinforce, TruncNormal
from dreamer_v2.cell import NormGRU
from dreamer_v2.kl import BalancedKL
from dreamer_v2.latent import Categorical
from dreamer_v2.order import ModelFirst
from dreamer_v2.returns import StreamNorm
from dreamer_v2.schedule import Every
from dreamer_v2.slow import TargetCritic

recipe = Recipe(
    # World model
    latent=Categorical,  # 32 one-hots of 32 classes, straight-through
    cell=NormGRU,  # layer norm on the gates, update bias -1
    kl=BalancedKL,  # balanced 0.8 : 0.2
    conv=ValidConv,
    image=PixelNormal,
    vector=UnitNormal,
    reward=UnitNormal,
    con=SoftContinue,  # off for control tasks
    # Behaviour
    critic=UnitNormal,
    returns=ArrivalReturns,  # begin with the start state
    slow=TargetCritic,  # every 100 updates; targets and baseline come from it
    replay_value=NoReplayValue,
    policy_cont=TruncNormal,
    policy_disc=OneHot,
    grad_cont=DynamicsGradient,
    grad_disc=Reinforce,
    advantage=Unscaled,
    reward_norm=StreamNorm,  # momentum 1: off
    explore=NoNoise,  # an entropy bonus instead
    # Training
    order=ModelFirst,  # imagination uses the updated model
    optim=Adam,  # three of them, with decay
    clip=GlobalNorm,
    schedule=Every,  # one update every 5 agent steps
    sampler=Episodes,  # with the ends prioritised in games
)
