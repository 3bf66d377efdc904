"""The agent: acting, and the one training step. Whatever a version may change is a part.

Shapes: B batch, T time, n environments, A action (one-hot for discrete), D deter, Z stoch.
"""

import numpy as np
import torch
from torch import nn

from common.agent.acting import Acting, action_sizes
from common.agent.behavior import Behavior
from common.agent.rssm import LatentState
from common.agent.update_guard import UpdateGuard
from common.agent.world_model import WorldModel
from common.config import parts
from common.errors import UserError
from common.nn.compile import Compiler, compiling, use_bfloat16
from common.nn.frozen import frozen
from common.nn.sections import section

FLAGS = ("is_first", "is_last", "is_terminal")


class Agent(nn.Module):
    """World model and behaviour, built from spaces and a resolved config."""

    def __init__(self, obs_space, act_space, config, device="cpu"):
        super().__init__()
        self.config, self.device = config, torch.device(device)
        self.half = use_bfloat16(config["run"]["precision"], self.device)
        self.compiler: Compiler | None = None  # compiles the hot functions of the update, if set
        self.actions, self.classes = action_sizes(act_space)
        self.world = WorldModel(obs_space, self.actions, config)
        self.behavior = Behavior(self.world.rssm.feat_size, self.actions, self.classes, config)
        self.acting = Acting(self.world.encoder, self.world.rssm, self.behavior.actor, self.classes)
        self.latent = self.world.rssm.latent
        self.order, self.explore = (parts.build(seam, config[seam]) for seam in ("order", "explore"))
        self.discrete = self.behavior.actor.dist if self.classes else None
        self.check_config()
        self.to(self.device)
        self.optim = parts.build("optim", config["optim"])
        self.optim.setup(self.groups(), parts.build("clip", config["clip"]))
        self.scales = self.loss_scales()
        # Every other loss trains the world model.
        self.trained_groups = {"actor": ("actor",), "critic": ("critic",)} | self.behavior.replay_value.trained_groups
        self.guard = UpdateGuard()

    def check_config(self):
        """Refuses combinations that make no sense, by name."""
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

    def check_lengths(self):
        """Refuses sequences too short to hold a step of every loss: its mean would be no number."""
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

    def groups(self):
        """Name -> parameters, disjoint; the slow critic is in none."""
        modules = {"model": self.world, "actor": self.behavior.actor, "critic": self.behavior.critic}
        return {name: list(module.parameters()) for name, module in modules.items()}

    def loss_scales(self):
        loss = self.config["loss"]
        decoder = self.world.decoder
        scales = {key: loss["rec"] for key in decoder.images + decoder.vectors}
        clash = {"reward", "con", "actor", "critic", "kl", "dyn", "rep", "repval"} & set(scales)
        if clash:
            raise UserError(f"Observation keys {sorted(clash)} are names of losses: rename them in the environment.")
        scales |= {"reward": loss["reward"], "con": loss["con"], "actor": loss["actor"], "critic": loss["critic"]}
        return scales | self.world.kl.scales | self.behavior.replay_value.scales

    def parameter_table(self):
        """Module -> number of trained parameters."""
        world, behavior = self.world, self.behavior
        modules = {name: getattr(world, name) for name in ("encoder", "rssm", "decoder", "reward", "con")}
        modules |= {"actor": behavior.actor, "critic": behavior.critic}
        return {name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()}

    # Acting

    def initial(self, n):
        """Acting state of n environments before their first record."""
        return self.acting.initial(n, self.device)

    @torch.no_grad()
    def act(self, record, state, mode="train", step=0):
        """Record of (n, ...) arrays, acting state -> environment actions, arrays to store with the record, new state.

        mode: train (sampled, with exploration noise) or eval (as `actor.eval` says). step: agent steps so far.
        """
        obs = self.to_tensors(record)
        way = self.config["actor"]["eval"] if mode == "eval" else "sample"
        with self.autocast(acting=True):
            latent, action = self.acting.step(obs, state, way)
        action = self.explore(action, self.discrete, mode, step)
        action = action.masked_fill(obs["is_last"][:, None], 0.0)
        extras = {"action": action.cpu().numpy()} | self.pack(latent)
        return self.env_action(action), extras, {"deter": latent.deter, "stoch": latent.stoch, "action": action}

    def env_action(self, action):
        """(n, A) tensor -> what the environments take: (n, A) in [-1, 1], (n,) or (n, k) indices."""
        return self.acting.to_env_action(action).cpu().numpy()

    def random(self, n):
        """Uniform actions of n environments for the prefill, with arrays to store (zero latents)."""
        shape = (n, self.actions)
        if self.classes:
            action = self.discrete.sample(torch.zeros(shape), self.discrete.noise(*shape))
        else:
            action = torch.rand(shape) * 2 - 1
        state = self.initial(n)
        return self.env_action(action), {"action": action.numpy()} | self.pack(
            LatentState(state["deter"], state["stoch"])
        )

    def latent_spec(self):
        """Latents that the replay keeps with each record: name -> (shape, dtype); {} without replay context."""
        stored = self.stored(self.world.rssm.initial(1, self.device).detach())
        return {key: (x.shape[1:], torch.empty(0, dtype=x.dtype).numpy().dtype) for key, x in stored.items()}

    def pack(self, state):
        """Latent state -> arrays for the replay."""
        return {key: x.cpu().numpy() for key, x in self.stored(state).items()}

    def stored(self, state):
        """Latent state -> what the replay keeps of it: half precision deter and compact stoch."""
        if not self.config["replay"]["context"]:
            return {}
        return {"deter": state.deter.half(), "stoch": self.latent.pack(state.stoch)}

    # Learning

    def update(self, batch, step=0, noise=None):
        """One training step on a batch of (B, T, ...) arrays -> metrics (scalar tensors), latents for the replay.

        noise: randomness to use instead of fresh samples, for tests.

        Raises NonFinite, with the agent as it was before, if a loss or a gradient is not finite.
        """
        batch = self.to_tensors(batch)
        losses, states, stats = self.run_order(batch, step, noise or self.noise(*batch["reward"].shape))
        latents = self.pack(states.detach())  # waits for the device: the guard's look then costs nothing
        self.guard.check_finite()
        self.optim.apply(self.guard.pending)
        self.behavior.slow.update(self.behavior.critic)
        metrics = {f"loss/{name}": loss.detach().mean() for name, loss in losses.items()}
        return metrics | stats, latents

    def run_order(self, batch, step, noise):
        """What the order of the update returns; once more if a backward pass could not be compiled."""
        self.guard = UpdateGuard()
        self.guard.snapshot(self.behavior.running_statistics())
        try:
            with compiling(self.compiler):
                return self.order(self, batch, step, noise)
        except RuntimeError as error:
            if self.compiler is None or not self.compiler.can_retry(error):
                raise
        self.guard.roll_back()
        return self.run_order(batch, step, noise)

    def noise(self, batch, length):
        """Randomness of one update."""
        starts = self.behavior.start_steps(torch.empty(batch, length)).numel()
        post = self.latent.noise(length, batch, device=self.device)
        return {"post": post} | self.behavior.noise(self.latent, starts, self.device)

    def autocast(self, acting=False):
        """bfloat16 in matrix products and convolutions; parameters, norms, distributions and losses stay float32.

        Weights are cast where they are used, so that their gradients add up in float32 over the steps of a sequence.
        Acting on a CPU stays in float32: for a few environments casting the weights costs more than it saves.
        """
        half = self.half and not (acting and self.device.type == "cpu")
        return torch.autocast(self.device.type, torch.bfloat16, enabled=half, cache_enabled=False)

    def model_losses(self, batch, noise):
        with section("world model"), self.autocast():
            return self.world.loss(batch, noise["post"], self.context(batch))

    def behavior_losses(self, states, batch, step, noise):
        with frozen(self.world), self.autocast():
            return self.behavior.losses(self.world, states, batch, step, noise)

    def context(self, batch):
        """State before the first step of the batch, from latents stored in the replay; None without them."""
        if "context_deter" not in batch:
            return None
        return LatentState(batch["context_deter"].float(), self.latent.unpack(batch["context_stoch"]))

    def step(self, losses):
        """Scales the mean losses, differentiates and updates, for the guard to undo. Returns gradient norms."""
        norms, grads = self.differentiate(losses)
        self.guard.undo.append(self.optim.make_restorer(grads))
        self.optim.apply(grads)
        return norms

    def step_later(self, losses):
        """As `step`, but groups move when the update has proved sound. Only metrics may follow."""
        norms, grads = self.differentiate(losses)
        self.guard.pending |= grads
        return norms

    def differentiate(self, losses):
        """Losses -> gradient norms as metrics, clipped gradients by group."""
        scaled = {name: self.scales[name] * loss.mean() for name, loss in losses.items()}
        norms, grads = self.optim.differentiate(scaled, {name: self.groups_trained_by(name) for name in losses})
        metrics = {f"grad/{name}": norm for name, norm in norms.items()}
        self.guard.add_stage({f"loss/{name}": loss for name, loss in scaled.items()} | metrics)
        return metrics, grads

    def groups_trained_by(self, loss):
        """Groups of parameters that a loss trains."""
        return self.trained_groups.get(loss, ("model",))

    def report(self, batch, context=5):
        """Open-loop predictions after `context` steps: key -> (truth, model).

        Images are in [0, 1] (B, T, H, W, C), everything else is as it is observed: (B, T, ...), numbers (B, T).
        """
        batch = self.to_tensors(batch)
        size, length = batch["reward"].shape
        noise = self.latent.noise(length, size, device=self.device)
        models = self.world.open_loop(batch, noise[:context], noise[context:], context)
        decoder = self.world.decoder
        truth = {key: batch[key].float() / (255 if key in decoder.images else 1) for key in models}
        pair = lambda key: (truth[key].cpu().numpy(), models[key].reshape(truth[key].shape).cpu().numpy())
        return {key: pair(key) for key in models}

    def to_tensors(self, arrays):
        """Arrays -> tensors on the device; flags become bool, rewards float."""
        tensor = lambda x: torch.as_tensor(np.asarray(x)).to(self.device, non_blocking=True)
        return {key: tensor(x).bool() if key in FLAGS else tensor(x) for key, x in arrays.items() if key != "log"}
