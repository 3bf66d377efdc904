"""One agent in a session: a latent state that follows the observations, and one that the prior continues from it.

Shapes: A action, D deter, Z stoch, P latent parameters; all tensors have one row.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from common.agent.agent import FLAGS
from common.agent.rssm import LatentState
from common.viewer.actions import Action
from common.viewer.runs import Run


class Prediction(NamedTuple):
    """Predictions at a state.

    proceed: probability that the episode continues, None if the world model does not learn it. observations: key ->
    image (H, W, C) in [0, 1] or vector (n,).
    """

    reward: float
    value: float
    proceed: float | None
    observations: dict[str, np.ndarray]


class Dreamer:
    """The world model and actor of a run.

    seen: posterior state after the last observation. state: the state shown, `seen` or an imagined one. kl: nats
    between posterior and prior at the last observation. entropy: nats of the prior at the shown state.
    """

    def __init__(self, run: Run):
        self.run, self.agent = run, run.agent
        self.world, self.rssm = run.agent.world, run.agent.world.rssm
        self.learns_continue = any(True for _ in self.world.con.parameters())  # type: ignore[attr-defined]
        self.total = 0.0  # predicted rewards since the episode or the dream began
        self.seen = self.state = self.rssm.initial(1, self.agent.device).detach()
        self.kl = self.entropy = self.seen_entropy = 0.0

    @torch.no_grad()
    def observe(self, record: dict[str, np.ndarray], action: Tensor, scale: float) -> None:
        """Update the posterior state.

        record (1, ...): observations and flags. action (1, A): the one before it; ignored where an episode begins.
        scale: factor of the noise of the posterior; 0 takes its mode.
        """
        keys = self.agent.read_keys | set(FLAGS)
        obs = self.agent.to_tensors({key: value for key, value in record.items() if key in keys})
        noise = scale * self.rssm.latent.noise(1, device=self.agent.device)
        with self.agent.autocast(acting=True):
            embed, action = self.world.encoder(obs), action.to(self.agent.device)
            self.seen, post = self.rssm.obs_step(self.seen, action, embed, obs["is_first"], noise)
            prior = self.rssm.prior(self.seen.deter)
        self.kl = float(self.rssm.latent.kl(post, prior))
        self.seen_entropy = float(self.rssm.latent.entropy(prior))

    def wake(self) -> None:
        """Show the posterior state again."""
        self.state, self.entropy = self.seen, self.seen_entropy

    @torch.no_grad()
    def imagine(self, action: Tensor, scale: float) -> None:
        """Continue the shown state by the prior.

        action (1, A). scale: factor of the prior's noise, its temperature: 0 takes the mode, 1 samples. A Gaussian gets
        that multiple of its standard deviation, a categorical its logits divided by it.
        """
        noise = scale * self.rssm.latent.noise(1, device=self.agent.device)
        with self.agent.autocast(acting=True):
            deter = self.rssm.deter_step(self.state, action.to(self.agent.device))
            prior = self.rssm.prior(deter)
            self.state = LatentState(deter, self.rssm.latent.sample(prior, noise))
        self.entropy = float(self.rssm.latent.entropy(prior))

    @torch.no_grad()
    def act(self) -> Action:
        """Choose an action at the shown state, as evaluations of the run do."""
        acting, way = self.agent.acting, self.agent.config["actor"]["eval"]
        with self.agent.autocast(acting=True):
            vector = acting.choose_action(self.state.feat, acting.noise(1, way, self.agent.device), way)
        vector = self.agent.explore(vector, self.agent.discrete, "eval", 0)
        return Action(vector, self.agent.env_action(vector))

    @torch.no_grad()
    def predict(self) -> Prediction:
        """Return what the world model predicts at the shown state."""
        feat, number = self.state.feat, lambda x: float(x.reshape(()))
        with self.agent.autocast(acting=True):
            reward, value = self.world.reward.pred(feat), self.agent.behavior.critic.pred(feat)
            proceed = self.world.con.pred(feat) / self.agent.config["discount"] if self.learns_continue else None
            decoded = self.world.decoder.predict(self.state)
        observations = {key: x[0].float().cpu().numpy() for key, x in decoded.items()}
        chance = None if proceed is None else min(1.0, number(proceed))
        return Prediction(number(reward), number(value), chance, observations)

    def learned_reward(self, reward: Any) -> float:
        """Return a reward of the environment as this world model learns it, such as its tanh."""
        return float(self.world.transform(torch.tensor(float(reward))))
