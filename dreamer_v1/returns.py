"""Returns of V1 and V2: the value of a state includes the reward of arriving in it."""

import torch
from torch import Tensor

from common.agent.interfaces import Continue
from common.agent.returns import Targets, backward_scan, discount_weights, lambda_returns
from common.errors import check_choice


class ArrivalReturns:
    """`returns` part: R_t = r_t + c_t ((1 - lam) v_{t+1} + lam R_{t+1}), bootstrapped with v_H.

    The action at s_t is credited with R_{t+1}, the first return it can change.

    start: whether the imagined sequence includes the replayed start state (V2) or begins after it (V1).
    first: discount of the start state: true (replayed is_terminal, V2), pred (from the head) or one (constant).
    Source: V1 `Dreamer._train`; V2 `ActorCritic.target`, `actor_loss`, `critic_loss`.
    """

    min_horizon = 2  # leaves a state for every loss

    def __init__(self, *, lam: float = 0.95, start: bool = False, first: str = "true"):
        check_choice("returns.first", first, ("true", "pred", "one"))
        self.lam, self.start, self.first = lam, start, first

    def first_con(self, pred: Tensor, con: Continue, is_terminal: Tensor, discount: float) -> Tensor:
        """Return the discount of the start states (N,)."""
        if self.first == "pred":
            return pred
        return con.start_discount(is_terminal) if self.first == "true" else torch.full_like(pred, discount)

    def __call__(self, reward: Tensor, value: Tensor, con: Tensor, outer_discount: float) -> Targets:
        """Compute targets from predictions (N, H+1) at the imagined states, the start included."""
        ret = lambda_returns(reward[:, :-1], con[:, :-1], value[:, 1:], value[:, -1], self.lam)
        horizon, skip = ret.shape[1], 0 if self.start else 1
        weight = discount_weights(con[:, skip:-1]).detach()
        return Targets(
            ret=ret,
            critic=slice(skip, horizon),
            critic_ret=ret[:, skip:],
            critic_weight=weight[:, :-1],
            actor=slice(0, horizon - 1),
            actor_ret=ret[:, 1:],
            actor_weight=weight[:, : horizon - 1],
        )

    def replay(self, reward: Tensor, is_last: Tensor, is_terminal: Tensor, boot: Tensor, discount: float) -> Tensor:
        """Return lambda-returns of replayed steps, bootstrapped from imagined returns `boot`: (B, T) -> (B, T-1)."""
        live = discount * (~is_terminal).float()
        timeout = (is_last & ~is_terminal).float()
        inputs = reward + (1 - self.lam) * live * boot.roll(-1, 1)
        inputs, factors = torch.lerp(inputs, boot, timeout), self.lam * live * (1 - timeout)
        return backward_scan(inputs[:, :-1], factors[:, :-1], boot[:, -1])
