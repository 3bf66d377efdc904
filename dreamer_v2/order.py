"""Order of one update in V2: the world model steps before imagination."""


class ModelFirst:
    """The world model takes its step; then imagination with the new model, from the states computed before the step.

    The graph of those states is gone by then, so no behaviour loss can reach the world model.
    """

    keeps_graph = False

    def __call__(self, agent, batch, step, noise):
        """Batch of tensors -> losses by name, replayed states (B, T), statistics."""
        losses, states, stats = agent.model_losses(batch, noise)
        norms = agent.step_now(losses)
        states = states.detach()
        more, extra = agent.behavior_losses(states, batch, step, noise)
        return losses | more, states, stats | extra | norms | agent.step_later(more)
