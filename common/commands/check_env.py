"""`check-env`: plays a few episodes of an environment with random actions, and says what the agent makes of it.

    check-env TASK [--algo VERSION] [--episodes N] [--limit STEPS] [--configs BLOCK ...] [--any.key VALUE ...]

Without --algo every version is looked at; the episodes are those of the usual one. Problems end with exit code 2.
"""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from common.agent.agent import Agent
from common.config.request import Request
from common.envs import make_env, space_notes
from common.envs.check import env_checks
from common.envs.check.random_rollout import RandomRollout, own_spaces
from common.errors import UserError
from common.nn.encoder import split_keys
from common.replay.capacity import GIB, free_memory, record_bytes
from common.training.factory import record_fields

OPTIONS: dict[str, Any] = {"episodes": 3, "limit": 1000}
RECORD_FLAGS = ("is_first", "is_last", "is_terminal")


def check_env(request: Request) -> None:
    """Prints spaces, episodes, rewards, flags, what versions make of it, speed; then problems and remarks.

    Raises UserError where the environment cannot be made, or has problems.
    """
    task, own = task_from(request), request.options
    if min(own["episodes"], own["limit"]) < 1:
        raise UserError("--episodes and --limit must be at least 1.")
    algos = [request.algo] if request.algo else list(request.algos)
    configs = {algo: request.config(algo, task=task) for algo in algos}
    played = configs.get(request.default_algo, configs[algos[0]])
    make = lambda: make_env(task, played["env"], played["seed"])
    trial = RandomRollout(make, own["episodes"], own["limit"])
    raw, acted = own_spaces(trial.env)
    versions = [VersionReport(config, *spaces_of(task, config)) for config in configs.values()]
    rows = [("task", task), *space_rows(trial, raw, acted), *rollout_rows(trial, played["env"]["repeat"])]
    rows += [row for version in versions for row in version.rows()]
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:>{width}}  {text}" for name, text in rows))
    wrong = [*env_checks.problems(trial, raw), *(version.refusal for version in versions)]
    print_list("Problems", wrong)
    print_list(
        "To know", [*space_notes(trial.env), *env_checks.notes(trial, raw), *(version.shortage for version in versions)]
    )
    if any(wrong):
        raise UserError(f"{task} has problems, see above.")
    print("\nNo problems.")


def task_from(request: Request) -> str:
    """The task, from the word after the command or from --task."""
    given = [*request.positionals, *([str(request.flags["task"])] if "task" in request.flags else [])]
    if len(given) != 1:
        raise UserError(f"check-env takes one task, such as my_env:MyEnv, got {' '.join(given) or 'none'}.")
    return given[0]


def print_list(title: str, sentences: list[str]) -> None:
    """A list with a title, or nothing. Each sentence is said once."""
    if said := dict.fromkeys(filter(None, sentences)):
        print("\n".join(["", f"{title}:", *(f"  - {sentence}" for sentence in said)]))


def spaces_of(task: str, config: dict) -> tuple[Any, Any]:
    """Spaces of a task with the settings of a config."""
    env = make_env(task, config["env"], config["seed"])
    env.close()
    return env.observation_space, env.action_space


def space_rows(trial: RandomRollout, raw: dict[str, spaces.Space], acted: spaces.Space) -> list[tuple[str, str]]:
    """Rows on the spaces, each beside what it becomes and what was seen in it."""
    rows, known = [], dict(trial.env.observation_space.items())
    for key, space in raw.items():
        read, span = known.get(key), trial.spans.get(key)
        unread = ", for the logs only" if key in trial.logged else ", left out"
        becomes = f" -> {read.dtype} {read.shape}" if read is not None else unread
        seen = f", seen {span.low:.4g} to {span.high:.4g}" if span is not None else ""
        rows.append((f"observation {key}", f"{short_space(space)}{becomes}{seen}"))
    return [*rows, ("action", f"{short_space(acted)} -> {short_space(trial.env.action_space)}")]


