"""Offline training: `--run.offline LOGDIR` learns from the records that another run stored, without its environment.

It is a training run whose environments are absent. A step of its loop is one update, so `steps`, and whatever else is
counted in frames, counts updates. The records are copied: the other run is left as it is, and may be removed.
"""

from pathlib import Path
from typing import Any

import numpy as np

from common import spaces
from common.checkpoint import newest
from common.errors import UserError
from common.logdir import stored_config
from common.run.build import Factory
from common.run.loop import Loop


def offline(config: dict) -> dict:
    """The config with which an offline run trains: one update per step, and nothing before the first one."""
    run = config["run"] | {"prefill": 0, "pretrain": 0}
    return config | {"run": run, "schedule": {"use": "Every", "steps": 1, "updates": 1}}


class Offline(Factory):
    """Makes a run that reads records in place of playing; `state` is the run's own checkpoint, if it goes on."""

    def __init__(self, config: dict, state: dict | None):
        self.folder = Path(config["logdir"] if state else config["run"]["offline"]).expanduser()
        self.records = (state or source(self.folder, config))["replay"]
        self.spaces = spaces.read(self.folder)

    def envs(self, config: dict, *, evaluate: bool = False) -> Any:
        """The absent environments; for evaluation those of the task, whose spaces must be those of the records."""
        if not evaluate:
            return Absent(self.spaces, self.records["streams"])
        envs = super().envs(config, evaluate=True)
        if (envs.obs_space, envs.act_space) != self.spaces[:2]:
            envs.close()
            raise UserError(
                f"{config['task']} has other spaces than the records: {envs.obs_space}, {envs.act_space} instead of "
                f"{self.spaces.observation}, {self.spaces.action}. Give the --env flags of the run that stored them."
            )
        return envs

    def loop(self, config: dict, **pieces: Any) -> Loop:
        """The loop, which knows where the records are."""
        return OfflineLoop(config, **pieces, source=(self.folder / "replay", self.records))


def source(folder: Path, config: dict) -> dict:
    """Newest checkpoint of the run whose records are used. Raises UserError if it is of another task."""
    task = stored_config(folder).get("task")
    if task != config["task"]:
        raise UserError(f"The records in {folder} are of the task {task}: give --task {task}.")
    return newest(folder)


class Absent:
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

    def close(self) -> None:
        pass


class OfflineLoop(Loop):
    """Updates, and nothing between them but logs, films, evaluations and checkpoints."""

    def __init__(self, config: dict, *, source: tuple[Path, dict], **pieces: Any):
        super().__init__(config, **pieces)
        self.source = source

    def begin(self) -> None:
        """Reads the records. Raises UserError where they are too few for this config."""
        super().begin()
        self.replay.fill(*self.source)
        what = (
            f"{len(self.replay):,} records of {self.source[0].parent}. Steps, and frames in the logs, are updates here."
        )
        self._tell([what, *self._replay_messages()])
        why = self.replay.waiting(self.config["batch_size"], self.config["batch_length"])
        if why:
            raise UserError(f"There are too few records in {self.source[0]}: {why}.")

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
