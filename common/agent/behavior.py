"""Learning to act in imagination: actor, critic and the losses of both.

N = B T imagined trajectories of H steps; sequences hold H+1 states, the replayed start included.
"""

import torch
from torch import nn

from common.agent.heads import Head
from common.config import parts
from common.config.annealing import schedule
from common.nn.compile import compilable
from common.nn.frozen import frozen
from common.nn.nets import MLP, Linear, Style
from common.nn.sections import section

SATURATION_MARGIN = 0.01  # how near to -1 or 1 an action counts as being there
REPLAY_VALUE_KEYS = ("reward", "is_last", "is_terminal")  # what the critic may learn from beside imagination


class Actor(nn.Module):
    """(..., F) -> outputs of the action distribution (..., sum of widths), one linear layer for each statistic."""

    def __init__(self, feat, actions, dist, style: Style, *, layers, units, outscale):
        super().__init__()
        self.dist, self.actions = dist, actions
        self.net = MLP(feat, style, layers=layers, units=units)
        self.outs = nn.ModuleList(Linear(self.net.size, w, style.init, outscale) for w in dist.widths(actions))

    def forward(self, feat):
        hidden = self.net(feat)
        return torch.cat([out(hidden) for out in self.outs], -1)


class Behavior(nn.Module):
    """Actor and critic with everything that decides how they learn.

    The gradient part says whether imagination needs a graph; without it the roll-out is done without autograd and actor
    and critic are evaluated once on all states.
    """

    def __init__(self, feat, actions, classes, config):
        """classes: sizes of the discrete action dimensions, empty for continuous actions."""
        super().__init__()
        style, mlp, self.discount = Style(**config["net"]), config["mlp"], config["discount"]
        kind = "disc" if classes else "cont"
        build = lambda seam, *args: parts.build(seam, config[seam], *args)
        dist = build("policy_disc", classes) if classes else build("policy_cont")
        self.continuous = not classes
        self.imagination, self.entropy = config["imagination"], config["actor"]["entropy"]
        self.actor = Actor(feat, actions, dist, style, **mlp["actor"], outscale=config["actor"]["outscale"])
        self.critic = Head(feat, build("critic"), style, **mlp["critic"])
        self.slow, self.returns, self.grad = build("slow"), build("returns"), build(f"grad_{kind}")
        self.advantage, self.reward_norm, self.replay_value = (
            build(seam) for seam in ("advantage", "reward_norm", "replay_value")
        )
        self.slow.setup(self.critic)

    @property
    def learns_from_actions(self) -> bool:
        """Whether the actor's loss holds the log-probability or the entropy of imagined actions."""
        return bool(self.entropy) or self.grad.reads_logp

    def running_statistics(self):
        """Tensors that an update changes before it steps: statistics of returns, advantages and rewards."""
        return [*self.advantage.buffers(), *self.reward_norm.buffers()]

    def start_steps(self, x):
        """(B, T, ...) -> (N, ...): the replayed steps from which imagination starts."""
        last = self.imagination["last"]
        x = x[:, : x.shape[1] - self.imagination["drop_last"]]
        return (x[:, -last:] if last else x).flatten(0, 1)

    def noise(self, latent, starts, device=None):
        """Randomness of one imagination of `starts` trajectories."""
        shape = self.imagination["horizon"], starts
        return {
            "img": latent.noise(*shape, device=device),
            "act": self.actor.dist.noise(*shape, self.actor.actions, device=device),
            "entropy": None,
        }

    def imagine(self, world, start, noise):
        """Start states (N,) -> states (N, H+1), actions (N, H, A). The policy never sends gradients into its input."""
        return world.rssm.imagine(start, lambda state, t: self.policy(state, noise["act"][t]), noise["img"])

    @compilable
    def policy(self, state, noise):
        """State (N,), noise -> sampled actions (N, A)."""
        return self.actor.dist.sample(self.actor(state.feat.detach()), noise)

    def losses(self, world, states, batch, step, noise=None):
        """Replayed states (B, T) -> losses by name, statistics. Actor and critic losses are (N, L)."""
        start, terminal = states.detach().apply(self.start_steps), self.start_steps(batch["is_terminal"])
        noise = noise or self.noise(world.rssm.latent, len(terminal), terminal.device)
        with torch.set_grad_enabled(self.grad.through_model), frozen(self.critic):
            with section("imagination"):
                imagined, action = self.imagine(world, start, noise)
            with section("actor-critic"):
                feat, values, targets = self.imagined_targets(world, imagined, terminal)
        knobs = {name: torch.full((), x, device=terminal.device) for name, x in self.scheduled_values(step).items()}
        replayed = {key: batch[key] for key in REPLAY_VALUE_KEYS if key in batch}
        with section("actor-critic"):
            losses, stats = self.actor_critic_losses(
                feat, action, values, targets, noise["entropy"], states, replayed, knobs
            )
        return losses, stats

    def scheduled_values(self, step):
        """Numbers that may follow a schedule of agent steps."""
        return {"entropy": schedule(self.entropy, step), "mix": schedule(self.grad.mix, step)}

    @compilable
    def imagined_targets(self, world, imagined, terminal):
        """Imagined states (N, H+1), start flags (N,) -> features, predictions by name (N, H+1), targets."""
        feat = imagined.feat
        reward = self.reward_norm(world.reward.pred(feat))
        con = world.con.pred(feat)
        first = self.returns.first_con(con[:, 0], world.con, terminal, self.discount)
        con = torch.cat([first[:, None], con[:, 1:]], 1)
        value = self.slow.target(self.critic, feat)
        targets = self.returns(reward, value, con, world.con.outer_discount)
        return feat.detach(), {"reward": reward, "value": value, "continue": con}, targets

    @compilable
    def actor_critic_losses(self, feat, action, values, targets, noise, states, replayed, knobs):
        """Features, predictions and targets of imagined states, actions (N, H, A), the replay -> losses, statistics."""
        losses, stats = self.actor_loss(feat, action, values["value"], targets, knobs, noise)
        losses["critic"] = targets.critic_weight * self.critic_loss(feat[:, targets.critic], targets.critic_ret)
        losses |= self.replay_value(self, states, replayed, targets.ret)
        return losses, stats | imagination_metrics(values, targets.ret)

    def critic_loss(self, feat, target):
        """(..., F), (...) -> (...), the slow critic's part included."""
        out = self.critic(feat)
        return self.critic.dist.loss(out, target.detach()) + self.slow.regularize(self.critic, out, feat)

    def actor_loss(self, feat, action, value, targets, knobs, noise):
        dist, at = self.actor.dist, targets.actor
        seen = at if self.learns_from_actions else slice(at.start, at.start + 1)  # one step, for the statistic alone
        out, action = self.actor(feat[:, seen]), action[:, seen]
        logp = dist.log_prob(out, action.detach() if self.grad.stop_action else action)
        ret, baseline = targets.actor_ret, value[:, at]
        self.advantage.update(ret.detach(), (ret - baseline).detach())
        gain = self.grad(self.advantage, ret, baseline, logp, knobs["mix"])
        entropy = dist.entropy(out, noise) if self.entropy else -logp.detach()
        loss = -targets.actor_weight * (gain + knobs["entropy"] * entropy)
        low, high = dist.entropy_range(self.actor.actions)
        mean = entropy.detach().mean()
        stats = {"train/entropy": mean, "train/randomness": (mean - low) / max(high - low, 1e-8)}
        return {"actor": loss}, stats | self.saturation(out.detach())

    def saturation(self, out):
        """Share of mean actions within `EDGE` of a limit, for continuous actions."""
        if not self.continuous:
            return {}
        return {"train/saturation": (self.actor.dist.mean_action(out).abs() > 1 - SATURATION_MARGIN).float().mean()}


@torch.no_grad()
def imagination_metrics(values, ret):
    """Averages over the imagined sequences."""
    stats = {f"train/{name}": x.mean() for name, x in (values | {"return": ret}).items()}
    return stats | {"train/return_std": ret.std(), "train/return_max": ret.max(), "train/return_min": ret.min()}
