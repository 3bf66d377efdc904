"""Offline training: `--run.offline PLACE` learns from the records of another run, or of any dataset that can be read.

It is a training run without environments. A step of its loop is one update, so `steps` and all other numbers of frames
count updates. The records are copied: the folder is not changed and may be deleted later.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from common.config.render_mode import nonstandard_render_mode
from common.datasets import Dataset, open_dataset
from common.datasets.dataset import ImageForm
from common.datasets.stored_replay import is_stored_replay, read_state, task_and_render
from common.errors import UserError
from common.replay import Replay
from common.storage import spaces
from common.training.collector import VectorEnvs
from common.training.factory import Factory
from common.training.loop import Loop


def offline_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config of offline training: one update per step, and no prefill."""
    run = config["run"] | {"prefill": 0, "pretrain": 0}
    return config | {"run": run, "schedule": {"use": "Every", "steps": 1, "updates": 1}}


class Records(NamedTuple):
    """Stored records: their spaces, streams, records per stream, and a function that reads them into a replay.

    place: their folder or name, for messages.
    """

    place: str
    spaces: spaces.Spaces
    streams: int
    length: int
    fill: Callable[[Replay], None]


def run_records(folder: Path, state: dict[str, Any]) -> Records:
    """Return the records of a stored replay; `state` is the replay's state in a checkpoint."""
    fill = lambda replay: replay.fill(folder / "replay", state)
    return Records(str(folder), spaces.read(folder), state["streams"], state["count"] - state["oldest"], fill)


def dataset_records(dataset: Dataset) -> Records:
    """Return the records of a dataset, after a check of all of them. Raises UserError if one is unsuitable."""

    def fill(replay: Replay) -> None:
        for records in dataset.episodes():
            for t in range(len(records["reward"])):
                replay.add({key: value[t : t + 1] for key, value in records.items()})
        replay.messages += dataset.notes()

    length = sum(len(records["reward"]) for records in dataset.episodes())
    if not length:
        raise UserError(f"{dataset.place} has no episodes. Give another dataset.")
    return Records(dataset.place, dataset.spaces, 1, length, fill)


def find_records(config: dict[str, Any]) -> Records:
    """Find the records for a new run. Raises UserError if there are none, or their task or rendering differs."""
    place = config["run"]["offline"]
    folder, env = Path(place).expanduser(), config["env"]
    stored = is_stored_replay(folder)
    dataset = None if stored else open_dataset(place, ImageForm(*(env[key] for key in ImageForm._fields)))
    task, render = task_and_render(folder) if dataset is None else (dataset.task, dataset.render)
    if task and task != config["task"]:
        raise UserError(f"The records in {place} are of the task {task}: give --task {task}.")
    if render and render != (nonstandard_render_mode(config) or "full"):
        raise UserError(f"The images in {place} were drawn with env.render {render}: give --env.render {render}.")
    return run_records(folder, read_state(folder)) if dataset is None else dataset_records(dataset)


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
            raise OtherSpaces(
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


class OtherSpaces(UserError):
    """The task has other observations or actions than the records."""


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
        """Read the records. Raises UserError if they are too few for this config, or of another task."""
        super().begin()
        if self.clocks["eval"].every:
            self._prepare_evaluation()
        self.source.fill(self.replay)
        what = f"{len(self.replay):,} records of {self.source.place}. Steps, and frames in the logs, are updates."
        self.show([what, *self._replay_messages()])
        if why := self.replay.waiting_reason(*self.batch):
            raise UserError(f"There are too few records in {self.source.place}: {why}.")

    def _step(self) -> None:
        self.agent_steps += 1
        self.pending += self._updates_due()
        self.progress.update(self.frames, self.updates)

    def _evaluate(self) -> None:
        if self._prepare_evaluation():
            super()._evaluate()

    def _prepare_evaluation(self) -> bool:
        """Whether the task can be built; else report that once and continue without evaluation.

        Raises OtherSpaces if the task is not that of the records.
        """
        try:
            self.evaluator.prepare()
        except OtherSpaces:
            raise
        except UserError as error:
            self.clocks["eval"].every = 0
            self.show([f"No evaluation: {error}"])
            return False
        return True
