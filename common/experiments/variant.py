"""Variants: runs that differ from a version in a few keys, what these keys are, and whether such an agent can be."""

import functools
import json
from typing import Any, NamedTuple

import torch
from gymnasium import spaces

from common.agent.agent import Agent
from common.analysis.explain.conditions import Facts, effects
from common.config.formatting import format_value
from common.config.request import Request
from common.envs import make_env
from common.errors import UserError

Changes = dict[str, tuple[Any, Any]]


class Variant(NamedTuple):
    """A name, what it is in a few words, the request that makes it, and which keys it changes (old, new)."""

    name: str
    what: str
    request: Request
    changes: Changes


class Setting(NamedTuple):
    """Task -> frames of a run (0: as the config has it), and whether runs are evaluated after training."""

    tasks: dict[str, int]
    evaluated: bool = False

    def configs(self, request: Request) -> dict[str, dict]:
        """Task -> resolved config of a request."""
        steps = lambda frames: {"steps": frames} if frames else {}
        return {task: request.config(str(request.algo), task=task, **steps(n)) for task, n in self.tasks.items()}

    def facts(self, config: dict) -> Facts:
        """What is known of the environment of a config. Raises UserError where there is none."""
        obs, act, resized = task_spaces(config["task"], json.dumps(config["env"]))
        return Facts(obs, act, resized, self.evaluated)

    def effects(self, before: dict[str, dict], after: dict[str, dict]) -> Changes:
        """What differs between configs by task and has an effect on any task."""
        found: Changes = {}
        for old, new in zip(before.values(), after.values(), strict=True):
            found |= effects(old, new, self.facts(new))
        return found

    def problem(self, configs: dict[str, dict]) -> str:
        """Why an agent with one of these configs cannot be, or nothing."""
        return next(filter(None, (agent_error(config, self.facts(config)) for config in configs.values())), "")


@functools.cache
def task_spaces(task: str, env: str) -> tuple[spaces.Dict, spaces.Space, bool]:
    """Spaces of a task, and whether its images are brought to another size. env: its options as JSON."""
    options = json.loads(env)
    (obs, act), (own, _) = (env_spaces(task, options | size) for size in ({}, {"size": 0}))
    return obs, act, obs != own


def env_spaces(task: str, env: dict) -> tuple[Any, Any]:
    """Observation and action space of an environment."""
    found = make_env(task, env)
    found.close()
    return found.observation_space, found.action_space


def agent_error(config: dict, facts: Facts) -> str:
    """The message with which an agent refuses a config, or nothing. It is built without numbers."""
    try:
        with torch.device("meta"):
            Agent(facts.obs, facts.act, config, "meta")
    except UserError as error:
        return str(error)
    return ""


def describe_variant(variant: Variant) -> str:
    """Name, what it is, and a line for each key it changes."""
    width = max(map(len, variant.changes), default=0)
    lines = [
        f"  {key:{width}}  {format_or_dash(old)} -> {format_or_dash(new)}"
        for key, (old, new) in variant.changes.items()
    ]
    return "\n".join([f"{variant.name}: {variant.what}", *lines])


def format_or_dash(value: Any) -> str:
    """A value as it is typed; a key that there is not is a dash."""
    return "–" if value is None else format_value(value)