def short_space(space: spaces.Space) -> str:
    """A space in a few words; long bounds as their range."""
    if isinstance(space, spaces.Box) and np.size(space.low) > 4:
        return f"Box({space.low.min():g}, {space.high.max():g}, {space.shape}, {space.dtype})"
    return str(space)


def rollout_rows(trial: RandomRollout, repeat: int) -> list[tuple[str, str]]:
    """Rows on episodes, rewards, flags and speed."""
    episodes = [f"{played.length} steps, return {played.score:.4g}, {played.end}" for played in trial.episodes]
    rewards, counted = trial.rewards or [0.0], sorted(trial.flags.items(), reverse=True)
    flags = [f"{count:>6} records with {flag_text(key)}" for key, count in counted]
    return [
        ("episodes", "; ".join(episodes)),
        ("reward of a step", f"{min(rewards):.4g} to {max(rewards):.4g}, mean {np.mean(rewards):.4g}"),
        *zip(["flags", *[""] * len(flags)], flags, strict=False),
        ("speed", f"{trial.steps * repeat / max(trial.seconds, 1e-9):,.0f} frames/s in one process"),
    ]


def flag_text(flags: tuple[bool, bool, bool]) -> str:
    """Flags of a record in words."""
    return ", ".join(f"{name} {int(on)}" for name, on in zip(RECORD_FLAGS, flags, strict=True))


class VersionReport:
    """What a version makes of an environment: what it reads, how it acts, what a step takes in the replay."""

    def __init__(self, config: dict, obs_space: spaces.Dict, act_space: spaces.Space):
        self.config, self.obs_space = config, obs_space
        self.refusal = self.shortage = ""
        self.bytes = 0
        try:
            with torch.device("meta"):
                agent = Agent(obs_space, act_space, config, "meta")
        except UserError as error:
            self.refusal = f"{config['algo']}: {error}"
            return
        self.discrete = bool(agent.classes)
        self.bytes = record_bytes(record_fields(obs_space, (agent.actions,), agent.latent_spec()))
        self.shortage = self.lacking()

    @property
    def records(self) -> int:
        """Records of a full replay, as far as the capacity says."""
        replay = self.config["replay"]
        limits = [replay["capacity"], int(replay["max_gib"] * GIB / self.bytes)]
        return min(filter(None, limits), default=0)

    def rows(self) -> list[tuple[str, str]]:
        """Its rows of the table."""
        if self.refusal:
            return [(self.config["algo"], "refuses it, see below")]
        head = self.config["policy_disc" if self.discrete else "policy_cont"]["use"]
        size = f"{self.records:,} steps = {self.records * self.bytes / GIB:.3g} GiB" if self.records else "what is free"
        return [
            (self.config["algo"], f"encoder: {self.networks('encoder')}; decoder: {self.networks('decoder')}"),
            ("", f"actor: {head}; replay: {self.bytes:,} bytes a step, at capacity {size}"),
        ]

    def networks(self, name: str) -> str:
        """Which network reads or predicts which observation."""
        block = self.config[name]
        images, vectors = split_keys(f"{name}.keys", self.obs_space, block["keys"], block["scalars"])
        kinds = {self.config["conv"]["use"]: images, "MLP": vectors}
        return ", ".join(f"{kind} of {' + '.join(keys)}" for kind, keys in kinds.items() if keys) or "nothing"

    def lacking(self) -> str:
        """A sentence where the replay of a whole run does not fit into memory."""
        config = self.config
        need = min(self.records, config["steps"] // config["env"]["repeat"]) * self.bytes
        if need <= free_memory() or config["replay"]["disk"]:
            return ""
        return (
            f"{config['algo']}: a run of {config['steps']:,} frames fills {need / GIB:.3g} GiB of replay, and "
            f"{free_memory() / GIB:.3g} GiB are free: --replay.max_gib, --replay.capacity, or --replay.disk true."
        )
