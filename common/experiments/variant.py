"""Variants: runs that differ from a version in a few keys, and the setting in which they are compared."""

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
    """A name, a short description, the request that makes it, and the keys that it changes: key -> (old, new)."""

    name: str
    what: str
    request: Request
    changes: Changes


class Setting(NamedTuple):
    """Task -> frames of a run (0: the config value), and whether runs are evaluated after training.

    stored: spaces of observations and actions of stored records, in place of those of an environment.
    """

    tasks: dict[str, int]
    evaluated: bool = False
    stored: tuple[spaces.Dict, spaces.Space] | None = None

    def configs(self, request: Request) -> dict[str, dict]:
        """Return task -> resolved config of a request."""
        steps = lambda frames: {"steps": frames} if frames else {}
        return {task: request.config(str(request.algo), task=task, **steps(n)) for task, n in self.tasks.items()}

    def facts(self, config: dict) -> Facts:
        """Return the facts about the environment of a config. Raises UserError if it does not exist."""
        if self.stored is not None:
            return Facts(*self.stored, evaluated=self.evaluated)
        return Facts(*task_spaces(config["task"], json.dumps(config["env"])), self.evaluated)

    def effects(self, before: dict[str, dict], after: dict[str, dict]) -> Changes:
        """Return the differences between configs by task that have an effect on any task."""
        found: Changes = {}
        for old, new in zip(before.values(), after.values(), strict=True):
            found |= effects(old, new, self.facts(new))
        return found

    def problem(self, configs: dict[str, dict]) -> str:
        """Return the error of the first config that no agent can be built from; empty if there is no error."""
        return next(filter(None, (agent_error(config, self.facts(config)) for config in configs.values())), "")


@functools.cache
def task_spaces(task: str, env: str) -> tuple[spaces.Dict, spaces.Space, bool]:
    """Return the spaces of a task, and whether its images are resized. env: its options as JSON."""
    options = json.loads(env)
    (obs, act), (original, _) = (env_spaces(task, options | size) for size in ({}, {"size": 0}))
    return obs, act, obs != original


def env_spaces(task: str, env: dict) -> tuple[Any, Any]:
    """Return observation and action space of an environment."""
    found = make_env(task, env)
    found.close()
    return found.observation_space, found.action_space


def agent_error(config: dict, facts: Facts) -> str:
    """Build the agent of a config on the meta device. Return the message of its UserError; empty if it raises none."""
    try:
        with torch.device("meta"):
            Agent(facts.obs, facts.act, config, "meta")
    except UserError as error:
        return str(error)
    return ""


def describe_variants(heads: list[str], variants: list[Variant], omitted: list[str], tasks: dict[str, int]) -> str:
    """Return `heads`, each variant with a line per changed key, and the variants without effect on the tasks."""
    lines = list(heads)
    for variant in variants:
        width = max(map(len, variant.changes), default=0)
        lines.append(f"{variant.name}: {variant.what}")
        for key, values in variant.changes.items():
            old, new = ("–" if value is None else format_value(value) for value in values)
            lines.append(f"  {key:{width}}  {old} -> {new}")
    if omitted:
        lines.append(f"Omitted, without effect on {', '.join(tasks)}: {', '.join(omitted)}.")
    return "\n".join(lines)
