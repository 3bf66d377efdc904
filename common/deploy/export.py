"""A policy step as a pure function of tensors, its inputs and outputs, and its export to a file.

Shapes: n environments, A action, D deter, Z stoch, P parameters of the action distribution.
"""

import dataclasses
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.deploy.policy import Policy, acting_modules
from common.nn.encoder import MAX_IMAGES
from common.storage import spaces

STATE_INPUTS = ("deter", "stoch", "action")
OUTPUTS = ("env_action", *(f"next_{name}" for name in STATE_INPUTS), "policy")
NOISE_INPUTS = ("latent_noise", "action_noise")

Inputs = dict[str, Any]
Runner = Callable[[Inputs], list[np.ndarray]]


class PolicyStep(nn.Module):
    """Map observations, acting state, episode starts and noise to the environment's action and the new acting state.

    The last output, `policy`, describes the distribution from which the action was chosen.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.acting, self.mode = policy.acting, policy.mode
        self.draws = (
            policy.acting.actor.dist.draws if policy.mode == "mode" else 0
        )  # samples that a mode is chosen from
        self.parts = nn.ModuleList(acting_modules(policy.acting).values())

    def forward(
        self,
        obs: dict[str, Tensor],
        deter: Tensor,
        stoch: Tensor,
        action: Tensor,
        is_first: Tensor,
        latent_noise: Tensor,
        action_noise: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Return (n, A) in [-1, 1] or indices (n,) or (n, k); deter (n, D), stoch (n, Z), action (n, A); out (n, P)."""
        before = {"deter": deter, "stoch": stoch, "action": action}
        latent = self.acting.infer_latent({**obs, "is_first": is_first}, before, latent_noise)
        out = self.acting.actor(latent.feat)
        chosen = self.acting.choose(out, action_noise, self.mode)
        return self.acting.to_env_action(chosen), latent.deter, latent.stoch, chosen, out


@dataclasses.dataclass
class RandomInputs:
    """Random inputs of a policy step."""

    policy: Policy
    random: np.random.Generator

    def draw(self, n: int) -> Inputs:
        """Draw inputs for n environments: random observations and noise, the state before an episode."""
        acting = self.policy.acting
        noise = acting.rssm.latent.noise(n), acting.noise(n, self.policy.mode)
        boxes = self.policy.spaces.observation
        obs = {key: torch.as_tensor(self._observation(boxes[key], n)) for key in sorted(self.policy.keys)}
        given = {"obs": obs, **acting.initial(n), "is_first": torch.ones(n, dtype=torch.bool)}
        return given | {name: value for name, value in zip(NOISE_INPUTS, noise, strict=True) if value is not None}

    def _observation(self, box: Any, n: int) -> np.ndarray:
        if box.dtype == np.uint8:
            return self.random.integers(0, 256, (n, *box.shape), np.uint8)
        return self.random.normal(size=(n, *box.shape)).astype(np.float32)


def export_program(step: PolicyStep, example: Inputs) -> torch.export.ExportedProgram:
    """Export the step as a graph for any number of environments."""
    n = torch.export.Dim("n", min=1, max=MAX_IMAGES)
    place = {name: batch_axis(name, value) for name, value in flatten_inputs(example).items()}
    dynamic: dict = {name: {place[name]: n} for name in example if name != "obs"}
    dynamic |= {"obs": {key: {0: n} for key in example["obs"]}}
    with torch.no_grad():
        return torch.export.export(step, (), example, dynamic_shapes={name: dynamic[name] for name in example})


def batch_axis(name: str, value: Tensor) -> int:
    """Return the axis of the environments."""
    return 1 if name == "action_noise" and value.ndim == 3 else 0  # axis 0 has the samples of which a mode is chosen


def flatten_inputs(inputs: Inputs) -> dict[str, Tensor]:
    """Return the inputs by their names in a file: `obs.KEY` for each observation."""
    return {f"obs.{key}": x for key, x in inputs["obs"].items()} | {k: x for k, x in inputs.items() if k != "obs"}


def description(policy: Policy, example: Inputs, **facts: Any) -> str:
    """Return the description of a file as JSON: inputs, outputs, spaces and origin."""
    kinds = dict(
        zip(NOISE_INPUTS, (policy.acting.rssm.latent.randomness, policy.acting.actor.dist.randomness), strict=True)
    )
    inputs = {}
    for name, x in flatten_inputs(example).items():
        shape: list = list(x.shape)
        shape[batch_axis(name, x)] = "n"
        noise = {"noise": kinds[name]} if name in kinds else {}
        inputs[name] = {"shape": shape, "dtype": str(x.dtype).removeprefix("torch."), **noise}
    about = {**facts, "mode": policy.mode, "largest_n": MAX_IMAGES, "inputs": inputs, "outputs": OUTPUTS}
    about["spaces"] = spaces.to_json(policy.spaces)
    return json.dumps(about, indent=1)


def to_torch(graph: torch.export.ExportedProgram, about: str) -> tuple[bytes, Runner]:
    """Return a file for `torch.export.load`, and a function that runs it."""
    file = io.BytesIO()
    torch.export.save(graph, file, extra_files={"policy.json": about})
    file.seek(0)
    module = torch.export.load(file).module()
    return file.getvalue(), lambda inputs: [x.numpy() for x in module(**inputs)]
