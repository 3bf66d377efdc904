"""The actor-critic of exploration: the task's classes and parts, with intrinsic rewards.

Shapes as in `common/agent/behavior.py`.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from common.agent.behavior import Behavior
from common.agent.interfaces import ActorGradient, Batch, Config, Device, Latent, Losses, Metrics, Noise, RewardNorm
from common.agent.returns import Targets
from common.agent.rssm import LatentState
from common.agent.valuation import Valuation
from common.agent.world_model import WorldModel
from common.config import parts
from common.nn.compile import compilable
from common.nn.nets import Style, frozen

Disagreement = Callable[[Tensor, Tensor], Tensor]  # features (..., F), actions (..., A) -> (...)


@dataclasses.dataclass(frozen=True)
class RewardMix:
    """How intrinsic and extrinsic rewards combine.

    where: "reward" adds the scaled rewards, for one critic (V1, V2). "advantage" gives each reward a critic and a
    normaliser, and averages the advantages by the scales (V3). norm: config block of the normaliser of each reward.
    """

    where: str
    intr: float
    extr: float
    norm: dict[str, Any]

    @property
    def two_critics(self) -> bool:
        """Whether the extrinsic reward has a critic of its own."""
        return self.where == "advantage" and self.extr > 0


class ExplorationBehavior(Behavior):
    """Behaviour that learns from disagreement, and from predicted rewards if they have a scale.

    departure: the disagreement of a state is about the action chosen in it, not about the one that led to it.
    """

    def __init__(self, feat: int, actions: int, classes: list[int], config: Config, mix: RewardMix, *, departure: bool):
        super().__init__(feat, actions, classes, config | {"replay_value": {"use": "NoReplayValue"}})
        self.mix, self.departure, self.predicts_reward = mix, departure, mix.extr > 0
        self.intr_norm: RewardNorm = parts.build("reward_norm", mix.norm)
        self.extr_norm: RewardNorm = parts.build("reward_norm", mix.norm)
        self.disagreement: Disagreement
        if mix.two_critics:
            self.extrinsic = Valuation()
            self.extrinsic.add_critic(feat, Style(**config["net"]), config)

    @property
    def imagined_actions(self) -> int:
        """The number of actions in an imagined sequence; with `departure`, one in the last state too."""
        return super().imagined_actions + self.departure

    def running_statistics(self) -> list[Tensor]:
        """Return the buffers that change before the update is known to be finite."""
        own = [*super().running_statistics(), *self.intr_norm.buffers(), *self.extr_norm.buffers()]
        return own + (self.extrinsic.running_statistics() if self.mix.two_critics else [])

    def critics(self) -> dict[str, Valuation]:
        """Return the critics with their parts, by the name of their loss."""
        return {"critic": self} | ({"critic_extr": self.extrinsic} if self.mix.two_critics else {})

    @contextlib.contextmanager
    def frozen_critics(self) -> Iterator[None]:
        """Treat the critics as constants."""
        with contextlib.ExitStack() as stack:
            for valuation in self.critics().values():
                stack.enter_context(frozen(valuation.critic))
            yield

    def noise(self, latent: Latent, starts: int, device: Device = None) -> Noise:
        """Draw the randomness of one imagination; with `departure`, an action in the last state too."""
        noise = super().noise(latent, starts, device)
        if self.departure:
            last = self.actor.dist.noise(1, starts, self.actor.actions, device=device)
            noise["act"] = torch.cat([noise["act"], last])
        return noise

    def imagine(self, world: WorldModel, start: LatentState, noise: Noise) -> tuple[LatentState, Tensor]:
        """Roll out the policy: states (N,) -> states (N, H+1), actions (N, H, A), or (N, H+1, A) with `departure`."""
        imagined, action = super().imagine(world, start, noise)
        if not self.departure:
            return imagined, action
        last = self.policy(imagined.apply(lambda x: x[:, -1]), noise["act"][-1])
        return imagined, torch.cat([action, last[:, None]], 1)

    def imagined_rewards(self, world: WorldModel, feat: Tensor, action: Tensor) -> dict[str, Tensor]:
        """Return the rewards to learn from, as `reward`, and the disagreement (N, H+1)."""
        if not self.departure:  # the action that led to each state; none led to the start
            action = torch.cat([torch.zeros_like(action[:, :1]), action], 1)
        disagreement = self.disagreement(feat, action)
        reward = self.intr_norm(disagreement)
        rewards = {"disagreement": disagreement.detach(), "reward": reward}
        if self.mix.where == "advantage":
            return rewards
        rewards["reward"] = self.mix.intr * reward
        if self.mix.extr:
            extr = self.extr_norm(world.reward.pred(feat))
            rewards |= {"extr_reward": extr, "reward": rewards["reward"] + self.mix.extr * extr}
        return rewards

    @compilable
    def imagined_targets(
        self, world: WorldModel, imagined: LatentState, action: Tensor, terminal: Tensor
    ) -> tuple[Tensor, dict[str, Tensor], Targets]:
        """Do what `Behavior.imagined_targets` does; with two critics, also predict what the extrinsic one needs."""
        feat, values, targets = super().imagined_targets(world, imagined, action, terminal)
        if self.mix.two_critics:
            extr = self.extr_norm(world.reward.pred(imagined.feat))
            estimates = self.extrinsic.evaluate(extr, imagined.feat)
            values |= {f"extr_{name}": x for name, x in estimates.items()}
        return feat, values, targets

    def extrinsic_targets(self, values: dict[str, Tensor], targets: Targets) -> Targets:
        """Return the targets of the extrinsic reward, with the weights of the others."""
        extr = self.returns(values["extr_reward"], values["extr_value"], values["continue"], 1.0)
        return targets._replace(ret=extr.ret, critic_ret=extr.critic_ret, actor_ret=extr.actor_ret)

    def gain(
        self, grad: ActorGradient, values: dict[str, Tensor], targets: Targets, logp: Tensor, mix: Tensor
    ) -> Tensor:
        """Return the actor's objective (N, L); with two critics, the mean of both by the scales."""
        gain = super().gain(grad, values, targets, logp, mix)
        if not self.mix.two_critics:
            return gain
        extr = self.extrinsic_targets(values, targets)
        other = self.extrinsic.gain(grad, {"value": values["extr_value"]}, extr, logp, mix)
        total = self.mix.intr + self.mix.extr
        return self.mix.intr / total * gain + self.mix.extr / total * other

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
        """Do what `Behavior.actor_critic_losses` does, with a loss `critic_extr` if there are two critics."""
        losses, stats = super().actor_critic_losses(feat, action, values, targets, noise, states, replayed, scheduled)
        if self.mix.two_critics:
            losses["critic_extr"] = self.extrinsic.imagined_critic_loss(feat, self.extrinsic_targets(values, targets))
        stats["train/disagreement_std"] = values["disagreement"].std()
        return losses, stats
