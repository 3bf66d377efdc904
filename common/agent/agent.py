"""The agent of every version: acting, and the one update.

Shapes: B batch, T time, n environments, A action (one-hot for discrete), D deter, Z stoch.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from common.agent.acting import Acting, ActingState, action_sizes
from common.agent.behavior import Behavior
from common.agent.explore import Explorer, explorer_of
from common.agent.interfaces import (
    Batch,
    Config,
    DiscretePolicy,
    Explore,
    Gradients,
    Groups,
    Latent,
    Losses,
    Metrics,
    Noise,
    Optim,
    Order,
)
from common.agent.rssm import LatentState
from common.agent.update_guard import UpdateGuard
from common.agent.world_model import WorldModel
from common.config import parts
from common.errors import UserError
from common.nn.activations import RecomputeActivations, use_activations
from common.nn.compile import Compiler, compiling, use_bfloat16
from common.nn.launch import Launcher
from common.nn.machine import use_exact_float32
from common.nn.nets import frozen
from common.nn.ranks import average_metrics
from common.nn.sections import section

Arrays = dict[str, np.ndarray]
FLAGS = ("is_first", "is_last", "is_terminal")


class Agent(nn.Module):
    """World model and behaviour, built from spaces and a resolved config.

    The versions differ in their parts only; `common/agent/interfaces.py` has the contract of each part.
    """

    def __init__(
        self, obs_space: spaces.Space, act_space: spaces.Space, config: Config, device: str | torch.device = "cpu"
    ):
        super().__init__()
        if not isinstance(obs_space, spaces.Dict):
            raise TypeError(f"Observations must be a Dict space, got {obs_space}.")
        self.config, self.device = config, torch.device(device)
        if self.device.type == "cuda":
            use_exact_float32()
        self.half: bool = use_bfloat16(config["run"]["precision"], self.device)  # type: ignore[method-assign,assignment]
        self.compiler: Compiler | None = None  # if set, compiles the hot functions of the update
        self.launcher = Launcher()  # how the update is launched
        self.actions, self.classes = action_sizes(act_space)
        self.world = WorldModel(obs_space, self.actions, config)
        self.behavior = Behavior(self.world.rssm.feat_size, self.actions, self.classes, config)
        self.acting = Acting(self.world.encoder, self.world.rssm, self.behavior.actor, self.classes)
        self.latent: Latent = self.world.rssm.latent
        self.order: Order = parts.build("order", config["order"])
        self.explore: Explore = parts.build("explore", config["explore"])
        self.explorer.setup(self.world, self.acting, config)
        self.discrete: DiscretePolicy | None = self.acting.discrete
        self.check_config()
        if config["run"]["recompute_activations"]:
            use_activations(self, RecomputeActivations(random=len(self.world.rssm.priors) > 1))
        self.to(self.device)
        self.optim: Optim = parts.build("optim", self.with_learning_rates(config["optim"]))
        self.optim.setup(self.groups(), parts.build("clip", config["clip"]))
        self.scales = self.loss_scales()
        # A loss that is not listed trains the world model.
        self.trained_groups = {"actor": ("actor",), "critic": ("critic",)} | self.behavior.replay_value.trained_groups
        self.trained_groups |= self.explorer.trained_groups
        self.guard = UpdateGuard()

    @property
    def explorer(self) -> Explorer:
        """The exploration that learns; it has no parameters if `explore` only adds noise."""
        return explorer_of(self.explore)

    def with_learning_rates(self, optim: Config) -> Config:
        """Return the config block of the optimiser with the learning rates of exploration."""
        rates = self.explorer.learning_rates()
        return optim | {"lr": optim["lr"] | rates} if rates else optim

    def check_config(self) -> None:
        """Raise UserError for a combination of parts that cannot work."""
        value, imagination = self.behavior.replay_value, self.config["imagination"]
        self.check_lengths()
        if value.scales and (imagination["last"] or imagination["drop_last"]):
            raise UserError(
                "replay_value.use ReplayValue needs an imagined return for every replayed step: "
                "set --imagination.last 0 --imagination.drop_last 0, or --replay_value.use NoReplayValue."
            )
        if value.through_model and not self.order.keeps_graph:
            raise UserError(
                "replay_value.grad true sends a gradient into the world model, but order.use ModelFirst has updated it "
                "by then: set --order.use Joint, or --replay_value.grad false."
            )

    def check_lengths(self) -> None:
        """Raise UserError for sequences too short for a loss: its mean over zero steps would be NaN."""
        horizon, shortest = self.config["imagination"]["horizon"], self.behavior.returns.min_horizon
        if horizon < shortest:
            use = self.config["returns"]["use"]
            raise UserError(f"returns.use {use} needs imagination.horizon >= {shortest}, got {horizon}.")
        length, dropped = self.config["batch_length"], self.config["imagination"]["drop_last"]
        least = max(1 + dropped, 2 if self.behavior.replay_value.scales else 1)
        if length < least:
            raise UserError(
                f"batch_length must be at least {least} with imagination.drop_last {dropped} and replay_value.use "
                f"{self.config['replay_value']['use']}, got {length}."
            )

    def groups(self) -> Groups:
        """Return the parameters by group. The groups are disjoint; the slow critic is in no group."""
        modules = {"model": self.world, "actor": self.behavior.actor, "critic": self.behavior.critic}
        groups: Groups = {name: [*module.parameters()] for name, module in modules.items()}
        for name, params in self.explorer.groups().items():
            groups[name] = groups.get(name, []) + params
        return groups

    def loss_scales(self) -> dict[str, float]:
        """Return the weight of every loss. Raise UserError if an observation key is the name of another loss."""
        loss = self.config["loss"]
        decoder = self.world.decoder
        scales = {key: loss["rec"] for key in decoder.images + decoder.vectors}
        names = {"reward", "con", "actor", "critic", "kl", "dyn", "rep", "repval", *self.explorer.scales}
        clash = names & set(scales)
        if clash:
            raise UserError(f"Observation keys {sorted(clash)} are names of losses: rename them in the environment.")
        scales |= {"reward": loss["reward"], "con": loss["con"], "actor": loss["actor"], "critic": loss["critic"]}
        return scales | self.world.kl.scales | self.behavior.replay_value.scales | self.explorer.scales

    def parameter_table(self) -> dict[str, int]:
        """Return the number of trained parameters of each module."""
        world, behavior = self.world, self.behavior
        modules = {name: getattr(world, name) for name in ("encoder", "rssm", "decoder", "reward", "con")}
        modules |= {"actor": behavior.actor, "critic": behavior.critic}
        table = {name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()}
        return table | self.explorer.parameter_table()

    @property
    def read_keys(self) -> set[str]:
        """Keys of the observations that the encoder reads or the decoder predicts."""
        encoder, decoder = self.world.encoder, self.world.decoder
        return {*encoder.images, *encoder.vectors, *decoder.images, *decoder.vectors}

    # Acting

    def initial(self, n: int) -> ActingState:
        """Return the acting state of n environments before their first record."""
        return self.acting.initial(n, self.device)

    @torch.no_grad()
    def act(
        self, record: Arrays, state: ActingState, mode: str = "train", step: float = 0
    ) -> tuple[np.ndarray, Arrays, ActingState]:
        """Choose the next actions of n environments.

        record: arrays (n, ...). mode: "train" (sampled, with exploration noise) or "eval" (by `actor.eval`).
        step: agent steps so far. Returns environment actions, arrays to store with the record, the new state.
        """
        obs = self.to_tensors(record)
        way = self.config["actor"]["eval"] if mode == "eval" else "sample"
        with self.autocast(acting=True):
            latent, action = self.explorer.acting(self.acting, mode, step).step(obs, state, way)
        action = self.explore(action, self.discrete, mode, step)
        action = action.masked_fill(obs["is_last"][:, None], 0.0)
        extras = {"action": action.cpu().numpy()} | self.latent_arrays(latent)
        return self.env_action(action), extras, {"deter": latent.deter, "stoch": latent.stoch, "action": action}

    def env_action(self, action: Tensor) -> np.ndarray:
        """Convert actions (n, A) to those of the environments: (n, A) in [-1, 1], indices (n,) or (n, k)."""
        return self.acting.to_env_action(action).cpu().numpy()

    def random(self, n: int) -> tuple[np.ndarray, Arrays]:
        """Return uniform actions of n environments for the prefill, and arrays to store (with zero latents)."""
        shape = (n, self.actions)
        if self.discrete is not None:
            action = self.discrete.sample(torch.zeros(shape), self.discrete.noise(*shape))
        else:
            action = torch.rand(shape) * 2 - 1
        state = self.initial(n)
        latents = self.latent_arrays(LatentState(state["deter"], state["stoch"]))
        return self.env_action(action), {"action": action.numpy()} | latents

    def latent_spec(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return shape and dtype of the latents that the replay stores with each record; {} if it stores none."""
        latents = self.stored_latents(self.world.rssm.initial(1, self.device).detach())
        return {key: (x.shape[1:], torch.empty(0, dtype=x.dtype).numpy().dtype) for key, x in latents.items()}

    def latent_arrays(self, state: LatentState) -> Arrays:
        """Convert latents to the arrays that the replay stores."""
        return {key: x.cpu().numpy() for key, x in self.stored_latents(state).items()}

    def stored_latents(self, state: LatentState) -> dict[str, torch.Tensor]:
        """Return what the replay stores of latents: deter in half precision, stoch packed; {} without context."""
        if not self.config["replay"]["context"]:
            return {}
        return {"deter": state.deter.half(), "stoch": self.latent.pack(state.stoch)}

    # Learning

    def update(self, batch: Mapping[str, Any], step: float = 0, noise: Noise | None = None) -> tuple[Metrics, Arrays]:
        """Train once on a batch of arrays (B, T, ...).

        step: agent steps so far. noise: randomness to use instead of fresh samples, for tests.
        Returns metrics (scalars) and the new latents (B, T, ...) for the replay, with priorities if it samples by them.
        Raises NonFiniteError if a loss or a gradient is not finite; the agent is then as it was before.
        """
        tensors = self.to_tensors(batch)
        losses, states, stats = self.run_order(tensors, step, noise or self.noise(*tensors["reward"].shape))
        latents = self.latent_arrays(states.detach()) | self.priorities(
            losses
        )  # waits for the device: the guard's check then costs nothing
        self.guard.check_finite()
        self.optim.step_groups(self.guard.pending)
        self.behavior.slow.update(self.behavior.critic)
        self.explorer.finish_update()
        metrics = {f"loss/{name}": loss.detach().mean() for name, loss in losses.items()}
        return average_metrics(metrics | stats), latents

    def priorities(self, losses: Losses) -> Arrays:
        """Return {"priority": (B, T)}, the sum of decoder and KL losses of each record; {} if no sampler reads it.

        Source: V3 of 2024, `agent.py`, `priosignal` model.
        """
        if not self.config["sampler"].get("priority"):
            return {}
        decoder = self.world.decoder
        names = [*decoder.images, *decoder.vectors, *self.world.kl.scales]
        return {"priority": torch.stack([losses[name].detach().float() for name in names]).sum(0).cpu().numpy()}

    def run_order(self, batch: Batch, step: float, noise: Noise) -> tuple[Losses, LatentState, Metrics]:
        """Run the order of the update; run it again if a backward pass could not be compiled."""
        self.guard = UpdateGuard()
        self.guard.snapshot(self.behavior.running_statistics() + self.explorer.running_statistics())

        def compute(batch: Batch, noise: Noise) -> tuple[Any, ...]:
            return *self.order(self, batch, step, noise), self.guard.stages, self.guard.pending

        try:
            with compiling(self.compiler):
                losses, states, stats, self.guard.stages, self.guard.pending = self.launcher.run(compute, batch, noise)
                return losses, states, stats
        except RuntimeError as error:
            if self.compiler is None or not self.compiler.can_retry(error):
                raise
        self.guard.roll_back()
        return self.run_order(batch, step, noise)

    def noise(self, batch: int, length: int) -> Noise:
        """Draw the randomness of one update on a batch (B, T)."""
        starts = self.behavior.start_steps(torch.empty(batch, length)).numel()
        post = self.latent.noise(length, batch, device=self.device)
        noise = {"post": post}
        if self.order.learns_behavior:
            noise |= self.behavior.noise(self.latent, starts, self.device)
        return noise | self.explorer.noise(batch, length, self.device)

    def autocast(self, acting: bool = False) -> AbstractContextManager:
        """Compute matrix products and convolutions in bfloat16; the rest stays float32.

        Weights are cast where they are used, so that their gradients add up in float32 over the steps of a sequence.
        Acting on a CPU stays in float32: for a few environments, casting the weights costs more than it saves.
        """
        half = bool(self.half) and not (acting and self.device.type == "cpu")
        return torch.autocast(self.device.type, torch.bfloat16, enabled=half, cache_enabled=False)

    def model_losses(self, batch: Batch, noise: Noise) -> tuple[Losses, LatentState, Metrics]:
        """Return losses (B, T) of the world model, posterior states (B, T), metrics."""
        with section("world model"), self.autocast():
            embed, states, post = self.world.infer(batch, noise["post"], self.context(batch))
            losses, stats = self.world.losses(states, post, batch)
            more, extra = self.explorer.model_losses(self.world, states.detach(), embed.detach(), batch, noise)
        return losses | more, states, stats | extra

    def behavior_losses(self, states: LatentState, batch: Batch, step: float, noise: Noise) -> tuple[Losses, Metrics]:
        """Return losses of actor and critic, metrics. No gradient reaches the parameters of the world model."""
        with frozen(self.world), self.autocast():
            losses, stats = self.behavior.losses(self.world, states, batch, step, noise)
            more, extra = self.explorer.behavior_losses(self.world, states, batch, step, noise)
        return losses | more, stats | extra

    def context(self, batch: Batch) -> LatentState | None:
        """Return the state before the first step of the batch if the replay stores latents, else None."""
        if "context_deter" not in batch:
            return None
        return LatentState(batch["context_deter"].float(), self.latent.unpack(batch["context_stoch"]))

    def step_now(self, losses: Losses) -> Metrics:
        """Differentiate the losses and step their groups at once; the guard can undo it. Return gradient norms."""
        norms, grads = self.differentiate(losses)

        def step() -> None:
            self.guard.undo.append(self.optim.make_restorer(grads))
            self.optim.step_groups(grads)

        self.launcher.on_host(step)
        return norms

    def step_later(self, losses: Losses) -> Metrics:
        """Differentiate the losses; their groups step when the guard has found the update finite.

        Return gradient norms. Nothing but metrics may follow in the update.
        """
        norms, grads = self.differentiate(losses)
        self.guard.pending |= grads
        return norms

    def differentiate(self, losses: Losses) -> tuple[Metrics, Gradients]:
        """Return gradient norms as metrics and clipped gradients by group, of the scaled means of the losses."""
        scaled = {name: self.scales[name] * loss.mean() for name, loss in losses.items()}
        norms, grads = self.optim.differentiate(scaled, {name: self.groups_trained_by(name) for name in losses})
        metrics = {f"grad/{name}": norm for name, norm in norms.items()}
        self.guard.add_stage({f"loss/{name}": loss for name, loss in scaled.items()} | metrics)
        return metrics, grads

    def groups_trained_by(self, loss: str) -> tuple[str, ...]:
        """Return the groups of parameters that a loss trains."""
        return self.trained_groups.get(loss, ("model",))

    def report(self, batch: Mapping[str, Any], context: int = 5) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Predict open loop after `context` steps; return (truth, prediction) of each observation key.

        Images are in [0, 1] (B, T, H, W, C); vectors (B, T, ...) and numbers (B, T) are in observed units.
        """
        tensors = self.to_tensors(batch)
        size, length = tensors["reward"].shape
        noise = self.latent.noise(length, size, device=self.device)
        models = self.world.open_loop(tensors, noise[:context], noise[context:], context)
        decoder = self.world.decoder
        truth = {key: tensors[key].float() / (255 if key in decoder.images else 1) for key in models}
        pair = lambda key: (truth[key].cpu().numpy(), models[key].reshape(truth[key].shape).cpu().numpy())
        return {key: pair(key) for key in models}

    def to_tensors(self, arrays: Mapping[str, Any]) -> Batch:
        """Copy arrays to the device as tensors; flags become bool. The entry "log" is dropped."""
        tensor: Callable[[Any], Tensor] = lambda x: torch.as_tensor(np.asarray(x)).to(self.device, non_blocking=True)
        return {key: tensor(x).bool() if key in FLAGS else tensor(x) for key, x in arrays.items() if key != "log"}
