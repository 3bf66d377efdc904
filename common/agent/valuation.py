"""The value of one kind of reward: a critic, and the parts that decide how it learns.

Shapes as in `common/agent/behavior.py`.
"""

from torch import Tensor, nn

from common.agent.heads import Head
from common.agent.interfaces import ActorGradient, Advantage, Config, RewardNorm, Slow
from common.agent.returns import Targets
from common.config import parts
from common.nn.nets import Style


class Valuation(nn.Module):
    """Critic, slow critic, and the normalisers of rewards and advantages, of the parts that the config names."""

    critic: Head
    slow: Slow
    advantage: Advantage
    reward_norm: RewardNorm

    def add_critic(self, feat: int, style: Style, config: Config) -> None:
        """Build the critic on features (..., F) and its parts."""
        build = lambda seam: parts.build(seam, config[seam])
        self.critic = Head(feat, build("critic"), style, **config["mlp"]["critic"])
        self.slow = build("slow")
        self.advantage = build("advantage")
        self.reward_norm = build("reward_norm")
        self.slow.setup(self.critic)

    def running_statistics(self) -> list[Tensor]:
        """Return the buffers that change before the update is known to be finite."""
        return [*self.advantage.buffers(), *self.reward_norm.buffers()]

    def evaluate(self, reward: Tensor, feat: Tensor) -> dict[str, Tensor]:
        """Return normalised rewards and values (N, H+1) of rewards (N, H+1) and features (N, H+1, F)."""
        return {"reward": self.reward_norm(reward), "value": self.slow.target(self.critic, feat)}

    def gain(
        self, grad: ActorGradient, values: dict[str, Tensor], targets: Targets, logp: Tensor, mix: Tensor
    ) -> Tensor:
        """Return the actor's objective (N, L) and update the normaliser.

        values: `value` (N, H+1), as `evaluate` returns it. logp: log-probabilities (N, L).
        """
        ret, baseline = targets.actor_ret, values["value"][:, targets.actor]
        self.advantage.update(ret.detach(), (ret - baseline).detach())
        return grad(self.advantage, ret, baseline, logp, mix)

    def imagined_critic_loss(self, feat: Tensor, targets: Targets) -> Tensor:
        """Return the critic's weighted loss on imagined returns (N, L): features (N, H+1, F)."""
        return targets.critic_weight * self.critic_loss(feat[:, targets.critic], targets.critic_ret)

    def critic_loss(self, feat: Tensor, target: Tensor) -> Tensor:
        """Return the critic's loss, with that of the slow critic: (..., F), (...) -> (...)."""
        out = self.critic(feat)
        return self.critic.dist.loss(out, target.detach()) + self.slow.regularize(self.critic, out, feat)
