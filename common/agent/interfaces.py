"""Contracts of the parts: one protocol for each seam of `common/config/parts.py`.

Shapes: B batch, T time, N = B T imagined trajectories, H horizon, L states that train, n environments, A action
(one-hot where discrete), D deter, Z stoch, P latent parameters, E embedding, F = D + Z feature.

Tensors are float32 and flags are bool, unless a method says otherwise. Under autocast, network outputs may arrive in
bfloat16; a part converts them with `.float()`. Randomness always comes in as an argument `noise`, so a compiled
function stays a plain function of tensors.

State: a part with state that training changes is an `nn.Module` and keeps it in buffers, parameters or extra state.
The agent's `state_dict` then holds it. `Schedule` and `Sampler` belong to the training loop instead; they return
their state from `state()` as plain Python, and the checkpoint stores it next to the agent.

Options: the keyword-only arguments of a part's class. Each is a config key `SEAM.OPTION` with its default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from common.agent.agent import Agent
    from common.agent.behavior import Behavior
    from common.agent.heads import Head
    from common.agent.returns import Targets
    from common.agent.rssm import LatentState
    from common.nn.nets import Style

Config = dict[str, Any]  # a resolved config, see common/config/config.py
Device = torch.device | str | None
Batch = dict[str, Tensor]  # rows (B, T, ...) of the replay, on the agent's device
Noise = dict[str, Any]  # the randomness of one update, see `Agent.noise`
Losses = dict[str, Tensor]  # loss name -> its elements
Metrics = dict[str, Tensor]  # metric name -> scalar
Groups = dict[str, list[Tensor]]  # "model", "actor", "critic" -> parameters
Gradients = dict[str, list[Tensor]]  # the same groups, or some of them -> gradients of their parameters


# World model


class Latent(Protocol):
    """`latent`: the stochastic state, described by parameters (..., P). Stateless.

    size: Z. params: P. randomness: what `noise` draws, "normal" or "gumbel"; exported policies name it.
    """

    size: int
    params: int
    randomness: str

    def noise(self, *shape: int, device: Device = None) -> Tensor:
        """Randomness for `sample` of (*shape, P) parameters; its leading axes are `shape`."""

    def sample(self, params: Tensor, noise: Tensor) -> Tensor:
        """(..., P), noise -> (..., Z), differentiable. Called once a step by the RSSM."""

    def mode(self, params: Tensor) -> Tensor:
        """(..., P) -> (..., Z). Called for a learned initial state."""

    def kl(self, lhs: Tensor, rhs: Tensor) -> Tensor:
        """KL(lhs || rhs) in nats, summed over Z: (..., P), (..., P) -> (...). Called by the `kl` part."""

    def entropy(self, params: Tensor) -> Tensor:
        """(..., P) -> (...), in nats. Called for metrics."""

    def information(self, params: Tensor) -> Tensor:
        """(B, T, P) -> nats that each latent variable carries about the step of the batch. Called for metrics."""

    def pack(self, stoch: Tensor) -> Tensor:
        """(..., Z) -> the compact form that the replay stores."""

    def unpack(self, stored: Tensor) -> Tensor:
        """The inverse of `pack`; returns float32."""


class Cell(Protocol):
    """`cell`: the recurrent network of the RSSM, an `nn.Module`. Owns its parameters; they train with the model.

    Built as `cell(Z, A, D, hidden, style, **options)`.
    """

    def __call__(self, deter: Tensor, stoch: Tensor, action: Tensor) -> Tensor:
        """(B, D), (B, Z), (B, A) -> next deter (B, D). Called at every posterior and every imagined step."""


class KL(Protocol):
    """`kl`: the losses between posterior and prior. Stateless.

    scales: loss name -> weight. The agent multiplies each loss by it.
    """

    scales: dict[str, float]

    def __call__(self, latent: Latent, post: Tensor, prior: Tensor) -> Losses:
        """Parameters (B, T, P) each -> unscaled losses (B, T), one for each name in `scales`. Once an update."""


class ImageEncoder(Protocol):
    """Encoder of images, built by `Conv.encoder`; an `nn.Module`. size: features per image."""

    size: int

    def __call__(self, image: Tensor) -> Tensor:
        """(N, C, H, W) in [-0.5, 0.5] -> (N, size)."""


class ImageDecoder(Protocol):
    """Decoder of images, built by `Conv.decoder`; an `nn.Module`."""

    def __call__(self, deter: Tensor, stoch: Tensor) -> Tensor:
        """(N, D), (N, Z) -> (N, C, H, W) without output activation."""


class Conv(Protocol):
    """`conv`: builds the convolutions of encoder and decoder. Stateless; the modules own their parameters."""

    def check(self, size: tuple[int, int]) -> None:
        """Raise UserError for an image size (H, W) that the convolutions cannot rebuild. Called before building."""

    def encoder(self, channels: int, size: tuple[int, int], style: Style) -> ImageEncoder:
        """Build the encoder of images (N, C, H, W)."""

    def decoder(
        self, channels: int, size: tuple[int, int], deter: int, stoch: int, units: int, style: Style
    ) -> ImageDecoder:
        """Build the decoder to images (N, C, H, W). units: width of its hidden dense layers, if it has any."""


class Image(Protocol):
    """`image`: the likelihood of pixels. Stateless."""

    def pred(self, out: Tensor) -> Tensor:
        """Decoder output (..., H, W, C) -> image in [0, 1]. Called for reports."""

    def loss(self, out: Tensor, image: Tensor) -> Tensor:
        """(..., H, W, C), uint8 (..., H, W, C) -> loss summed over pixels (...). Once an update."""


class Output(Protocol):
    """Meaning of the outputs of a head. An `nn.Module`; constants such as bins are non-persistent buffers.

    size: network outputs per predicted number. outscale: initial scale of the output layer (0: first prediction is 0).
    """

    size: int
    outscale: float

    def pred(self, out: Tensor) -> Tensor:
        """Network outputs (..., size), or (...) if size is 1 -> predictions (...)."""

    def loss(self, out: Tensor, target: Tensor) -> Tensor:
        """Outputs as in `pred`, target (...) -> loss (...). No gradient reaches the target."""


class Vector(Output, Protocol):
    """`vector`: the loss of vector observations. `size` is 1; the decoder sums the loss over the vector."""


class Reward(Output, Protocol):
    """`reward`: the loss on replayed rewards (B, T), and the predicted rewards of imagined states (N, H+1)."""


class Critic(Output, Protocol):
    """`critic`: the loss on lambda-returns (N, L), and the values of imagined states (N, H+1)."""


class Continue(Protocol):
    """`con`: whether the episode continues, and the discount. An `nn.Module`; owns its parameters, if any.

    Built as `con(F, style, discount, layers=..., units=..., **options)`.
    outer_discount: the factor that `pred` contains in addition to the predicted probability, 1 if it contains none.
    """

    outer_discount: float

    def losses(self, feat: Tensor, is_terminal: Tensor) -> Losses:
        """(B, T, F), bool (B, T) -> {"con": (B, T)}, or {} if nothing is learned. Once an update."""

    def pred(self, feat: Tensor) -> Tensor:
        """(..., F) -> discount (...) of the future of a state, in [0, discount]. Called on imagined states."""

    def start_discount(self, is_terminal: Tensor) -> Tensor:
        """bool (N,) -> true discount (N,) of the replayed states that imagination starts from."""


# Behaviour


class Returns(Protocol):
    """`returns`: lambda-returns, and which states train the actor and the critic. Stateless.

    min_horizon: shortest imagination horizon that leaves a state for every loss.
    """

    min_horizon: int

    def first_con(self, pred: Tensor, con: Continue, is_terminal: Tensor, discount: float) -> Tensor:
        """Discount of the start states (N,), from the predicted one (N,) and the replayed flags (N,)."""

    def __call__(self, reward: Tensor, value: Tensor, con: Tensor, outer_discount: float) -> Targets:
        """Predictions (N, H+1) at the imagined states, the start included -> targets. Once an update."""

    def replay(self, reward: Tensor, is_last: Tensor, is_terminal: Tensor, boot: Tensor, discount: float) -> Tensor:
        """Returns of a replayed sequence, bootstrapped from imagined returns `boot`: all (B, T) -> (B, T-1)."""


class Slow(Protocol):
    """`slow`: the slow critic. An `nn.Module`; owns the copy of the critic and its count of updates."""

    def setup(self, critic: Head) -> None:
        """Called once, after the critic is initialised."""

    def target(self, critic: Head, feat: Tensor) -> Tensor:
        """(..., F) -> values (...) for returns and baseline."""

    def regularize(self, critic: Head, out: Tensor, feat: Tensor) -> Tensor:
        """Outputs of the critic on feat (..., F) -> loss (...) to add to the critic's."""

    def update(self, critic: Head) -> None:
        """Called after every update, when the critic has taken its step."""


