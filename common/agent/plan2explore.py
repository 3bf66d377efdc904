"""Plan2Explore: explore where an ensemble disagrees about the next latent state.

Sekar et al. 2020, arXiv 2005.05960; code ramanans1/plan2explore (V1), danijar/dreamerv2 `expl.py`, danijar/dreamerv3 of
2023 `expl.py`. The options hold what differs between them; configs/ has the values of each version, docs/exploration.md
the deviations.
"""

from typing import Any

import torch
from torch import Tensor, nn

from common.agent.acting import Acting
from common.agent.behavior import Behavior
from common.agent.ensemble import Ensemble
from common.agent.exploration_behavior import ExplorationBehavior, RewardMix
from common.agent.explore import DisagreementModel, Explorer
from common.agent.interfaces import Batch, Config, Device, DiscretePolicy, Explore, Groups, Losses, Metrics, Noise
from common.agent.rssm import LatentState
from common.agent.valuation import Valuation
from common.agent.world_model import WorldModel
from common.config import parts
from common.errors import UserError, check_choice
from common.nn.nets import Style, frozen
from common.nn.sections import section

PREFIX = "explore_"  # of losses and groups of the actor-critic of exploration


class Plan2Explore(Explorer):
    """`explore` part: an actor-critic of its own explores until frame `until`; then the task's policy acts.

    until: frames; 0 for the whole run. Evaluation always uses the task's policy. amount, decay, minimum, eval: noise on
    actions, as in `ActionNoise`. intr_scale, extr_scale: of disagreement and predicted reward; extr_scale 0 explores
    without any reward. mix: see `RewardMix`. momentum, norm_scale, norm_eps: `StreamNorm` of each reward.

    models, net, layers, units, factor, average, spread, log: see `Ensemble`. layers, units 0: those of `mlp.critic`, or
    two layers of the target's width for `net` action_layers. inputs: "feat", "deter", or "prior" (the feature with a
    sample of the prior). target: "stoch", "deter", "feat" or "embed", `offset` steps later. action: the one that led to
    the inputs ("arrival"), the one chosen there ("departure"), or "none". bootstrap: each member sees replay rows drawn
    with replacement. mask_first: pairs across the start of an episode do not count. scale: of the ensemble's loss.
    shared: the ensemble trains with the optimiser and clipping of the world model, otherwise with its own rate lr.
    reward_grad: whether the actor gets the gradient of the disagreement where imagination has one.
    """

    def __init__(
        self, *, until: int = 0, intr_scale: float = 0.1, extr_scale: float = 1.0, mix: str = "advantage",
        momentum: float = 1.0, norm_scale: float = 1.0, norm_eps: float = 1e-8, amount: float = 0.0,
        decay: float = 0.0, minimum: float = 0.0, eval: float = 0.0, models: int = 8, net: str = "mlp",
        layers: int = 0, units: int = 0, inputs: str = "feat", target: str = "stoch", offset: int = 1,
        action: str = "departure", factor: float = 1.0, average: bool = False, bootstrap: bool = False,
        mask_first: bool = True, scale: float = 1.0, shared: bool = False, lr: float = 4e-5, spread: str = "std",
        log: bool = False, reward_grad: bool = True,
    ):  # fmt: skip
        super().__init__()
        check_choice("explore.mix", mix, ("reward", "advantage"))
        check_choice("explore.net", net, ("mlp", "action_layers"))
        check_choice("explore.inputs", inputs, ("feat", "deter", "prior"))
        check_choice("explore.target", target, ("stoch", "deter", "feat", "embed"))
        check_choice("explore.action", action, ("arrival", "departure", "none"))
        check_choice("explore.spread", spread, ("std", "var"))
        norm = {"use": "StreamNorm", "momentum": momentum, "scale": norm_scale, "eps": norm_eps}
        self.mix, self.until = RewardMix(mix, intr_scale, extr_scale, norm), until
        noise = {"use": "ActionNoise", "amount": amount, "decay": decay, "minimum": minimum, "eval": eval}
        self.action_noise: Explore = parts.build("explore", noise)
        self.models, self.net, self.layers, self.units = models, net, layers, units
        self.inputs, self.target, self.offset, self.action = inputs, target, offset, action
        self.bootstrap, self.mask_first, self.shared, self.lr = bootstrap, mask_first, shared, lr
        self.ensemble_options: dict[str, Any] = {"factor": factor, "average": average, "spread": spread, "log": log}
        self.reward_grad = reward_grad
        self.scales = {"ensemble": scale}

    # Construction

    def setup(self, world: WorldModel, acting: Acting, config: Config) -> None:
        """Build ensemble and actor-critic; see `Explorer.setup`."""
        self.check(config)
        self.repeat, self.world_deter = config["env"]["repeat"], world.rssm.deter
        self.ensemble = self.build_ensemble(world, config)
        feat, actions, classes = world.rssm.feat_size, world.rssm.action, acting.classes
        self.behavior = ExplorationBehavior(
            feat, actions, classes, config, self.mix, departure=self.action == "departure"
        )
        self.behavior.disagreement = self.disagreement
        self.explorer_acting = Acting(acting.encoder, acting.rssm, self.behavior.actor, classes)
        weights = {"actor": config["loss"]["actor"]} | dict.fromkeys(self.behavior.critics(), config["loss"]["critic"])
        self.scales |= {PREFIX + name: weight for name, weight in weights.items()}
        self.trained_groups = {name: (name,) for name in self.scales}
        if self.shared:
            self.trained_groups["ensemble"] = ("model",)

    def check(self, config: Config) -> None:
        """Raise UserError for options that contradict each other or the config."""
        length, prefill = config["batch_length"], config["run"]["prefill"] * config["env"]["repeat"]
        if self.mix.intr <= 0:
            raise UserError(
                "explore.intr_scale must be above 0: with 0, nothing explores. "
                "For a run without exploration, type --explore.use NoNoise or --explore.use ActionNoise."
            )
        if self.offset >= length:
            raise UserError(f"explore.offset {self.offset} needs batch_length > {self.offset}, got {length}.")
        if self.action == "departure" and not self.offset:
            raise UserError(
                "explore.action departure is about the next state: set --explore.offset 1, or --explore.action arrival."
            )
        if 0 < self.until <= prefill:
            raise UserError(
                f"explore.until {self.until} ends within the {prefill} frames of random actions (run.prefill times "
                f"env.repeat), so exploration never acts: set --explore.until above {prefill}, or 0 for the whole run."
            )

    def build_ensemble(self, world: WorldModel, config: Config) -> Ensemble:
        """Build the ensemble for the inputs and the target of the options."""
        rssm, critic = world.rssm, config["mlp"]["critic"]
        sizes = {"stoch": rssm.latent.size, "deter": rssm.deter, "feat": rssm.feat_size, "embed": world.encoder.size}
        inp = rssm.deter if self.inputs == "deter" else rssm.feat_size
        action, out = 0 if self.action == "none" else rssm.action, sizes[self.target]
        usual = (2, out) if self.net == "action_layers" else (critic["layers"], critic["units"])
        shape = {"layers": self.layers or usual[0], "units": self.units or usual[1]}
        self.widths = inp, action
        form: dict[str, Any] = {"models": self.models, "net": self.net} | shape
        return Ensemble(inp, action, out, Style(**config["net"]), **form, **self.ensemble_options)

    def behaviors(self) -> list[Behavior]:
        """Return the actor-critic of exploration."""
        return [self.behavior]

    def valuations(self) -> list[Valuation]:
        """Return the critics of exploration with their parts."""
        return [*self.behavior.critics().values()]

    def disagreements(self) -> list[DisagreementModel]:
        """Return the ensemble, for the forecast of costs."""
        more = len(self.valuations()) - 1
        return [DisagreementModel(self.ensemble, *self.widths, self.offset, self.reward_grad, more)]

    def groups(self) -> Groups:
        """Return the parameters by group."""
        modules = {"actor": self.behavior.actor} | {name: v.critic for name, v in self.behavior.critics().items()}
        groups: Groups = {"model" if self.shared else "ensemble": [*self.ensemble.parameters()]}
        return groups | {PREFIX + name: [*module.parameters()] for name, module in modules.items()}

    def parameter_table(self) -> dict[str, int]:
        """Return the number of trained parameters of each network."""
        modules: dict[str, nn.Module] = {"ensemble": self.ensemble, PREFIX + "actor": self.behavior.actor}
        modules |= {PREFIX + name: valuation.critic for name, valuation in self.behavior.critics().items()}
        return {name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()}

    def learning_rates(self) -> dict[str, float]:
        """Return the rate of the ensemble, unless it shares that of the world model."""
        return {} if self.shared else {"ensemble": self.lr}

    def running_statistics(self) -> list[Tensor]:
        """Return the buffers that change before the update is known to be finite."""
        return self.behavior.running_statistics()

    # Acting

    def forward(self, action: Tensor, discrete: DiscretePolicy | None, mode: str, step: float) -> Tensor:
        """Add the noise of the options: (n, A) -> (n, A)."""
        return self.action_noise(action, discrete, mode, step)

    def acting(self, task: Acting, mode: str, step: float) -> Acting:
        """Return what acts: exploration in training until frame `until`, otherwise the task's policy."""
        over = 0 < self.until <= step * self.repeat
        return task if mode == "eval" or over else self.explorer_acting

    # Learning

    def noise(self, batch: int, length: int, device: Device = None) -> Noise:
        """Draw the randomness of one update on a batch (B, T), under the key `explore`."""
        latent = self.explorer_acting.rssm.latent
        starts = self.behavior.start_steps(torch.empty(batch, length)).numel()
        noise = self.behavior.noise(latent, starts, device)
        if self.bootstrap:
            noise["rows"] = torch.randint(batch, (self.models, batch), device=device)
        if self.inputs == "prior":
            noise["prior"] = latent.noise(batch, length, device=device)
        return {"explore": noise}

    def model_losses(
        self, world: WorldModel, states: LatentState, embed: Tensor, batch: Batch, noise: Noise
    ) -> tuple[Losses, Metrics]:
        """Return the ensemble's loss (B, T - offset) and its metrics."""
        noise = noise["explore"]
        with section("ensemble"):
            x, action, target, counts = self.training_pairs(world, states, embed, batch, noise.get("prior"))
            loss, errors = self.ensemble.loss(x, action, target, noise.get("rows"))
        stats = {f"explore/error_{i}": error for i, error in enumerate(errors)}
        variance = target.flatten(0, 1).var(0, correction=0).mean()
        stats["explore/explained"] = 1 - errors.mean() / variance.clamp(min=1e-8)
        return {"ensemble": loss * counts if self.mask_first else loss}, stats

    def training_pairs(
        self, world: WorldModel, states: LatentState, embed: Tensor, batch: Batch, noise: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return inputs (B, L, I), actions (B, L, A), targets (B, L, D) `offset` steps later, and which pairs count.

        L = T - offset. A pair counts (B, L) if no episode starts between its input and its target.
        """
        k, before = self.offset, lambda x: x[:, : x.shape[1] - self.offset]
        targets = {"stoch": states.stoch, "deter": states.deter, "feat": states.feat, "embed": embed}
        action = batch["prev_action"]
        if self.action == "departure":  # the action that leads to the next record is stored with it
            action = torch.cat([action[:, 1:], torch.zeros_like(action[:, :1])], 1)
        if noise is not None:  # inputs are features of the prior
            with torch.no_grad():
                latent = world.rssm.latent
                states = LatentState(states.deter, latent.sample(world.rssm.prior(states.deter), noise).float())
        starts = batch["is_first"].float().cumsum(1)
        counts = (starts[:, k:] == before(starts)).float()
        x, action = self.read_inputs(states.feat), self.read_action(action)
        return before(x), before(action), targets[self.target][:, k:].float(), counts

    def read_inputs(self, feat: Tensor) -> Tensor:
        """Select what the ensemble reads of features: (..., F) -> (..., I)."""
        return feat[..., : self.world_deter] if self.inputs == "deter" else feat

    def read_action(self, action: Tensor) -> Tensor:
        """Select what the ensemble reads of actions: (..., A) -> (..., A) or (..., 0)."""
        return action[..., :0] if self.action == "none" else action

    def disagreement(self, feat: Tensor, action: Tensor) -> Tensor:
        """Return the disagreement about what follows features (..., F) and actions (..., A): (...)."""
        if not self.reward_grad:
            feat, action = feat.detach(), action.detach()
        return self.ensemble.disagreement(self.read_inputs(feat), self.read_action(action))

    def behavior_losses(
        self, world: WorldModel, states: LatentState, batch: Batch, step: float, noise: Noise
    ) -> tuple[Losses, Metrics]:
        """Return the losses of the actor-critic (N, L). The ensemble is a constant."""
        with frozen(self.ensemble):
            losses, stats = self.behavior.losses(world, states, batch, step, noise["explore"])
        named = {PREFIX + name: loss for name, loss in losses.items()}
        return named, {name.replace("train/", "explore/"): x for name, x in stats.items()}

    def finish_update(self) -> None:
        """Step the slow critics."""
        for valuation in self.valuations():
            valuation.slow.update(valuation.critic)
