"""Behaviour learning in imagination: actor, critic and their losses.

N = B T imagined trajectories of H steps; sequences hold H+1 states, the replayed start included. L states train.
"""

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from common.agent.interfaces import (
    ActionDistribution,
    ActorGradient,
    Batch,
    Config,
    ContinuousPolicy,
    Device,
    Latent,
    Losses,
    Metrics,
    Noise,
    ReplayValueLoss,
    Returns,
)
from common.agent.returns import Targets
from common.agent.rssm import LatentState
from common.agent.valuation import Valuation
from common.agent.world_model import WorldModel
from common.config import parts
from common.config.annealing import schedule
from common.nn.compile import compilable
from common.nn.nets import MLP, Linear, Style, frozen
from common.nn.sections import section

SATURATION_MARGIN = 0.01  # a mean action this close to -1 or 1 counts as saturated
REPLAY_VALUE_KEYS = ("reward", "is_last", "is_terminal")  # entries of a batch that the replay_value part may read


class Actor(nn.Module):
    """Network of the policy: (..., F) -> outputs (..., sum of widths), with one linear layer for each statistic."""

    def __init__(
        self,
        feat: int,
        actions: int,
        dist: ActionDistribution,
        style: Style,
        *,
        layers: int,
        units: int,
        outscale: float,
    ):
        super().__init__()
        self.dist, self.actions = dist, actions
        self.net = MLP(feat, style, layers=layers, units=units)
        self.outs = nn.ModuleList(Linear(self.net.size, w, style.init, outscale) for w in dist.widths(actions))

    def forward(self, feat: Tensor) -> Tensor:
        """Return the outputs of the action distribution: (..., F) -> (..., sum of widths)."""
        hidden = self.net(feat)
        return torch.cat([out(hidden) for out in self.outs], -1)