class ReplayValueLoss(Protocol):
    """`replay_value`: the critic's loss on replayed steps. Stateless.

    scales: loss name -> weight. trained_groups: loss name -> parameter groups. through_model: whether the gradient
    reaches the world model; it then needs an order that keeps the graph.
    """

    scales: dict[str, float]
    trained_groups: dict[str, tuple[str, ...]]
    through_model: bool

    def __call__(self, behavior: Behavior, states: LatentState, batch: Batch, ret: Tensor) -> Losses:
        """Replayed states (B, T), imagined returns (N, H) -> losses (B, T-1) by name. Once an update."""


class ActionDistribution(Protocol):
    """The action distribution, a set of pure functions of network outputs `out` (..., sum of widths). Stateless.

    randomness: what `noise` draws, "normal", "uniform" or "gumbel". draws: samples that `mode` takes; 0 if it is exact.
    """

    randomness: str
    draws: int

    def widths(self, actions: int) -> tuple[int, ...]:
        """A -> network outputs, one linear layer for each number."""

    def noise(self, *shape: int, device: Device = None) -> Tensor:
        """Randomness of shape (*shape), whose last axis is A, for `sample`, and for `mode` and `entropy` if `draws`."""

    def sample(self, out: Tensor, noise: Tensor) -> Tensor:
        """out, (..., A) -> action (..., A), differentiable. Called at every imagined and every acting step."""

    def mode(self, out: Tensor, noise: Tensor | None = None) -> Tensor:
        """out -> most likely action (..., A). Called in evaluation."""

    def log_prob(self, out: Tensor, action: Tensor) -> Tensor:
        """out, (..., A) -> (...). Called once an update by the actor loss."""

    def entropy(self, out: Tensor, noise: Tensor | None = None) -> Tensor:
        """out -> (...), in nats. Called once an update by the actor loss."""

    def entropy_range(self, actions: int) -> tuple[float, float]:
        """Lowest and highest entropy for A actions; they scale the metric `train/randomness`."""


