"""Cost of one update: parameters, FLOPs and bytes, counted from config and spaces.

Nothing is computed: the networks are built on torch's meta device, where tensors have shapes but no values. The FLOPs
of a layer follow from the shape of its weight and the positions it is applied to. How often each module is applied, and
which gradients its backward pass needs, follow from the config.

FLOPs: matrix products and convolutions, forward and backward; one multiply-add is 2. Elementwise work, norms, softmax,
sampling, clipping and the optimiser's arithmetic are not counted (nor does `torch.utils.flop_counter`).

Bytes: the least that an update moves, as if every tensor were read or written once by each pass that needs it.
  Parameters (float32): read once by every pass of a module, forward and backward; a scan over time is one pass.
  Gradients (float32): written by the backward pass, read for clipping, read by the optimiser.
  Optimiser: each parameter and its two moments are read and written.
  Slow critic: it and the critic are read, it is written.
  Activations (float32, or 2 bytes each in half precision): the outputs of the counted layers, written and read once.
  If a gradient passes, they are read once more, and the gradients of the outputs are written and read.
Not counted: elementwise intermediates, cache misses, copies, the batch itself.
"""

import dataclasses
from collections.abc import Iterable
from typing import cast

import torch
from gymnasium import spaces
from torch import Tensor, nn

from common.agent.acting import Acting, action_sizes
from common.agent.behavior import Behavior
from common.agent.explore import DisagreementModel, Explorer, explorer_of
from common.agent.interfaces import Config, Continue
from common.agent.returns import Unscaled
from common.agent.rssm import RSSM, LatentState
from common.agent.slow import NoSlow
from common.agent.world_model import WorldModel
from common.config import parts
from common.nn.layer_cost import LayerCost, layer_costs

FLOAT32_BYTES = 4  # bytes


@dataclasses.dataclass(frozen=True)
class ModulePass:
    """One use of a module in an update, at `positions`: time steps times rows of the batch.

    weights: whether gradients of its weights are computed. inputs: which gradients of layer inputs are: "all", "inner"
    (all except those of the first layers) or "none". Without any of them it runs without autograd.
    begin: positions at which "all" is only "inner", because a scan begins with a state that needs no gradient.
    """

    part: str
    name: str
    layers: list[LayerCost]
    positions: int
    weights: bool = False
    inputs: str = "none"
    begin: int = 0

    @property
    def forward(self) -> int:
        """FLOPs of the forward pass."""
        return self.positions * sum(layer.flops for layer in self.layers)

    @property
    def weight_grads(self) -> int:
        """FLOPs of the gradients of weights."""
        return self.positions * sum(layer.grad for layer in self.layers) if self.weights else 0

    @property
    def input_grads(self) -> int:
        """FLOPs of the gradients of inputs and activations."""
        every, first = (sum(x.grad for x in self.layers if x.first or not only) for only in (False, True))
        needed = {"all": self.positions * every - self.begin * first, "inner": self.positions * (every - first)}
        return needed.get(self.inputs, 0)

    @property
    def autograd(self) -> bool:
        """Whether it has a backward pass."""
        return self.weights or self.inputs != "none"

    @property
    def flops(self) -> int:
        """FLOPs of all its passes."""
        return self.forward + self.weight_grads + self.input_grads

    def bytes(self, size: int) -> int:
        """Return the bytes of weights and activations that it reads and writes; an activation has `size` bytes."""
        weights = FLOAT32_BYTES * sum(layer.weights for layer in self.layers) * (2 if self.autograd else 1)
        return weights + size * self.positions * sum(layer.outputs for layer in self.layers) * (
            5 if self.autograd else 2
        )

    def note(self) -> str:
        """Describe what its backward pass omits."""
        if not self.autograd:
            return "forward only"
        if not self.weights:
            return "no gradients of weights"
        return "no gradient of the input" if self.inputs == "inner" else ""


@dataclasses.dataclass(frozen=True)
class UpdateCost:
    """Cost of one update.

    parameters: trained parameters of each module. slow: parameters of the slow critic. size: bytes of an activation.
    """

    parameters: dict[str, int]
    slow: int
    passes: list[ModulePass]
    size: int

    @property
    def flops(self) -> int:
        """FLOPs of one update."""
        return sum(p.flops for p in self.passes)

    @property
    def bytes(self) -> int:
        """Bytes of one update, counted as described at the top of this module."""
        trained = sum(self.parameters.values())
        return sum(p.bytes(self.size) for p in self.passes) + FLOAT32_BYTES * (9 * trained + 3 * self.slow)


