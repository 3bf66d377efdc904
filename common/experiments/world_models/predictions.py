"""Predictions of a world model on held-out episodes, in the units of the environment.

Shapes: L records of an episode, N records of all episodes, n some of them, K samples, H predicted steps, D deter,
Z stoch, P latent parameters, F feature.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from common.agent.agent import Agent
from common.agent.interfaces import Batch
from common.agent.rssm import LatentState
from common.agent.world_model import WorldModel
from common.replay.ring import Arrays

REWARD, CONTINUE = "reward", "continue"
FILTERED_TOGETHER = 16  # episodes
DECODED_TOGETHER = 1024  # images or vectors
LARGEST_TANH = 1 - 1e-6
#: Reward transform -> its inverse; a sign has none.
INVERSE_TRANSFORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "tanh": lambda x: x.clamp(-LARGEST_TANH, LARGEST_TANH).atanh(),
}


class Filtered(NamedTuple):
    """Inferences of a model at all records: states deter (N, D) and stoch (N, Z), parameters (N, P).

    starts: place of the first record of each episode, and N at the end. truth: the records (N, ...) as tensors.
    """

    states: LatentState
    post: Tensor
    prior: Tensor
    starts: list[int]
    truth: Batch


class Heads:
    """The heads of a world model, which predict observations, reward and continue probability in original units."""

    def __init__(self, agent: Agent):
        self.world: WorldModel = agent.world
        self.discount: float = agent.config["discount"]
        self.transform: str = agent.config["reward_transform"]
        self.images = self.world.decoder.images
        self.observations = [*self.images, *self.world.decoder.vectors]
        probe = torch.zeros(1, self.world.rssm.feat_size, device=agent.device)
        self.learns_continue = bool(self.world.con.losses(probe, probe[:, 0].bool()))

    @property
    def keys(self) -> list[str]:
        """The names of all predictions."""
        reward = [REWARD] * (self.transform in INVERSE_TRANSFORMS)
        return [*self.observations, *reward, *[CONTINUE] * self.learns_continue]

    def predict(self, states: LatentState) -> dict[str, Tensor]:
        """States (n,) -> predictions by name: images (n, H, W, C) in [0, 1], vectors (n, m), numbers (n, 1)."""
        found = {key: value.float() for key, value in self.world.decoder.predict(states).items()}
        if self.transform in INVERSE_TRANSFORMS:
            reward = self.world.reward.pred(states.feat).float()
            found[REWARD] = INVERSE_TRANSFORMS[self.transform](reward)[:, None]
        if self.learns_continue:
            found[CONTINUE] = self.continue_probability(states.feat)[:, None]
        return found

    def continue_probability(self, feat: Tensor) -> Tensor:
        """(n, F) -> probability (n,) that the episode does not end terminally, without the discount."""
        con = self.world.con
        if not hasattr(con, "logit"):
            return (con.pred(feat) / self.discount).clamp(0, 1)
        contained = self.discount if con.outer_discount == 1 else 1.0  # the soft target of some heads
        return (con.logit(feat).sigmoid() / contained).clamp(0, 1)

    def truth(self, batch: Batch, rows: Tensor) -> dict[str, Tensor]:
        """Records (N, ...), indices (n,) -> the true values of the predictions, in the same form."""
        found = {key: batch[key][rows].float() / (255 if key in self.images else 1) for key in self.observations}
        found |= {REWARD: batch["reward"][rows].float(), CONTINUE: (~batch["is_terminal"][rows]).float()}
        return {key: value.reshape(len(rows), -1) if value.ndim < 4 else value for key, value in found.items()}


def select(states: LatentState, *index: Any) -> LatentState:
    """Return both tensors of a state at an index."""
    return states.apply(lambda x: x[index])


def squared_error(prediction: Tensor, truth: Tensor) -> Tensor:
    """Return the squared error, averaged over pixels or numbers: (n, ...), (n, ...) -> (n,)."""
    return (prediction - truth).square().flatten(1).mean(1)


@torch.no_grad()
def filter_episodes(agent: Agent, episodes: Sequence[Arrays]) -> Filtered:
    """Infer the posterior of each record from all records before it in the same episode."""
    order = sorted(range(len(episodes)), key=lambda place: len(episodes[place]["reward"]))
    parts: dict[int, tuple[Tensor, ...]] = {}
    for first in range(0, len(order), FILTERED_TOGETHER):
        places = order[first : first + FILTERED_TOGETHER]
        batch = agent.to_tensors(padded([episodes[place] for place in places]))
        noise = agent.latent.noise(*batch["reward"].T.shape, device=agent.device)
        states, post = agent.world.rssm.observe(
            agent.world.encoder(batch), batch["prev_action"], batch["is_first"], noise
        )
        for row, place in enumerate(places):
            length = len(episodes[place]["reward"])
            parts[place] = tuple(x[row, :length].clone() for x in (*states, post))
    deter, stoch, post = (torch.cat([parts[place][part] for place in range(len(episodes))]) for part in range(3))
    starts = np.cumsum([0, *(len(episode["reward"]) for episode in episodes)]).tolist()
    truth = agent.to_tensors({key: np.concatenate([one[key] for one in episodes]) for key in episodes[0]})
    return Filtered(LatentState(deter, stoch), post, agent.world.rssm.prior(deter), starts, truth)


def padded(episodes: Sequence[Arrays]) -> Arrays:
    """Return episodes (L, ...) as a batch (B, T, ...); the last record of a shorter one is repeated."""
    longest = max(len(episode["reward"]) for episode in episodes)
    fill = lambda x: np.concatenate([x, np.repeat(x[-1:], longest - len(x), 0)])
    return {key: np.stack([fill(episode[key]) for episode in episodes]) for key in episodes[0]}


@torch.no_grad()
def one_step(agent: Agent, heads: Heads, found: Filtered, rows: Tensor, samples: int) -> Iterator[tuple]:
    """Predict each record (n,) from the records before it: yields indices, predictions and truth, some at a time.

    A prediction is the mean over K samples of the prior.
    """
    for some in rows.split(max(1, DECODED_TOGETHER // samples)):
        deter, prior = (x[some].repeat_interleave(samples, 0) for x in (found.states.deter, found.prior))
        stoch = agent.latent.sample(prior, agent.latent.noise(len(deter), device=agent.device))
        drawn = heads.predict(LatentState(deter, stoch))
        mean = {key: value.unflatten(0, (len(some), samples)).mean(1) for key, value in drawn.items()}
        yield some, mean, heads.truth(found.truth, some)


@torch.no_grad()
def open_loop(agent: Agent, found: Filtered, start: Tensor, horizon: int, samples: int) -> LatentState:
    """Imagine K times from the states at records `start` (n,) with the recorded actions: states (n, K, H).

    Beyond the end of an episode the actions are meaningless; the caller ignores these steps.
    """
    last = len(found.truth["reward"]) - 1
    ahead = (start[:, None] + torch.arange(1, horizon + 1, device=start.device)).clamp(max=last)
    actions = found.truth["prev_action"][ahead].repeat_interleave(samples, 0)
    state = select(found.states, start.repeat_interleave(samples, 0))
    noise = agent.latent.noise(horizon, len(actions), device=agent.device)
    states, _ = agent.world.rssm.imagine(state, lambda _, t: actions[:, t], noise)
    return states.apply(lambda x: x[:, 1:].unflatten(0, (len(start), samples)))
