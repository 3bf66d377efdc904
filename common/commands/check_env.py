"""`check-env`: play random episodes of an environment, report problems and how versions read it.

    check-env TASK [--algo VERSION] [--episodes N] [--limit STEPS] [--configs BLOCK ...] [--any.key VALUE ...]

Without --algo it reports on every version; the episodes use the config of the default version. Problems end with exit
code 2.
"""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from common.agent.agent import Agent
from common.config.arguments import Option, Options
from common.config.request import Request
from common.envs import make_env, space_notes
from common.envs.check import env_checks
from common.envs.check.random_rollout import RandomRollout, own_spaces
from common.envs.vector.episode_position import RECORD_FLAGS
from common.errors import UserError
from common.nn.encoder import split_keys
from common.replay.capacity import GIB, free_memory, record_bytes
from common.training.factory import record_fields

OPTIONS: Options = {
    "episodes": Option(3, "episodes with random actions", "N"),
    "limit": Option(1000, "steps per episode at most", "N"),
}
#: Flag for runs -> what it is here.
RUN_FLAG_HELP = {"algo": Option("", "version that reads the environment (default: all of them)", "VERSION")}
EXAMPLES = (
    "check-env my_env:MyEnv",
    "check-env dmc_walker_walk --algo v3 --configs dmc_vision",
    "check-env ./my_env.py:MyEnv --episodes 10 --limit 200",
)

TextRow = tuple[str, str]  # name and text


def check_env(request: Request) -> None:
    """Print spaces, episodes, rewards, flags, speed and how versions read the environment; then problems and notes.

    Raises:
        UserError: the environment cannot be made, or it has problems.
    """
    task, own = task_from(request), request.options
    if min(own["episodes"], own["limit"]) < 1:
        raise UserError("--episodes and --limit must be at least 1.")
    algos = [request.algo] if request.algo else list(request.algos)
    configs = {algo: request.config(algo, task=task) for algo in algos}
    played = configs.get(request.default_algo, configs[algos[0]])
    make = lambda: make_env(task, played["env"], played["seed"])
    rollout = RandomRollout(make, own["episodes"], own["limit"], timeout=played["env"]["timeout"])
    raw, raw_action_space = own_spaces(rollout.env)
    versions = [VersionReport(config, *spaces_of(task, config)) for config in configs.values()]
    unread = unread_keys(rollout.env.observation_space, versions)
    rows = [("task", task), *space_rows(rollout, raw, raw_action_space, unread)]
    rows += rollout_rows(rollout, played["env"]["repeat"])
    rows += [row for version in versions for row in version.rows()]
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:>{width}}  {text}" for name, text in rows))
    read = {key: space for key, space in raw.items() if key not in unread}
    problems = [*env_checks.problems(rollout, read), *(version.refusal for version in versions)]
    notes = [*space_notes(rollout.env), *env_checks.notes(rollout, read), *(version.shortage for version in versions)]
    notes += close_notes(rollout.env)
    print_list("Problems", problems)
    print_list("Notes", notes)
    if any(problems):
        raise UserError(f"{task} has problems, see above.")
    print(f"\n{verdict(rollout)}")


def verdict(rollout: RandomRollout) -> str:
    """Return the last line of a report without problems."""
    if env_checks.ends_at_every_step(rollout):
        return "Every step ended an episode. Train on it only if that is intended, see the notes."
    return "No problems."


def close_notes(env: Any) -> list[str]:
    """Return a note if `close` of a closed environment raised an exception."""
    return [f"{env.close_failure}. A run continues without it."] if env.close_failure else []


def task_from(request: Request) -> str:
    """Return the task, from the word after the command or from --task."""
    given = [*request.positionals, *([str(request.flags["task"])] if "task" in request.flags else [])]
    if len(given) != 1:
        raise UserError(f"check-env takes one task, such as my_env:MyEnv, got {' '.join(given) or 'none'}.")
    return given[0]


def print_list(title: str, sentences: list[str]) -> None:
    """Print a list with a title, without duplicates; print nothing if it is empty."""
    if unique := dict.fromkeys(filter(None, sentences)):
        print("\n".join(["", f"{title}:", *(f"  - {sentence}" for sentence in unique)]))


def spaces_of(task: str, config: dict) -> tuple[Any, Any]:
    """Return observation space and action space of a task with a config."""
    env = make_env(task, config["env"], config["seed"])
    env.close()
    return env.observation_space, env.action_space


def unread_keys(obs_space: Any, versions: list["VersionReport"]) -> set[str]:
    """Return the observations that no network of any version reads; none if a version cannot be built."""
    if any(version.refusal for version in versions):
        return set()
    return set(obs_space).difference(*(version.read for version in versions))