def update_cost(config: Config, obs_space: spaces.Dict, act_space: spaces.Space, half: bool = False) -> UpdateCost:
    """Return the cost of one update of an agent for these spaces. half: activations take 2 bytes."""
    actions, classes = action_sizes(act_space)
    with torch.device("meta"):
        world = WorldModel(obs_space, actions, config)
        behavior = Behavior(world.rssm.feat_size, actions, classes, config)
        explorer = explorer_of(parts.build("explore", config["explore"]))
        explorer.setup(world, Acting(world.encoder, world.rssm, behavior.actor, classes), config)
        passes = [*every_pass(world, behavior, explorer, obs_space, config["batch_size"], config["batch_length"])]
    modules = {name: getattr(world, name) for name in ("encoder", "rssm", "decoder", "reward", "con")}
    modules |= {"actor": behavior.actor, "critic": behavior.critic}
    size = lambda module: sum(p.numel() for p in module.parameters())
    used = [p for p in passes if p.positions and p.layers]
    slow = sum(size(part.slow) for part in (behavior, *explorer.valuations()))
    table = {name: size(module) for name, module in modules.items()} | explorer.parameter_table()
    return UpdateCost(table, slow, used, 2 if half else FLOAT32_BYTES)


def every_pass(
    world: WorldModel, behavior: Behavior, explorer: Explorer, obs_space: spaces.Dict, batch: int, length: int
) -> Iterable[ModulePass]:
    """Yield all passes of an update on a batch of `batch` sequences of `length`."""
    yield from model_passes(world, obs_space, batch * length)
    yield from behavior_passes(world, behavior, batch, length)
    for exploring in explorer.behaviors():
        for each in behavior_passes(world, exploring, batch, length):
            yield dataclasses.replace(each, part="exploration")
    for model in explorer.disagreements():
        yield from disagreement_passes(world, model, explorer.behaviors()[0], batch, length)


def disagreement_passes(
    world: WorldModel, model: DisagreementModel, behavior: Behavior, batch: int, length: int
) -> Iterable[ModulePass]:
    """Yield the passes of an ensemble: training, predictions in imagination, and the critics of more rewards."""
    x, action = torch.zeros(1, model.inputs), torch.zeros(1, model.actions)
    layers = [
        layer for member in model.ensemble.members for layer in layer_costs(member, torch.cat([x, action], -1), action)
    ]
    starts = behavior.start_steps(torch.zeros(batch, length)).numel()
    states, through = behavior.imagination["horizon"] + 1, behavior.grad.through_model and model.differentiable
    yield ModulePass("exploration", "ensemble", layers, batch * (length - model.offset), True, "inner")
    yield ModulePass("exploration", "disagreement", layers, starts * states, False, "all" if through else "none")
    critic = layer_costs(behavior.critic, torch.zeros(1, world.rssm.feat_size))
    valued = starts * trained_state_counts(behavior)[1]
    for _ in range(model.more_critics):
        flow = "all" if behavior.grad.through_model else "none"
        yield ModulePass("exploration", "other values", critic, starts * states, False, flow)
        yield ModulePass("exploration", "other critic", critic, valued, True, "inner")
        regular = type(behavior.slow).regularize is not NoSlow.regularize
        yield ModulePass("exploration", "other slow critic", critic, valued * regular)


def model_passes(world: WorldModel, obs_space: spaces.Dict, steps: int) -> Iterable[ModulePass]:
    """Yield the passes of the world model over `steps` replayed steps."""
    rssm, inputs = world.rssm, lambda head: "all" if world.model_grads[head] else "inner"
    obs = {key: torch.zeros(1, *(box.shape or ())) for key, box in obs_space.items()}
    state = LatentState(torch.zeros(1, rssm.deter), torch.zeros(1, rssm.latent.size))
    both = torch.zeros(1, rssm.deter + world.encoder.size, requires_grad=True)
    step = [
        *layer_costs(cast(nn.Module, rssm.cell), *state, torch.zeros(1, rssm.action)),
        *layer_costs(rssm.post, both),
    ]
    made = lambda name, layers, inputs, weights=True: ModulePass("world model", name, layers, steps, weights, inputs)
    yield made("encoder", layer_costs(world.encoder, obs), "inner")
    yield made("observe", step, "all", weights=False)
    yield made("observe at once", step, "inner")
    yield made("prior", prior_layers(rssm), "all")
    yield made("decoder", layer_costs(world.decoder, state), inputs("rec"))
    yield made("reward", layer_costs(world.reward, state.feat), inputs("reward"))
    yield made("continue", continue_layers(world.con, state.feat), inputs("con"))


