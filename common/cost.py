"""What one update costs, counted from config and spaces: parameters, FLOPs, bytes. No numbers are computed.

The networks are built on torch's meta device, where tensors have shapes and nothing else. A layer's FLOPs follow from
the shape of its weight and the positions it is applied to; how often each module is applied, and which gradients its
backward pass needs, follows from the config.

FLOPs: matrix products and convolutions, forward and backward; one multiply-add is 2. Elementwise work, norms, softmax,
sampling, clipping and the optimiser's arithmetic are not counted (nor does `torch.utils.flop_counter`).

Bytes: the least that an update moves, as if every tensor were read or written once by each pass that needs it.
  Parameters (float32): read once by every pass of a module, forward and backward; a scan over time is one pass.
  Gradients (float32): written by the backward pass, read for clipping, read by the optimiser.
  Optimiser: each parameter and its two slots are read and written. A slow critic: itself and the critic are read, it
  is written.
  Activations (float32, or 2 bytes each in half precision): the outputs of the counted layers, written and read once;
  where a gradient passes, read once more, and the gradients of the outputs written and read.
Not counted: elementwise intermediates, what falls out of the caches in between, copies, the batch itself.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from common.agent import action_sizes
from common.behavior import Behavior
from common.nets import BlockLinear
from common.rssm import State
from common.slow import NoSlow
from common.upconv import UpConv, UpsampleConv
from common.world_model import WorldModel

FLOAT = 4  # bytes


@dataclasses.dataclass(frozen=True)
class Layer:
    """One weight at one position.

    flops: forward; grad: FLOPs of the gradient of its weights, and of its inputs; outputs, weights: elements; first:
    whether it reads the input of its module.
    """

    flops: int
    grad: int
    outputs: int
    weights: int
    first: bool = False


@dataclasses.dataclass(frozen=True)
class Pass:
    """One use of a module in an update, at `positions` (time steps and rows of the batch taken together).

    weights, inputs: whether gradients of its weights are computed, and of its inputs: "all", "inner" (not those of the
    first layers) or "none". Without either it runs without autograd.
    """

    part: str
    name: str
    layers: list[Layer]
    positions: int
    weights: bool = False
    inputs: str = "none"

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
        needed = {"all": self.layers, "inner": [layer for layer in self.layers if not layer.first], "none": []}
        return self.positions * sum(layer.grad for layer in needed[self.inputs])

    @property
    def autograd(self) -> bool:
        """Whether there is a backward pass."""
        return self.weights or self.inputs != "none"

    @property
    def flops(self) -> int:
        """All FLOPs."""
        return self.forward + self.weight_grads + self.input_grads

    def bytes(self, size: int) -> int:
        """Weights and activations read and written, with `size` bytes for each activation."""
        weights = FLOAT * sum(layer.weights for layer in self.layers) * (2 if self.autograd else 1)
        return weights + size * self.positions * sum(layer.outputs for layer in self.layers) * (
            5 if self.autograd else 2
        )

    def note(self) -> str:
        """What its backward pass leaves away, in words."""
        if not self.autograd:
            return "forward only"
        if not self.weights:
            return "no gradients of weights"
        return "no gradient of the input" if self.inputs == "inner" else ""


@dataclasses.dataclass(frozen=True)
class Cost:
    """Parameters by module, and all passes of one update.

    parameters: module -> trained parameters; slow: parameters of the slow critic; size: bytes of an activation.
    """

    parameters: dict[str, int]
    slow: int
    passes: list[Pass]
    size: int

    @property
    def flops(self) -> int:
        """FLOPs of one update."""
        return sum(p.flops for p in self.passes)

    @property
    def bytes(self) -> int:
        """Bytes of one update, as the module's docstring counts them."""
        trained = sum(self.parameters.values())
        return sum(p.bytes(self.size) for p in self.passes) + FLOAT * (9 * trained + 3 * self.slow)


def count(config: dict, obs_space, act_space, half: bool = False) -> Cost:
    """Cost of one update of an agent for these spaces. `half`: activations take 2 bytes."""
    actions, classes = action_sizes(act_space)
    with torch.device("meta"):
        world = WorldModel(obs_space, actions, config)
        behavior = Behavior(world.rssm.feat_size, actions, classes, config)
        batch, length = config["batch_size"], config["batch_length"]
        passes = [*model_passes(world, obs_space, batch * length), *behavior_passes(world, behavior, batch, length)]
    modules = {name: getattr(world, name) for name in ("encoder", "rssm", "decoder", "reward", "con")}
    modules |= {"actor": behavior.actor, "critic": behavior.critic}
    size = lambda module: sum(p.numel() for p in module.parameters())
    used = [p for p in passes if p.positions and p.layers]
    return Cost(
        {name: size(module) for name, module in modules.items()}, size(behavior.slow), used, 2 if half else FLOAT
    )


def model_passes(world: WorldModel, obs_space, steps: int) -> Iterable[Pass]:
    """Passes of the world model over `steps` replayed steps."""
    rssm, route = world.rssm, lambda head: "all" if world.grads[head] else "inner"
    obs = {key: torch.zeros(1, *box.shape) for key, box in obs_space.items()}
    state = State(torch.zeros(1, rssm.deter), torch.zeros(1, rssm.latent.size))
    made = lambda name, layers, inputs: Pass("world model", name, layers, steps, True, inputs)
    yield made("encoder", traced(world.encoder, obs), "inner")
    yield made("observe", [*static(rssm.cell), *static(rssm.post)], "all")
    yield made("prior", static(rssm.priors), "all")
    yield made("decoder", traced(world.decoder, state), route("rec"))
    yield made("reward", traced(world.reward, state.feat), route("reward"))
    yield made("continue", head(world.con, state.feat), route("con"))


