"""Acting: from an observation and a latent state to an action. Training, evaluation, `load` and `export` share it.

Shapes: n environments, A action (one-hot for discrete), D deter, Z stoch, F feature.
"""

import torch
from gymnasium import spaces

from common.agent.rssm import LatentState
from common.errors import UserError


def action_sizes(space):
    """Action space -> width of the action vector and sizes of its discrete dimensions ([] for Box)."""
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return space.shape[0], []
    if isinstance(space, spaces.Discrete):
        return int(space.n), [int(space.n)]
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        return int(space.nvec.sum()), [int(n) for n in space.nvec]
    raise UserError(f"Action space {space} is not supported: use a flat Box, Discrete or MultiDiscrete.")


class Acting:
    """The parts of an agent that act: encoder, recurrent state and actor. Holds them, but is no module itself.

    An acting state is a dict of deter (n, D), stoch (n, Z) and the action (n, A) that led on from it.
    """

    def __init__(self, encoder, rssm, actor, classes):
        """classes: sizes of the discrete action dimensions, empty for continuous actions."""
        self.encoder, self.rssm, self.actor, self.classes = encoder, rssm, actor, classes

    def initial(self, n, device=None):
        """Acting state of n environments before their first observation."""
        state, action = self.rssm.initial(n, device).detach(), torch.zeros(n, self.rssm.action, device=device)
        return {"deter": state.deter, "stoch": state.stoch, "action": action}

    def noise(self, n, way, device=None):
        """Randomness of n actions; None where it needs none. way: mode or sample."""
        dist, actions = self.actor.dist, self.actor.actions
        if way == "sample":
            return dist.noise(n, actions, device=device)
        return dist.noise(dist.draws, n, actions, device=device) if dist.draws else None

    def infer_latent(self, obs, state, noise):
        """Observations (n, ...) with is_first, acting state, noise of the latent -> latent state (n,)."""
        before = LatentState(state["deter"], state["stoch"])
        return self.rssm.obs_step(before, state["action"], self.encoder(obs), obs["is_first"], noise)[0]

    def choose_action(self, feat, noise, way):
        """(n, F) -> (n, A)."""
        out = self.actor(feat)
        return self.actor.dist.mode(out, noise) if way == "mode" else self.actor.dist.sample(out, noise)

    def step(self, obs, state, way):
        """Observations (n, ...) with is_first, acting state -> latent state (n,), action (n, A). Draws its noise."""
        n, device = len(obs["is_first"]), obs["is_first"].device
        latent = self.infer_latent(obs, state, self.rssm.latent.noise(n, device=device))
        return latent, self.choose_action(latent.feat, self.noise(n, way, device), way)

    def to_env_action(self, action):
        """(n, A) -> what the environments take: (n, A) in [-1, 1], (n,) or (n, k) indices."""
        if not self.classes:
            return action.clamp(-1, 1)
        index = torch.stack([part.argmax(-1) for part in action.split(self.classes, -1)], -1)
        return index[:, 0] if len(self.classes) == 1 else index
