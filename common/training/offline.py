"""Offline training: `--run.offline FOLDER` learns from the records of another run, or of episode files, alone.

It is a training run whose environments are absent. A step of its loop is one update, so `steps`, and whatever else is
counted in frames, counts updates. The records are copied: the folder is left as it is, and may be removed.
"""

from pathlib import Path
from typing import Any

import numpy as np

from common.config.render_mode import nonstandard_render_mode
from common.errors import UserError
from common.replay import episode_files
from common.storage import spaces
from common.storage.logdir import stored_config
from common.storage.saved_agent import load_replay_state
from common.training.factory import Factory
from common.training.loop import Loop


def offline_config(config: dict) -> dict:
    """The config with which an offline run trains: one update per step, and nothing before the first one."""
    run = config["run"] | {"prefill": 0, "pretrain": 0}
    return config | {"run": run, "schedule": {"use": "Every", "steps": 1, "updates": 1}}


class RunRecords:
    """Records that a run keeps in its replay; `state` is that of the replay in a checkpoint."""

    def __init__(self, folder: Path, state: dict):
        self.folder, self.state = folder, state
        self.spaces, self.streams = spaces.read(folder), state["streams"]

    def fill(self, replay: Any) -> None:
        """Reads all of them into an empty replay."""
        replay.fill(self.folder / "replay", self.state)


class EpisodeFiles:
    """Records in npz files."""

    streams = 1

    def __init__(self, folder: Path):
        self.folder, self.files = folder, episode_files.episode_paths(folder)
        found = episode_files.spaces_of(episode_files.read_episode(self.files[0]))
        self.spaces = spaces.Spaces(*found, found)

    def fill(self, replay: Any) -> None:
        """Reads all of them into an empty replay."""
        for file in self.files:
            for record in episode_files.iter_records(episode_files.read_episode(file)):
                replay.add(record)


def find_records(config: dict) -> RunRecords | EpisodeFiles:
    """Where the records of a new run are. Raises UserError if there are none, of another task, or drawn otherwise."""
    folder = Path(config["run"]["offline"]).expanduser()
    if episode_files.episode_paths(folder):
        return EpisodeFiles(folder)
    stored = stored_config(folder)
    task, how = stored.get("task"), nonstandard_render_mode(stored) or "full"
    if task != config["task"]:
        raise UserError(f"The records in {folder} are of the task {task}: give --task {task}.")
    if how != (nonstandard_render_mode(config) or "full"):
        raise UserError(f"The images in {folder} were drawn with env.render {how}: give --env.render {how}.")
    return RunRecords(folder, load_replay_state(folder))


class OfflineFactory(Factory):
    """Makes a run that reads records in place of playing; `state` is the run's own checkpoint, if it goes on."""

    def __init__(self, config: dict, state: dict | None):
        self.source = RunRecords(Path(config["logdir"]), state["replay"]) if state else find_records(config)

    def envs(self, config: dict, *, evaluate: bool = False) -> Any:
        """The absent environments; for evaluation those of the task, whose spaces must be those of the records."""
        found = self.source.spaces
        if not evaluate:
            return AbsentEnvs(found, self.source.streams)
        envs = super().envs(config, evaluate=True)
        if not same_observations(envs.obs_space, found.observation) or envs.act_space != found.action:
            envs.close()
            raise UserError(
                f"{config['task']} has other spaces than the records: {envs.obs_space}, {envs.act_space} instead of "
                f"{found.observation}, {found.action}. Give the --env flags of the run that stored them."
            )
        return envs

    def loop(self, config: dict, **pieces: Any) -> Loop:
        """The loop, which knows where the records are."""
        return OfflineLoop(config, **pieces, source=self.source)


def same_observations(one: Any, other: Any) -> bool:
    """Whether two observation spaces have the same keys, shapes and dtypes; bounds are not always known."""
    form = lambda space: {key: (box.shape, box.dtype) for key, box in space.items()}
    return form(one) == form(other)


class AbsentEnvs:
    """Stands for the environments that the records come from: has their spaces, and cannot be stepped."""

    repeat = 1

    def __init__(self, found: spaces.Spaces, num: int):
        self.obs_space, self.act_space, self.raw = found
        self.num = num

    def reset(self) -> dict:
        """A record that says nothing."""
        return {"is_first": np.ones(self.num, bool)}

    def state(self) -> list:
        return []

    def restore(self, state: list) -> dict:
        return self.reset()

    def messages(self) -> list[str]:
        return []

    def check(self) -> None:
        """Nothing here can break."""

    def close(self) -> None:
        """Nothing here is open."""


class OfflineLoop(Loop):
    """Updates, and nothing between them but logs, films, evaluations and checkpoints."""

    def __init__(self, config: dict, *, source: RunRecords | EpisodeFiles, **pieces: Any):
        super().__init__(config, **pieces)
        self.source = source

    def begin(self) -> None:
        """Reads the records. Raises UserError where they are too few for this config."""
        super().begin()
        self.source.fill(self.replay)
        what = f"{len(self.replay):,} records of {self.source.folder}. Steps, and frames in the logs, are updates."
        self._tell([what, *self._replay_messages()])
        why = self.replay.waiting_reason(self.config["batch_size"], self.config["batch_length"])
        if why:
            raise UserError(f"There are too few records in {self.source.folder}: {why}.")

    def _step(self) -> None:
        self.agent_steps += 1
        self.pending += self._due()
        self.progress.update(self.frames, self.updates)

    def _evaluate(self) -> None:
        """Evaluates if the task is there: else says so once and goes on without."""
        try:
            self.evaluator.prepare()
        except UserError as error:
            self.clocks["eval"].every = 0
            self._tell([f"No evaluation: {error}"])
        else:
            super()._evaluate()
