"""The agent of a run or of a published agent, with its saved weights, for commands that do not train."""

from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces

from common.agent.agent import Agent
from common.config.config import flatten
from common.errors import UserError
from common.storage import publication
from common.storage.checkpoints import describe_mismatch
from common.storage.saved_agent import load_weights, refuse_malformed
from common.training.factory import Factory


def load_networks(
    factory: Factory,
    obs_space: spaces.Dict,
    act_space: spaces.Space,
    config: dict[str, Any],
    state: dict[str, Any],
    source: Path,
    best: bool = False,
) -> Agent:
    """Build an agent and load `state`, found at `source`. best: whether it is the checkpoint with the best score.

    Raises UserError if the weights do not fit the config and the spaces.
    """
    if publication.is_published(source):
        check_sizes(obs_space, act_space, config, state["agent"], source)
    agent = factory.agent(obs_space, act_space, config)
    with refuse_malformed(source, best):
        load_weights(agent, state["agent"], source)
    return agent


def check_sizes(
    obs_space: spaces.Dict, act_space: spaces.Space, config: dict[str, Any], weights: dict[str, Any], source: Path
) -> None:
    """Raise UserError if published weights do not fit, before memory for the networks of the config is allocated."""
    publication.check_layers(flatten(config), weights, source)
    with torch.device("meta"):
        needed = Agent(obs_space, act_space, config, "meta").state_dict()
    kept = {key: value for key, value in needed.items() if not key.endswith(publication.TRAINING_STATE)}
    if differing := describe_mismatch(weights, kept):
        raise UserError(
            f"The weights in {source} do not fit its config and spaces (shapes stored -> needed):\n  {differing}\n"
            "The files do not belong together. Download or copy the agent again."
        )