def behavior_passes(world: WorldModel, behavior: Behavior, batch: int, length: int) -> Iterable[ModulePass]:
    """Yield the passes of imagination, actor and critic, from a batch of `batch` sequences of `length`."""
    rssm, through = world.rssm, behavior.grad.through_model
    state = LatentState(torch.zeros(1, rssm.deter), torch.zeros(1, rssm.latent.size))
    actor, critic = layer_costs(behavior.actor, state.feat), layer_costs(behavior.critic, state.feat)
    horizon, starts = behavior.imagination["horizon"], behavior.start_steps(torch.zeros(batch, length)).numel()
    rolled, seen, flow = starts * horizon, starts * (horizon + 1), "all" if through else "none"
    acted = starts * behavior.imagined_actions
    action = torch.zeros(1, rssm.action, requires_grad=True)
    step = [*layer_costs(cast(nn.Module, rssm.cell), *state, action), *prior_layers(rssm)]
    yield ModulePass("imagination", "policy", actor, acted, through, "inner" if through else "none")
    yield ModulePass("imagination", "dynamics", step, rolled, False, flow, starts)
    made = lambda name, layers, inputs=flow: ModulePass("actor-critic", name, layers, seen, False, inputs)
    if behavior.predicts_reward:
        yield made("rewards", layer_costs(world.reward, state.feat))
    con_flow = flow if continue_is_differentiable(world.con, state.feat) else "none"
    yield made("continues", continue_layers(world.con, state.feat), con_flow)
    yield made("values", critic)
    yield from learning_passes(behavior, actor, critic, starts, batch * (length - 1))


def learning_passes(behavior: Behavior, actor: list, critic: list, starts: int, replayed: int) -> Iterable[ModulePass]:
    """Yield the passes that train actor and critic, on imagined sequences from `starts` and on `replayed` steps."""
    made = lambda name, layers, positions, *grads: ModulePass("actor-critic", name, layers, positions, *grads)
    acted, valued = (starts * states for states in trained_state_counts(behavior))
    trains, replayed = actor_trains(behavior), replayed if behavior.replay_value.scales else 0
    acted = acted if behavior.learns_from_actions else starts
    yield made("actor", actor, acted, trains, "inner" if trains else "none")
    yield made("critic", critic, valued, True, "inner")
    yield made("replay value", critic, replayed, True, "all" if behavior.replay_value.through_model else "inner")
    regular = type(behavior.slow).regularize is not NoSlow.regularize
    yield made("slow critic", critic, (valued + replayed) * regular)


def trained_state_counts(behavior: Behavior) -> tuple[int, int]:
    """Return how many states of an imagined sequence train the actor, and how many the critic."""
    states = torch.zeros(1, behavior.imagination["horizon"] + 1)
    targets = behavior.returns(states, states, states, 1.0)
    size = lambda part: len(range(*part.indices(states.shape[1])))
    return size(targets.actor), size(targets.critic)


def actor_trains(behavior: Behavior) -> bool:
    """Return whether the actor is differentiated at the imagined states, and not only in the rollout."""
    value, logp = torch.zeros(1, 1), torch.zeros(1, 1, requires_grad=True)
    gain = behavior.grad(Unscaled(), value, value, logp, 0)
    return gain.requires_grad or bool(behavior.entropy)


def continue_is_differentiable(con: Continue, feat: Tensor) -> bool:
    """Return whether the predicted continuation has a gradient with respect to the state."""
    return con.pred(feat.detach().requires_grad_()).requires_grad


def continue_layers(con: Continue, feat: Tensor) -> list[LayerCost]:
    """Return the layers of the continue head; none if the discount is a constant."""
    net = getattr(con, "net", None)
    return layer_costs(net, feat) if isinstance(net, nn.Module) else []


def prior_layers(rssm: RSSM) -> list[LayerCost]:
    """Return the layers of the prior, of all members of an ensemble. Their input always needs a gradient."""
    deter = torch.zeros(1, rssm.deter, requires_grad=True)
    return [layer for member in rssm.priors for layer in layer_costs(member, deter)]
