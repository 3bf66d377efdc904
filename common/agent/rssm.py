"""Recurrent state-space model with any latent and any recurrent cell.

Shapes: B batch, T time, D deter, Z flattened stoch, P latent parameters, E embedding, A action, F = D + Z feature.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from common.agent.interfaces import Cell, Device, Latent
from common.errors import check_choice
from common.nn.activations import KEEP
from common.nn.compile import compilable
from common.nn.nets import Style, mlp_to
from common.nn.rssm_scan import scan


class LatentState(NamedTuple):
    """Latent state: deter (..., D), stoch (..., Z)."""

    deter: Tensor
    stoch: Tensor

    @property
    def feat(self) -> Tensor:
        """The feature (..., F) that heads, actor and critic read."""
        return torch.cat([self.deter, self.stoch], -1)

    def apply(self, fn: Callable[[Tensor], Tensor]) -> "LatentState":
        """Apply a function to both tensors."""
        return LatentState(fn(self.deter), fn(self.stoch))

    def detach(self) -> "LatentState":
        """Return the same state without its graph."""
        return self.apply(Tensor.detach)


ImaginationPolicy = Callable[[LatentState, int], Tensor]  # state (N,), step -> action (N, A)


class RSSM(nn.Module):
    """h_t = cell(h_{t-1}, z_{t-1}, a_{t-1}), prior p(z_t | h_t), posterior q(z_t | h_t, e_t).

    cell: builds the recurrent cell from (Z, A, D, hidden, style). initial: the first deter is "zeros" or "learned".
    ensemble: number of priors. action_clip: actions above it are scaled down; 0 leaves them.
    """

    def __init__(
        self,
        embed: int,
        action: int,
        latent: Latent,
        cell: Callable[..., Cell],
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
        self.activations = KEEP

    keeps_for_parts = True  # one step is computed again as a whole

    def initial(self, batch: int, device: Device = None) -> LatentState:
        """Return the state before the first step: zeros, or the learned deter with the mode of its prior."""
        if self.first is None:
            zeros = lambda size: torch.zeros(batch, size, device=device)
            return LatentState(zeros(self.deter), zeros(self.latent.size))
        deter = self.first.tanh()[None]
        return LatentState(deter, self.latent.mode(self.prior(deter))).apply(lambda x: x.expand(batch, -1))

    def prior(self, deter: Tensor) -> Tensor:
        """Return prior parameters: (..., D) -> (..., P). With an ensemble each state draws one of its members."""
        if len(self.priors) == 1:
            return self.priors[0](deter)
        outs = torch.stack([member(deter) for member in self.priors], -2)
        pick = torch.randint(len(self.priors), deter.shape[:-1], device=deter.device)[..., None, None]
        return outs.gather(-2, pick.expand(*outs.shape[:-2], 1, outs.shape[-1])).squeeze(-2)

    def deter_step(self, state: LatentState, action: Tensor) -> Tensor:
        """Advance the deterministic state: state (B,), (B, A) -> deter (B, D)."""
        if self.action_clip:
            action = action / action.detach().abs().clamp(min=self.action_clip) * self.action_clip
        return self.cell(*state, action)

    def reset(self, state: LatentState, action: Tensor, first: Tensor) -> tuple[LatentState, Tensor]:
        """Replace state and action by those before an episode where `first` (B,) is true."""
        fresh, first = self.initial(first.shape[0], action.device), first[:, None]
        state = LatentState(*(torch.where(first, new, old) for new, old in zip(fresh, state, strict=True)))
        return state, action.masked_fill(first, 0.0)

    @compilable
    def obs_step(
        self, state: LatentState, action: Tensor, embed: Tensor, first: Tensor, noise: Tensor
    ) -> tuple[LatentState, Tensor]:
        """One posterior step: state (B,), (B, A), (B, E), flags (B,), noise -> state (B,), parameters (B, P)."""
        deter = self.deter_step(*self.reset(state, action, first))
        post = self.post(torch.cat([deter, embed], -1))
        return LatentState(deter, self.latent.sample(post, noise)), post

    @compilable
    def img_step(self, state: LatentState, action: Tensor, noise: Tensor) -> LatentState:
        """One prior step: state (N,), (N, A), noise -> state (N,)."""
        deter = self.deter_step(state, action)
        return LatentState(deter, self.latent.sample(self.prior(deter), noise))

    def observe(
        self, embed: Tensor, prev_action: Tensor, is_first: Tensor, noise: Tensor, state: LatentState | None = None
    ) -> tuple[LatentState, Tensor]:
        """Infer the posterior states of sequences.

        embed (B, T, E), prev_action (B, T, A), is_first (B, T), noise (T, B, ...); state (B,) before the first step.
        Returns states (B, T) and posterior parameters (B, T, P).
        """
        state = state or self.initial(len(embed), embed.device)
        *states, post = scan(self, state, prev_action, embed, is_first, noise)
        return LatentState(*states), post

    def imagine(self, state: LatentState, policy: ImaginationPolicy, noise: Tensor) -> tuple[LatentState, Tensor]:
        """Roll the prior forward for len(noise) = H steps from states (N,).

        Returns states (N, H+1), which begin with the start, and actions (N, H, A).
        """
        states, actions = [state], []
        for t in range(len(noise)):
            action = policy(state, t)
            state = self.activations(self.img_step, state, action, noise[t])
            states.append(state)
            actions.append(action)
        return stack_states(states), torch.stack(actions, 1)


def stack_states(states: Sequence[LatentState]) -> LatentState:
    """Stack T states (B, ...) to one state (B, T, ...)."""
    return LatentState(*(torch.stack(x, 1) for x in zip(*states, strict=True)))