class Behavior(Valuation):
    """Actor and critic, and all parts that decide how they learn.

    The gradient part decides whether imagination builds a graph. Without a graph, the rollout runs without autograd,
    and actor and critic are evaluated once on all states.
    """

    def __init__(self, feat: int, actions: int, classes: list[int], config: Config):
        """classes: sizes of the discrete action dimensions, empty for continuous actions."""
        super().__init__()
        style, mlp, self.discount = Style(**config["net"]), config["mlp"], config["discount"]
        build = lambda seam, *args: parts.build(seam, config[seam], *args)
        dist: ActionDistribution = build("policy_disc", classes) if classes else build("policy_cont")
        self.continuous: ContinuousPolicy | None = None if classes else dist  # type: ignore[assignment]
        self.imagination, self.entropy = config["imagination"], config["actor"]["entropy"]
        self.actor = Actor(feat, actions, dist, style, **mlp["actor"], outscale=config["actor"]["outscale"])
        self.add_critic(feat, style, config)
        self.returns: Returns = build("returns")
        self.grad: ActorGradient = build("grad_disc" if classes else "grad_cont")
        self.replay_value: ReplayValueLoss = build("replay_value")

    predicts_reward = True  # whether imagination evaluates the reward head

    @property
    def imagined_actions(self) -> int:
        """The number of actions in an imagined sequence."""
        return self.imagination["horizon"]

    @property
    def learns_from_actions(self) -> bool:
        """Whether the actor's loss reads the log-probability or the entropy of imagined actions."""
        return bool(self.entropy) or self.grad.reads_logp

    def start_steps(self, x: Tensor) -> Tensor:
        """Select the replayed steps from which imagination starts: (B, T, ...) -> (N, ...)."""
        last = self.imagination["last"]
        x = x[:, : x.shape[1] - self.imagination["drop_last"]]
        return (x[:, -last:] if last else x).flatten(0, 1)

    def noise(self, latent: Latent, starts: int, device: Device = None) -> Noise:
        """Draw the randomness of one imagination of `starts` trajectories."""
        shape = self.imagination["horizon"], starts
        return {
            "img": latent.noise(*shape, device=device),
            "act": self.actor.dist.noise(*shape, self.actor.actions, device=device),
            "entropy": None,
        }

    def imagine(self, world: WorldModel, start: LatentState, noise: Noise) -> tuple[LatentState, Tensor]:
        """Roll out the policy: states (N,) -> states (N, H+1), actions (N, H, A).

        The policy never sends gradients into its input.
        """
        return world.rssm.imagine(start, lambda state, t: self.policy(state, noise["act"][t]), noise["img"])

    @compilable
    def policy(self, state: LatentState, noise: Tensor) -> Tensor:
        """Sample actions: state (N,), noise -> (N, A)."""
        return self.actor.dist.sample(self.actor(state.feat.detach()), noise)

    def losses(
        self, world: WorldModel, states: LatentState, batch: Batch, step: float, noise: Noise | None = None
    ) -> tuple[Losses, Metrics]:
        """Imagine from replayed states (B, T); return losses by name and metrics. Actor and critic losses are (N, L).

        step: agent steps so far.
        """
        start, terminal = states.detach().apply(self.start_steps), self.start_steps(batch["is_terminal"])
        noise = noise or self.noise(world.rssm.latent, len(terminal), terminal.device)
        with torch.set_grad_enabled(self.grad.through_model), self.frozen_critics():
            with section("imagination"):
                imagined, action = self.imagine(world, start, noise)
            with section("actor-critic"):
                feat, values, targets = self.imagined_targets(world, imagined, action, terminal)
        knobs = {"entropy": schedule(self.entropy, step), "mix": schedule(self.grad.mix, step)}
        scheduled = {name: torch.full((), x, device=terminal.device) for name, x in knobs.items()}
        replayed = {key: batch[key] for key in REPLAY_VALUE_KEYS if key in batch}
        with section("actor-critic"):
            return self.actor_critic_losses(
                feat, action, values, targets, noise["entropy"], states, replayed, scheduled
            )

    def frozen_critics(self) -> AbstractContextManager:
        """Treat the critic as a constant."""
        return frozen(self.critic)

    @compilable
    def imagined_targets(
        self, world: WorldModel, imagined: LatentState, action: Tensor, terminal: Tensor
    ) -> tuple[Tensor, dict[str, Tensor], Targets]:
        """Predict rewards, values and discounts of imagined states, and compute the targets.

        imagined (N, H+1), actions (N, H, A), terminal flags of the starts (N,) -> features (N, H+1, F), predictions
        (N, H+1), targets.
        """
        feat = imagined.feat
        values = self.imagined_rewards(world, feat, action)
        values |= self.evaluate(values["reward"], feat)
        con = world.con.pred(feat)
        first = self.returns.first_con(con[:, 0], world.con, terminal, self.discount)
        con = torch.cat([first[:, None], con[:, 1:]], 1)
        targets = self.returns(values["reward"], values["value"], con, world.con.outer_discount)
        return feat.detach(), values | {"continue": con}, targets

    def imagined_rewards(self, world: WorldModel, feat: Tensor, action: Tensor) -> dict[str, Tensor]:
        """Return the rewards to learn from, as `reward`: features (N, H+1, F), actions (N, H, A) -> (N, H+1)."""
        return {"reward": world.reward.pred(feat)}

    @compilable
    def actor_critic_losses(
        self,
        feat: Tensor,
        action: Tensor,
        values: dict[str, Tensor],
        targets: Targets,
        noise: Tensor | None,
        states: LatentState,
        replayed: Batch,
        scheduled: dict[str, Tensor],
    ) -> tuple[Losses, Metrics]:
        """Return the losses of actor and critic, and metrics.

        feat (N, H+1, F), action (N, H, A) and predictions (N, H+1) of imagined states; noise of the entropy;
        states (B, T) and entries (B, T) of the replay; scheduled numbers.
        """
        losses, stats = self.actor_loss(feat, action, values, targets, scheduled, noise)
        losses["critic"] = self.imagined_critic_loss(feat, targets)
        losses |= self.replay_value(self, states, replayed, targets.ret)
        return losses, stats | imagination_metrics(values, targets.ret)

    def actor_loss(
        self,
        feat: Tensor,
        action: Tensor,
        values: dict[str, Tensor],
        targets: Targets,
        scheduled: dict[str, Tensor],
        noise: Tensor | None,
    ) -> tuple[Losses, Metrics]:
        """Return -weight (objective + entropy scale * entropy) (N, L) and metrics. Shapes as above."""
        dist, at = self.actor.dist, targets.actor
        seen = at if self.learns_from_actions else slice(at.start, at.start + 1)  # one step, for the metrics only
        out, action = self.actor(feat[:, seen]), action[:, seen]
        logp = dist.log_prob(out, action.detach() if self.grad.stop_action else action)
        gain = self.gain(self.grad, values, targets, logp, scheduled["mix"])
        entropy = dist.entropy(out, noise) if self.entropy else -logp.detach()
        loss = -targets.actor_weight * (gain + scheduled["entropy"] * entropy)
        low, high = dist.entropy_range(self.actor.actions)
        mean = entropy.detach().mean()
        stats = {"train/entropy": mean, "train/randomness": (mean - low) / max(high - low, 1e-8)}
        if self.continuous is not None:
            saturated = self.continuous.mean_action(out.detach()).abs() > 1 - SATURATION_MARGIN
            stats["train/saturation"] = saturated.float().mean()
        return {"actor": loss}, stats


@torch.no_grad()
def imagination_metrics(values: dict[str, Tensor], ret: Tensor) -> Metrics:
    """Return averages over the imagined sequences: predictions (N, H+1) by name, returns (N, H)."""
    stats = {f"train/{name}": x.mean() for name, x in (values | {"return": ret}).items()}
    return stats | {"train/return_std": ret.std(), "train/return_max": ret.max(), "train/return_min": ret.min()}