class ContinuousPolicy(ActionDistribution, Protocol):
    """`policy_cont`: actions in R^A; the environment's adapter clips them to [-1, 1]."""

    def mean_action(self, out: Tensor) -> Tensor:
        """out -> (..., A), without randomness. Called for the metric `train/saturation`."""


class DiscretePolicy(ActionDistribution, Protocol):
    """`policy_disc`: concatenated one-hots. Built as `policy_disc(classes, **options)`, one size per dimension."""

    def logits(self, out: Tensor) -> list[Tensor]:
        """out (..., A) -> log-probabilities (..., C), one tensor for each dimension."""


class ActorGradient(Protocol):
    """`grad_cont`, `grad_disc`: the objective that the actor maximises. Stateless.

    through_model: whether imagination builds a graph. stop_action: whether log-probabilities are of detached actions.
    reads_logp: whether the objective uses them. mix: a number or a schedule of agent steps, passed to each call.
    """

    through_model: bool
    stop_action: bool
    reads_logp: bool
    mix: float | str

    def __call__(self, norm: Advantage, ret: Tensor, value: Tensor, logp: Tensor, mix: Tensor | float) -> Tensor:
        """Normaliser, returns, values, log-probabilities (N, L), current `mix` -> objective (N, L). Once an update."""


class Advantage(Protocol):
    """`advantage`: normalises returns or advantages. An `nn.Module`; running statistics are buffers.

    `update` runs before the update is known to be finite. The agent restores the buffers if it is not.
    """

    def update(self, ret: Tensor, advantage: Tensor) -> None:
        """Returns and advantages (N, L), detached. Called once an update, before `forward`."""

    def __call__(self, x: Tensor) -> Tensor:
        """Returns or advantages (N, L) -> normalised (N, L)."""

    def buffers(self) -> Iterable[Tensor]:
        """The running statistics, as `nn.Module` returns them."""


