"""Recurrent state-space model over any latent and any recurrent cell.

Shapes: B batch, T time, D deter, Z flattened stoch, P latent parameters, E embedding, A action, F = D + Z feature.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from common.errors import check_choice
from common.nn.compile import compilable
from common.nn.nets import Style, mlp_to
from common.nn.rssm_scan import scan


class LatentState(NamedTuple):
    """Latent state: deter (..., D), stoch (..., Z)."""

    deter: Tensor
    stoch: Tensor

    @property
    def feat(self) -> Tensor:
        """(..., F): what heads, actor and critic read."""
        return torch.cat([self.deter, self.stoch], -1)

    def apply(self, fn) -> "LatentState":
        return LatentState(fn(self.deter), fn(self.stoch))

    def detach(self) -> "LatentState":
        return self.apply(Tensor.detach)


class RSSM(nn.Module):
    """h_t = cell(h_{t-1}, z_{t-1}, a_{t-1}), prior p(z_t | h_t), posterior q(z_t | h_t, e_t)."""

    def __init__(
        self,
        embed,
        action,
        latent,
        cell,
        style: Style,
        *,
        deter: int,
        hidden: int,
        prior_layers: int = 1,
        post_layers: int = 1,
        ensemble: int = 1,
        initial: str = "zeros",
        action_clip: float = 0.0,
    ):
        super().__init__()
        check_choice("rssm.initial", initial, ("zeros", "learned"))
        self.latent, self.deter, self.action, self.action_clip = latent, deter, action, action_clip
        self.cell = cell(latent.size, action, deter, hidden, style)
        dist = lambda inp, layers: mlp_to(inp, latent.params, style, layers=layers, units=hidden)
        self.priors = nn.ModuleList(dist(deter, prior_layers) for _ in range(ensemble))
        self.post = dist(deter + embed, post_layers)
        self.first = nn.Parameter(torch.zeros(deter)) if initial == "learned" else None
        self.feat_size = deter + latent.size

    def initial(self, batch: int, device=None) -> LatentState:
        """State before the first step: zeros, or a learned deter with the mode of its prior."""
        if self.first is None:
            zeros = lambda size: torch.zeros(batch, size, device=device)
            return LatentState(zeros(self.deter), zeros(self.latent.size))
        deter = self.first.tanh()[None]
        return LatentState(deter, self.latent.mode(self.prior(deter))).apply(lambda x: x.expand(batch, -1))

    def prior(self, deter):
        """(..., D) -> (..., P). With an ensemble each state draws one of its members."""
        if len(self.priors) == 1:
            return self.priors[0](deter)
        outs = torch.stack([member(deter) for member in self.priors], -2)
        pick = torch.randint(len(self.priors), deter.shape[:-1], device=deter.device)[..., None, None]
        return outs.gather(-2, pick.expand(*outs.shape[:-2], 1, outs.shape[-1])).squeeze(-2)

    def deter_step(self, state: LatentState, action) -> Tensor:
        """One deterministic step: state, (B, A) -> deter (B, D)."""
        if self.action_clip:
            action = action / action.detach().abs().clamp(min=self.action_clip) * self.action_clip
        return self.cell(*state, action)

    def reset(self, state: LatentState, action, first):
        """Forgets state and action where `first` (B,) is true."""
        fresh, first = self.initial(first.shape[0], action.device), first[:, None]
        state = LatentState(*(torch.where(first, new, old) for new, old in zip(fresh, state, strict=True)))
        return state, action.masked_fill(first, 0.0)

    @compilable
    def obs_step(self, state: LatentState, action, embed, first, noise):
        """One posterior step: state, (B, A), (B, E), (B,), noise -> state, posterior parameters (B, P)."""
        deter = self.deter_step(*self.reset(state, action, first))
        post = self.post(torch.cat([deter, embed], -1))
        return LatentState(deter, self.latent.sample(post, noise)), post

    @compilable
    def img_step(self, state: LatentState, action, noise) -> LatentState:
        """One prior step: state, (N, A), noise -> state."""
        deter = self.deter_step(state, action)
        return LatentState(deter, self.latent.sample(self.prior(deter), noise))

    def observe(self, embed, prev_action, is_first, noise, state=None):
        """embed (B, T, E), prev_action (B, T, A), is_first (B, T), noise (T, B, ...) -> states, posterior (B, T, P)."""
        state = state or self.initial(len(embed), embed.device)
        *states, post = scan(self, state, prev_action, embed, is_first, noise)
        return LatentState(*states), post

    def imagine(self, state: LatentState, policy, noise):
        """Rolls the prior forward for len(noise) = H steps.

        policy(state (N,), t) -> (N, A). Returns states (N, H+1, ...) that begin with the start, and actions (N, H, A).
        """
        states, actions = [state], []
        for t in range(len(noise)):
            action = policy(state, t)
            state = self.img_step(state, action, noise[t])
            states.append(state)
            actions.append(action)
        return stack_states(states), torch.stack(actions, 1)


def stack_states(states) -> LatentState:
    """T states (B, ...) -> one state (B, T, ...)."""
    return LatentState(*(torch.stack(x, 1) for x in zip(*states, strict=True)))
