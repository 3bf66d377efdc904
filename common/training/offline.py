"""Offline training: `--run.offline FOLDER` learns from the records of another run, or of episode files.

It is a training run without environments. A step of its loop is one update, so `steps` and all other numbers of frames
count updates. The records are copied: the folder is not changed and may be deleted later.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from common.config.render_mode import nonstandard_render_mode
from common.errors import UserError
from common.replay import Replay, episode_files
from common.storage import spaces
from common.storage.logdir import stored_config
from common.storage.saved_agent import load_replay_state
from common.training.collector import VectorEnvs
from common.training.factory import Factory
from common.training.loop import Loop


def offline_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config of offline training: one update per step, and no prefill."""
    run = config["run"] | {"prefill": 0, "pretrain": 0}
    return config | {"run": run, "schedule": {"use": "Every", "steps": 1, "updates": 1}}


class Records(NamedTuple):
    """Stored records: their spaces, streams, records per stream, and a function that reads them into a replay."""

    folder: Path
    spaces: spaces.Spaces
    streams: int
    length: int
    fill: Callable[[Replay], None]


def run_records(folder: Path, state: dict[str, Any]) -> Records:
    """Return the records of a run's replay; `state` is the replay's state in a checkpoint."""
    fill = lambda replay: replay.fill(folder / "replay", state)
    return Records(folder, spaces.read(folder), state["streams"], state["count"] - state["oldest"], fill)


def episode_records(folder: Path, files: list[Path]) -> Records:
    """Return the records in npz files, after a check of all of them. Raises UserError if one is unsuitable."""

    def fill(replay: Replay) -> None:
        for records in episode_files.read_files(files):
            for record in episode_files.iter_records(records):
                replay.add(record)
        if keys := episode_files.left_out(files[0]):
            replay.messages.append(f"Left out of {folder}, because they are not observations: {', '.join(keys)}.")
        if not episode_files.has_terminals(files[0]):
            replay.messages.append(f"No end is terminal in {folder}: its files have no is_terminal and no discount.")

    lengths = [len(records["reward"]) for records in episode_files.read_files(files)]
    found = episode_files.spaces_of(next(episode_files.read_files(files)))
    if not found[0].spaces:
        raise UserError(f"The files in {folder} have no observations. Name their arrays after those of the task.")
    return Records(folder, spaces.Spaces(*found, found), 1, sum(lengths), fill)


def find_records(config: dict[str, Any]) -> Records:
    """Find the records for a new run. Raises UserError if there are none, or their task or rendering differs."""
    folder = Path(config["run"]["offline"]).expanduser()
    if files := episode_files.episode_paths(folder):
        return episode_records(folder, files)
    stored = stored_config(folder)
    task, how = stored.get("task"), nonstandard_render_mode(stored) or "full"
    if task != config["task"]:
        raise UserError(f"The records in {folder} are of the task {task}: give --task {task}.")
    if how != (nonstandard_render_mode(config) or "full"):
        raise UserError(f"The images in {folder} were drawn with env.render {how}: give --env.render {how}.")
    return run_records(folder, load_replay_state(folder))


class OfflineFactory(Factory):
    """Builds a run that learns from records. state: the run's own checkpoint if it is resumed."""

    def __init__(self, config: dict[str, Any], state: dict[str, Any] | None) -> None:
        self.source = run_records(Path(config["logdir"]), state["replay"]) if state else find_records(config)

    def envs(self, config: dict[str, Any], *, evaluate: bool = False) -> VectorEnvs:
        """Build stand-ins; for evaluation the task's environments, whose spaces must be those of the records."""
        found = self.source.spaces
        if not evaluate:
            return cast(VectorEnvs, AbsentEnvs(found, self.source.streams))
        envs = super().envs(config, evaluate=True)
        form = lambda space: {key: (box.shape, box.dtype) for key, box in space.items()}  # not all records have bounds
        if form(envs.obs_space) != form(found.observation) or envs.act_space != found.action:
            envs.close()
            raise UserError(
                f"{config['task']} has other spaces than the records: {envs.obs_space}, {envs.act_space} instead of "
                f"{found.observation}, {found.action}. Give the --env flags of the run that stored them."
            )
        return envs

    def fillable(self, config: dict[str, Any], streams: int) -> int:
        """Return the records per stream: no more come."""
        return max(self.source.length, config["batch_length"] + config["replay"]["context"] + 1)

    def loop(self, config: dict[str, Any], **pieces: Any) -> Loop:
        """Build the loop, which reads the records."""
        return OfflineLoop(config, **pieces, source=self.source)


class AbsentEnvs:
    """Stand-ins for the environments of the records: they have their spaces and cannot step."""

    repeat = 1

    def __init__(self, found: spaces.Spaces, num: int) -> None:
        self.obs_space, self.act_space, self.raw = found
        self.num = num

    def reset(self) -> dict[str, Any]:
        """Return a record without observations."""
        return {"is_first": np.ones(self.num, bool)}

    def state(self) -> list[dict[str, Any]]:
        return []

    def restore(self, state: list[dict[str, Any]]) -> dict[str, Any]:
        return self.reset()

    def messages(self) -> list[str]:
        return []

    def check(self) -> None:
        """Do nothing."""

    close = check


class OfflineLoop(Loop):
    """A loop without environment steps: updates, logs, videos, evaluations and checkpoints."""

    def __init__(self, config: dict[str, Any], *, source: Records, **pieces: Any) -> None:
        super().__init__(config, **pieces)
        self.source = source

    def begin(self) -> None:
        """Read the records. Raises UserError if they are too few for this config."""
        super().begin()
        self.source.fill(self.replay)
        what = f"{len(self.replay):,} records of {self.source.folder}. Steps, and frames in the logs, are updates."
        self.show([what, *self._replay_messages()])
        if why := self.replay.waiting_reason(*self.batch):
            raise UserError(f"There are too few records in {self.source.folder}: {why}.")

    def _step(self) -> None:
        self.agent_steps += 1
        self.pending += self._updates_due()
        self.progress.update(self.frames, self.updates)

    def _evaluate(self) -> None:
        """Evaluate if the task can be built; else report that once and continue without evaluation."""
        try:
            self.evaluator.prepare()
        except UserError as error:
            self.clocks["eval"].every = 0
            self.show([f"No evaluation: {error}"])
        else:
            super()._evaluate()
