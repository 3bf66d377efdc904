"""Order of one update in V1 (and V3): all losses first, then all steps."""


class Joint:
    """World model, actor and critic losses are computed with the same parameters, then every group takes its step.

    It is one backward pass for everything.
    """

    keeps_graph = True

    def __call__(self, agent, batch, step, noise):
        """Batch of tensors -> losses by name, replayed states (B, T), statistics."""
        losses, states, stats = agent.model_losses(batch, noise)
        more, extra = agent.behavior_losses(states, batch, step, noise)
        norms = agent.step_later(losses | more)
        return losses | more, states, stats | extra | norms
