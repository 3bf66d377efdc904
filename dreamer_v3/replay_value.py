"""Critic loss on replayed states, bootstrapped from imagination (V3)."""


class ReplayValue:
    """The critic also predicts the lambda-return of replayed rewards; its gradient shapes the world model.

    scale: weight of the loss; grad: let the gradient into the world model. Source: V3 `agent.repl_loss`.
    """

    def __init__(self, *, scale: float = 0.3, grad: bool = True):
        self.scales, self.through_model = {"repval": scale}, grad
        self.trained_groups = {"repval": ("critic", "model") if grad else ("critic",)}

    def __call__(self, behavior, states, batch, ret):
        """Replayed states (B, T), imagined returns (B T, H) -> {"repval": (B, T-1)}."""
        boot = ret[:, 0].detach().unflatten(0, batch["reward"].shape)
        flags = batch["is_last"], batch["is_terminal"]
        target = behavior.returns.replay(batch["reward"], *flags, boot, behavior.discount)
        feat = states.feat if self.through_model else states.feat.detach()
        loss = behavior.critic_loss(feat[:, :-1], target)
        return {"repval": loss * (~batch["is_last"]).float()[:, :-1]}
