"""Acting: from observations and an acting state to actions.

Training, evaluation, `load` and `export` share it.

Shapes: n environments, A action (one-hot for discrete), D deter, Z stoch, F feature, P outputs of the actor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from gymnasium import spaces
from torch import Tensor

from common.agent.interfaces import Device, DiscretePolicy
from common.agent.rssm import RSSM, LatentState
from common.errors import UserError

if TYPE_CHECKING:
    from common.agent.behavior import Actor
    from common.nn.encoder import Encoder

ActingState = dict[str, Tensor]  # deter (n, D), stoch (n, Z), and the action (n, A) that was taken in that state


def action_sizes(space: spaces.Space) -> tuple[int, list[int]]:
    """Return the width A of the action vector, and the sizes of its discrete dimensions ([] for Box)."""
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return space.shape[0], []
    if isinstance(space, spaces.Discrete):
        return int(space.n), [int(space.n)]
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        return int(space.nvec.sum()), [int(n) for n in space.nvec]
    raise UserError(f"Action space {space} is not supported: use a flat Box, Discrete or MultiDiscrete.")


class Acting:
    """Encoder, RSSM and actor of an agent. Uses these modules, but is not a module itself.

    classes: sizes of the discrete action dimensions, empty for continuous actions.
    """

    def __init__(self, encoder: Encoder, rssm: RSSM, actor: Actor, classes: list[int]):
        self.encoder, self.rssm, self.actor, self.classes = encoder, rssm, actor, classes

    @property
    def discrete(self) -> DiscretePolicy | None:
        """The policy if actions are discrete, else None."""
        return self.actor.dist if self.classes else None  # type: ignore[return-value]

    def initial(self, n: int, device: Device = None) -> ActingState:
        """Return the acting state of n environments before their first observation."""
        state, action = self.rssm.initial(n, device).detach(), torch.zeros(n, self.rssm.action, device=device)
        return {"deter": state.deter, "stoch": state.stoch, "action": action}

    def noise(self, n: int, way: str, device: Device = None) -> Tensor | None:
        """Draw the randomness of n actions; None if they need none. way: "mode" or "sample"."""
        dist, actions = self.actor.dist, self.actor.actions
        if way == "sample":
            return dist.noise(n, actions, device=device)
        return dist.noise(dist.draws, n, actions, device=device) if dist.draws else None

    def infer_latent(self, obs: Mapping[str, Tensor], state: ActingState, noise: Tensor) -> LatentState:
        """Observations (n, ...) with is_first, acting state, noise of the latent -> latent state (n,)."""
        before = LatentState(state["deter"], state["stoch"])
        return self.rssm.obs_step(before, state["action"], self.encoder(obs), obs["is_first"], noise)[0]

    def choose_action(self, feat: Tensor, noise: Tensor | None, way: str) -> Tensor:
        """Choose by mode or sample: (n, F) -> (n, A)."""
        return self.choose(self.actor(feat), noise, way)

    def choose(self, out: Tensor, noise: Tensor | None, way: str) -> Tensor:
        """Choose by mode or sample: outputs of the actor (n, P) -> (n, A)."""
        if way == "mode":
            return self.actor.dist.mode(out, noise)
        assert noise is not None, "samples need noise"
        return self.actor.dist.sample(out, noise)

    def step(self, obs: Mapping[str, Tensor], state: ActingState, way: str) -> tuple[LatentState, Tensor]:
        """Observations (n, ...) with is_first, acting state -> latent state (n,), action (n, A). Draws its noise."""
        n, device = len(obs["is_first"]), obs["is_first"].device
        latent = self.infer_latent(obs, state, self.rssm.latent.noise(n, device=device))
        return latent, self.choose_action(latent.feat, self.noise(n, way, device), way)

    def to_env_action(self, action: Tensor) -> Tensor:
        """Convert actions (n, A) to those of the environments: (n, A) in [-1, 1], indices (n,) or (n, k)."""
        if not self.classes:
            return action.clamp(-1, 1)
        index = torch.stack([part.argmax(-1) for part in action.split(self.classes, -1)], -1)
        return index[:, 0] if len(self.classes) == 1 else index
