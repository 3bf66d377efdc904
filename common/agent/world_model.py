"""The world model: encoder, RSSM, decoder, reward and continue heads, and their losses."""

import torch
from torch import nn

from common.agent.heads import Head
from common.agent.rssm import RSSM
from common.config import parts
from common.errors import check_choice
from common.nn.compile import compilable
from common.nn.encoder import Decoder, Encoder
from common.nn.nets import Style

REWARD_TRANSFORMS = {"none": lambda r: r, "tanh": torch.tanh, "sign": torch.sign}
DEAD_LATENT_NATS = 0.01  # nats: a latent variable that says less about the step of a batch carries nothing


class WorldModel(nn.Module):
    """Learns p(o_t, r_t, c_t | s_t) and the dynamics of s_t. Shapes as in `common/agent/rssm.py`."""

    def __init__(self, obs_space, actions, config):
        super().__init__()
        check_choice("reward_transform", config["reward_transform"], REWARD_TRANSFORMS)
        style, mlp = Style(**config["net"]), config["mlp"]
        build = lambda seam, *args, **extra: parts.build(seam, config[seam], *args, **extra)
        latent, conv = build("latent"), build("conv")
        self.kl, self.model_grads = build("kl"), config["model_grads"]
        self.transform = REWARD_TRANSFORMS[config["reward_transform"]]
        self.encoder = Encoder(obs_space, conv, style, **mlp["encoder"], **config["encoder"])
        cell = lambda *sizes: build("cell", *sizes)
        self.rssm = RSSM(self.encoder.size, actions, latent, cell, style, **config["rssm"])
        outputs = build("image"), build("vector")
        sizes = config["rssm"]["deter"], latent.size
        self.decoder = Decoder(obs_space, *sizes, conv, *outputs, style, **mlp["decoder"], **config["decoder"])
        self.reward = Head(self.rssm.feat_size, build("reward"), style, **mlp["reward"])
        self.con = build("con", self.rssm.feat_size, style, config["discount"], **mlp["con"])

    def loss(self, batch, noise, context=None):
        """One batch (B, T, ...) -> losses (B, T) by name, posterior states (B, T), statistics.

        noise: (T, B, ...) for the posterior samples; context: state before the first step, zeros or learned if None.
        """
        embed = self.encoder(batch)
        states, post = self.rssm.observe(embed, batch["prev_action"], batch["is_first"], noise, context)
        losses, stats = self.head_losses(states, post, batch["reward"], batch["is_terminal"])
        return losses | self.decoder.losses(self.gate_gradient("rec", states), batch), states, stats

    @compilable
    def head_losses(self, states, post, reward, is_terminal):
        """Posterior states and parameters (B, T, ...), reward and flags -> other losses (B, T) by name, statistics."""
        prior = self.rssm.prior(states.deter)
        losses = self.kl(self.rssm.latent, post, prior)
        losses["reward"] = self.reward.loss(self.gate_gradient("reward", states).feat, self.transform(reward))
        losses |= self.con.losses(self.gate_gradient("con", states).feat, is_terminal)
        return losses, self.latent_metrics(post, prior)

    def gate_gradient(self, head, states):
        """States with or without gradient into the representation, as `model_grads` says."""
        return states if self.model_grads[head] else states.detach()

    @torch.no_grad()
    def latent_metrics(self, post, prior):
        latent = self.rssm.latent
        return {
            "train/kl": latent.kl(post, prior).mean(),
            "train/post_entropy": latent.entropy(post).mean(),
            "train/prior_entropy": latent.entropy(prior).mean(),
            "train/dead_latents": (latent.information(post) < DEAD_LATENT_NATS).float().mean(),
        }

    @torch.no_grad()
    def open_loop(self, batch, noise, img_noise, context=5):
        """Filters `context` steps, then predicts the rest from actions alone -> reconstructions (B, T, ...) by key."""
        head = lambda x: x[:, :context]
        embed = self.encoder({key: head(x) for key, x in batch.items()})
        states, _ = self.rssm.observe(embed, head(batch["prev_action"]), head(batch["is_first"]), noise)
        last = states.apply(lambda x: x[:, -1])
        actions = batch["prev_action"][:, context:]
        ahead, _ = self.rssm.imagine(last, lambda state, t: actions[:, t], img_noise)
        join = lambda past, future: torch.cat([past, future[:, 1:]], 1)
        return self.decoder.predict(type(states)(*(join(*pair) for pair in zip(states, ahead, strict=True))))