def behavior_passes(world: WorldModel, behavior: Behavior, batch: int, length: int) -> Iterable[Pass]:
    """Passes of imagination, actor and critic from a batch of `batch` sequences of `length`."""
    rssm, through = world.rssm, behavior.grad.through_model
    feat = torch.zeros(1, rssm.feat_size)
    actor, critic = traced(behavior.actor, feat), traced(behavior.critic, feat)
    horizon, starts = behavior.imagination["horizon"], behavior.starts(torch.zeros(batch, length)).numel()
    rolled, seen = starts * horizon, starts * (horizon + 1)
    flow = "all" if through else "none"
    yield Pass("imagination", "policy", actor, rolled, through, "inner" if through else "none")
    yield Pass("imagination", "dynamics", [*static(rssm.cell), *static(rssm.priors)], rolled, False, flow)
    judged = lambda name, layers, inputs=flow: Pass("actor-critic", name, layers, seen, False, inputs)
    yield judged("rewards", traced(world.reward, feat))
    yield judged("continues", head(world.con, feat), flow if differentiable(world.con, feat) else "none")
    yield judged("values", critic)
    acted, valued = trained_states(behavior)
    trains = actor_trains(behavior)
    made = lambda name, layers, positions, *grads: Pass("actor-critic", name, layers, positions, *grads)
    yield made("actor", actor, starts * acted, trains, "inner" if trains else "none")
    yield made("critic", critic, starts * valued, True, "inner")
    replayed = batch * (length - 1) if behavior.replay_value.scales else 0
    yield made("replay value", critic, replayed, True, "all" if behavior.replay_value.through_model else "inner")
    regular = type(behavior.slow).regularize is not NoSlow.regularize
    yield made("slow critic", critic, (starts * valued + replayed) * regular)


def trained_states(behavior: Behavior) -> tuple[int, int]:
    """How many states of an imagined sequence train the actor, and how many the critic."""
    states = torch.zeros(1, behavior.imagination["horizon"] + 1)
    targets = behavior.returns(states, states, states, 1.0)
    size = lambda part: len(range(*part.indices(states.shape[1])))
    return size(targets.actor), size(targets.critic)


def actor_trains(behavior: Any) -> bool:
    """Whether the actor is differentiated at the imagined states, and not in the roll-out alone."""
    value, logp = torch.zeros(1, 1), torch.zeros(1, 1, requires_grad=True)
    gain = behavior.grad(lambda x: x, value, value, logp, 0)
    return gain.requires_grad or bool(behavior.entropy)


def differentiable(con: Any, feat: Tensor) -> bool:
    """Whether the predicted continuation has a gradient with respect to the state."""
    return con.pred(feat.detach().requires_grad_()).requires_grad


def head(con: nn.Module, feat: Tensor) -> list[Layer]:
    """Layers of the continue head, none where continuation is a constant."""
    net = getattr(con, "net", None)
    return traced(net, feat) if isinstance(net, nn.Module) else []


def static(module: nn.Module) -> list[Layer]:
    """Layers of a module from its weights alone, each applied once: products with (out, inp) or (blocks, inp, out)."""
    weights = [(type(m), p.shape) for m in module.modules() for p in m.parameters(recurse=False) if p.ndim > 1]
    outputs = lambda kind, shape: shape[0] * shape[2] if kind is BlockLinear else shape[0]
    return [Layer(2 * math.prod(s), 2 * math.prod(s), outputs(kind, s), math.prod(s)) for kind, s in weights]


def traced(module: nn.Module, *inputs) -> list[Layer]:
    """Layers of a module applied to inputs (1, ...) without gradients: how often each weight is used shows there."""
    layers, handles = [], []

    def seen(layer, args, out):
        flops, grad = (2 * n for n in products(layer, args[0], out))
        layers.append(Layer(flops, grad, out.numel(), layer.weight.numel(), not args[0].requires_grad))

    for part in module.modules():
        if isinstance(part, nn.Linear | BlockLinear | nn.Conv2d | nn.ConvTranspose2d):
            handles.append(part.register_forward_hook(seen))
    with torch.enable_grad():
        module(*inputs)
    for handle in handles:
        handle.remove()
    return layers


def products(layer: Any, x: Tensor, out: Tensor) -> tuple[int, int]:
    """Multiply-adds of a layer from x (1, ...) to out (1, ...): forward, and of the gradient of its weight or input."""
    weights, side = layer.weight.numel(), lambda y: math.prod(y.shape[2:])
    plain = weights * side(x if isinstance(layer, nn.ConvTranspose2d) else out)
    if type(layer) not in (UpsampleConv, UpConv):
        return plain, plain
    area = layer.taps.shape[1] ** 2 / math.prod(layer.kernel_size)  # taps of each of four phases on the small image
    phases = round(4 * weights * area * math.prod((n + 1) // 2 for n in out.shape[2:]))
    return phases, phases if type(layer) is UpsampleConv else plain