class RewardNorm(Protocol):
    """`reward_norm`: normalises imagined rewards. An `nn.Module`; running statistics are buffers, as in `Advantage`."""

    def __call__(self, reward: Tensor) -> Tensor:
        """(N, H+1) -> (N, H+1). Once an update; also updates the statistics."""

    def buffers(self) -> Iterable[Tensor]:
        """The running statistics, as `nn.Module` returns them."""


class Explore(Protocol):
    """`explore`: changes actions on their way to the environment.

    Stateless, unless it also learns: then it derives from `Explorer` in `common/agent/explore.py`.
    """

    def __call__(self, action: Tensor, discrete: DiscretePolicy | None, mode: str, step: float) -> Tensor:
        """(n, A) -> (n, A). discrete: the policy of discrete actions. mode: "train" or "eval". step: agent steps."""


# Training


class Order(Protocol):
    """`order`: the sequence of losses, gradients and steps of one update. Stateless.

    keeps_graph: whether behaviour losses may send gradients into the world model. learns_behavior: whether actor and
    critic learn; only then does the update draw the randomness of imagination.
    """

    keeps_graph: bool
    learns_behavior: bool

    def __call__(self, agent: Agent, batch: Batch, step: float, noise: Noise) -> tuple[Losses, LatentState, Metrics]:
        """Batch -> losses by name, replayed states (B, T), metrics. Once an update; see `Agent.update`."""


class Clip(Protocol):
    """`clip`: clips gradients. Stateless."""

    def __call__(self, groups: Groups, grads: Gradients) -> Metrics:
        """Clip the gradients of some groups in place; return their norms before. Once for each backward pass."""


class Optim(Protocol):
    """`optim`: one update rule for all groups. An `nn.Module`; moments and step counts are extra state."""

    groups: Groups

    def setup(self, groups: Groups, clip: Clip) -> None:
        """Called once with all parameters; creates the moments."""

    def differentiate(self, losses: Losses, trained_groups: dict[str, tuple[str, ...]]) -> tuple[Metrics, Gradients]:
        """Scaled scalar losses, groups of each -> gradient norms, clipped gradients by group. Takes no step."""

    def step_groups(self, grads: Gradients) -> None:
        """Update every group that has gradients."""

    def make_restorer(self, names: Iterable[str]) -> Callable[[], object]:
        """Return a function that undoes all later steps of the groups `names`."""


class Schedule(Protocol):
    """`schedule`: how many updates follow an agent step. Owned by the training loop."""

    def due(self, agent_steps: int, *, repeat: int, replayed_per_update: int) -> int:
        """Updates to make now, after `agent_steps` steps over all environments of `repeat` frames each."""

    def state(self) -> dict:
        """State for the checkpoint, as plain Python."""

    def restore(self, state: dict) -> None:
        """Load what `state` returned."""