def space_rows(
    rollout: RandomRollout, raw: dict[str, spaces.Space], raw_action_space: spaces.Space, unread: set[str]
) -> list[TextRow]:
    """Return rows on each space: its own form, the form that the agent gets, and the values seen."""
    rows, known = [], dict(rollout.env.observation_space.items())
    for key, space in raw.items():
        read, values = known.get(key), rollout.ranges.get(key)
        absent = ", for the logs only" if key in rollout.logged else ", left out"
        becomes = f" -> {read.dtype} {read.shape}" if read is not None else absent
        becomes += ", not read and not stored" if key in unread else ""
        seen = f", seen {values.low:.4g} to {values.high:.4g}" if values is not None else ""
        rows.append((f"observation {key}", f"{short_space(space)}{becomes}{seen}"))
    return [*rows, ("action", f"{short_space(raw_action_space)} -> {short_space(rollout.env.action_space)}")]


def short_space(space: spaces.Space) -> str:
    """Return a space as text, long bounds as their range."""
    if isinstance(space, spaces.Box) and np.size(space.low) > 4:
        return f"Box({space.low.min():g}, {space.high.max():g}, {space.shape}, {space.dtype})"
    return str(space)


def rollout_rows(rollout: RandomRollout, repeat: int) -> list[TextRow]:
    """Return rows on episodes, rewards, flags and speed."""
    episodes = [f"{played.length} steps, return {played.score:.4g}, {played.end}" for played in rollout.episodes]
    rewards, counted = rollout.rewards or [0.0], sorted(rollout.flags.items(), reverse=True)
    flags = [f"{count:>6} records with {flag_text(key)}" for key, count in counted]
    return [
        ("episodes", "; ".join(episodes)),
        ("reward of a step", f"{min(rewards):.4g} to {max(rewards):.4g}, mean {np.mean(rewards):.4g}"),
        *zip(["flags", *[""] * len(flags)], flags, strict=False),
        ("speed", f"{rollout.steps * repeat / max(rollout.seconds, 1e-9):,.0f} frames/s in one process"),
    ]


def flag_text(flags: tuple[bool, bool, bool]) -> str:
    """Return the flags of a record as text."""
    return ", ".join(f"{name} {int(on)}" for name, on in zip(RECORD_FLAGS, flags, strict=True))


class VersionReport:
    """How a version uses an environment: its networks, its actor, the size of a step in the replay.

    read: keys that its networks read. refusal: why the version cannot train on it, or an empty string. shortage: a note
    if the replay of a run does not fit into memory, or an empty string.
    """

    def __init__(self, config: dict, obs_space: spaces.Dict, act_space: spaces.Space):
        self.config, self.obs_space = config, obs_space
        self.refusal = self.shortage = ""
        self.bytes, self.read = 0, set[str]()
        try:
            with torch.device("meta"):
                agent = Agent(obs_space, act_space, config, "meta")
        except UserError as error:
            self.refusal = f"{config['algo']}: {error}"
            return
        self.discrete = bool(agent.classes)
        self.read = agent.read_keys
        stored = {key: box for key, box in obs_space.items() if key in self.read}
        self.bytes = record_bytes(record_fields(stored, (agent.actions,), agent.latent_spec()))
        self.shortage = self._memory_note()

    @property
    def records(self) -> int:
        """Number of records of a full replay; 0 without a limit."""
        replay = self.config["replay"]
        limits = [replay["capacity"], int(replay["max_gib"] * GIB / self.bytes)]
        return min(filter(None, limits), default=0)

    def rows(self) -> list[TextRow]:
        """Return the rows of this version."""
        if self.refusal:
            return [(self.config["algo"], "cannot use it, see below")]
        head = self.config["policy_disc" if self.discrete else "policy_cont"]["use"]
        size = (
            f"{self.records:,} steps = {self.records * self.bytes / GIB:.3g} GiB"
            if self.records
            else "limited by free memory"
        )
        return [
            (self.config["algo"], f"encoder: {self._networks('encoder')}; decoder: {self._networks('decoder')}"),
            ("", f"actor: {head}; replay: {self.bytes:,} bytes a step, at capacity {size}"),
        ]

    def _networks(self, name: str) -> str:
        """Return which networks read or predict which observations."""
        block = self.config[name]
        images, vectors = split_keys(f"{name}.keys", self.obs_space, block["keys"], block["scalars"])
        kinds = {self.config["conv"]["use"]: images, "MLP": vectors}
        return ", ".join(f"{kind} of {' + '.join(keys)}" for kind, keys in kinds.items() if keys) or "nothing"

    def _memory_note(self) -> str:
        """Return a note if the replay of a whole run does not fit into memory, else an empty string."""
        config = self.config
        need = min(self.records, config["steps"] // config["env"]["repeat"]) * self.bytes
        if need <= free_memory() or config["replay"]["disk"]:
            return ""
        return (
            f"{config['algo']}: the replay of {config['steps']:,} frames needs {need / GIB:.3g} GiB of memory, and "
            f"{free_memory() / GIB:.3g} GiB are free. Use --replay.max_gib, --replay.capacity or --replay.disk true."
        )
