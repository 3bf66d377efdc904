"""DreamerV1: behaviours learned by backpropagating values through latent imagination.

Hafner, Lillicrap, Ba, Norouzi. Dream to Control. ICLR 2020, arXiv 1912.01603; code danijar/dreamer (TensorFlow 2).

The recipe: one part for each seam. Parts from dreamer_v1 are V1's ideas; parts from common are not specific to it. The
numbers are in configs/dreamer_v1.yaml, the deviations in docs/v1.md, the update in common/agent/agent.py. The contract
of each seam is in common/agent/interfaces.py.
"""

from common.agent.heads import NoContinue, UnitNormal
from common.agent.optim import Adam, GlobalNorm
from common.agent.returns import NoReplayValue, RawReward, Unscaled
from common.agent.slow import NoSlow
from common.config.parts import Recipe
from common.nn.distributions import OneHot
from dreamer_v1.actor import ActionNoise, DynamicsGradient, TanhNormal
from dreamer_v1.cell import GRU
from dreamer_v1.conv import ValidConv
from dreamer_v1.image import PixelNormal
from dreamer_v1.kl import PlainKL
from dreamer_v1.latent import Gaussian
from dreamer_v1.order import Joint
from dreamer_v1.returns import ArrivalReturns
from dreamer_v1.sampler import Episodes
from dreamer_v1.schedule import Bursts

recipe = Recipe(
    # World model
    latent=Gaussian,  # 30 dimensions, reparameterised
    cell=GRU,
    kl=PlainKL,  # 3 free nats on the mean over the batch
    conv=ValidConv,
    image=PixelNormal,
    vector=UnitNormal,
    reward=UnitNormal,
    con=NoContinue,  # a learned one for games
    # Behaviour
    critic=UnitNormal,
    returns=ArrivalReturns,  # begin after the start state
    slow=NoSlow,
    replay_value=NoReplayValue,
    policy_cont=TanhNormal,
    policy_disc=OneHot,  # straight-through
    grad_cont=DynamicsGradient,  # values are backpropagated through the model
    grad_disc=DynamicsGradient,
    advantage=Unscaled,
    reward_norm=RawReward,
    explore=ActionNoise,  # 0.3 on every action
    # Training
    order=Joint,
    optim=Adam,  # three of them
    clip=GlobalNorm,
    schedule=Bursts,  # 100 updates every 1000 frames
    sampler=Episodes,
)
