"""The world model: encoder, RSSM, decoder, reward and continue heads, and their losses."""

import functools

import torch
from gymnasium import spaces
from torch import Tensor, nn

from common.agent.heads import Head
from common.agent.interfaces import KL, Batch, Config, Continue, Conv, Latent, Losses, Metrics
from common.agent.rssm import RSSM, LatentState
from common.config import parts
from common.errors import check_choice
from common.nn.compile import compilable
from common.nn.encoder import Decoder, Encoder
from common.nn.nets import Style

REWARD_TRANSFORMS = {"none": lambda r: r, "tanh": torch.tanh, "sign": torch.sign}
DEAD_LATENT_NATS = 0.01  # a latent variable that carries less about the step of a batch counts as dead


class WorldModel(nn.Module):
    """Learns p(o_t, r_t, c_t | s_t) and the dynamics of s_t. Shapes as in `common/agent/rssm.py`."""

    def __init__(self, obs_space: spaces.Dict, actions: int, config: Config):
        super().__init__()
        check_choice("reward_transform", config["reward_transform"], REWARD_TRANSFORMS)
        style, mlp = Style(**config["net"]), config["mlp"]
        build = lambda seam, *args, **options: parts.build(seam, config[seam], *args, **options)
        latent: Latent = build("latent")
        conv: Conv = build("conv")
        self.kl: KL = build("kl")
        self.model_grads: dict[str, bool] = config["model_grads"]
        self.transform = REWARD_TRANSFORMS[config["reward_transform"]]
        self.encoder = Encoder(obs_space, conv, style, **mlp["encoder"], **config["encoder"])
        cell = functools.partial(build, "cell")
        self.rssm = RSSM(self.encoder.size, actions, latent, cell, style, **config["rssm"])
        deter, image, vector = config["rssm"]["deter"], build("image"), build("vector")
        options = mlp["decoder"] | config["decoder"]
        self.decoder = Decoder(obs_space, deter, latent.size, conv, image, vector, style, **options)
        self.reward = Head(self.rssm.feat_size, build("reward"), style, **mlp["reward"])
        self.con: Continue = build("con", self.rssm.feat_size, style, config["discount"], **mlp["con"])

    def loss(
        self, batch: Batch, noise: Tensor, context: LatentState | None = None
    ) -> tuple[Losses, LatentState, Metrics]:
        """Return losses (B, T) by name, posterior states (B, T) and metrics of a batch (B, T, ...).

        noise: (T, B, ...) for the posterior samples. context: state before the first step; None for the initial state.
        """
        _, states, post = self.infer(batch, noise, context)
        losses, stats = self.losses(states, post, batch)
        return losses, states, stats

    def infer(
        self, batch: Batch, noise: Tensor, context: LatentState | None = None
    ) -> tuple[Tensor, LatentState, Tensor]:
        """Return embeddings (B, T, E), posterior states (B, T) and parameters (B, T, P). Arguments as in `loss`."""
        embed = self.encoder(batch)
        return embed, *self.rssm.observe(embed, batch["prev_action"], batch["is_first"], noise, context)

    def losses(self, states: LatentState, post: Tensor, batch: Batch) -> tuple[Losses, Metrics]:
        """Return losses (B, T) by name and metrics, from what `infer` returns for a batch (B, T, ...)."""
        losses, stats = self.head_losses(states, post, batch["reward"], batch["is_terminal"])
        return losses | self.decoder.losses(self.gate_gradient("rec", states), batch), stats

    @compilable
    def head_losses(
        self, states: LatentState, post: Tensor, reward: Tensor, is_terminal: Tensor
    ) -> tuple[Losses, Metrics]:
        """Return the losses (B, T) of KL, reward and continue, and metrics.

        states (B, T), post (B, T, P), reward (B, T), is_terminal (B, T).
        """
        prior = self.rssm.prior(states.deter)
        losses = self.kl(self.rssm.latent, post, prior)
        losses["reward"] = self.reward.loss(self.gate_gradient("reward", states).feat, self.transform(reward))
        losses |= self.con.losses(self.gate_gradient("con", states).feat, is_terminal)
        return losses, self.latent_metrics(post, prior)

    def gate_gradient(self, head: str, states: LatentState) -> LatentState:
        """Detach the states unless the config lets the gradient of this head into the representation."""
        return states if self.model_grads[head] else states.detach()

    @torch.no_grad()
    def latent_metrics(self, post: Tensor, prior: Tensor) -> Metrics:
        """Return KL and entropies in nats, and the share of latent variables that carry nothing."""
        latent = self.rssm.latent
        return {
            "train/kl": latent.kl(post, prior).mean(),
            "train/post_entropy": latent.entropy(post).mean(),
            "train/prior_entropy": latent.entropy(prior).mean(),
            "train/dead_latents": (latent.information(post) < DEAD_LATENT_NATS).float().mean(),
        }

    @torch.no_grad()
    def open_loop(self, batch: Batch, noise: Tensor, img_noise: Tensor, context: int = 5) -> dict[str, Tensor]:
        """Infer `context` steps, then predict the rest from actions alone; return reconstructions (B, T, ...)."""
        head = lambda x: x[:, :context]
        embed = self.encoder({key: head(x) for key, x in batch.items()})
        states, _ = self.rssm.observe(embed, head(batch["prev_action"]), head(batch["is_first"]), noise)
        last = states.apply(lambda x: x[:, -1])
        actions = batch["prev_action"][:, context:]
        ahead, _ = self.rssm.imagine(last, lambda state, t: actions[:, t], img_noise)
        join = lambda past, future: torch.cat([past, future[:, 1:]], 1)
        return self.decoder.predict(type(states)(*(join(*pair) for pair in zip(states, ahead, strict=True))))
