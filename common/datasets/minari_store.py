"""Minari datasets: `minari:NAME` in the local store, or the folder of a dataset.

Minari stores L + 1 observations and L actions, rewards, terminations and truncations for an episode of L steps.
Reading converts by the dataset's spaces, see `foreign_spaces`. Writing stores the agent's form, so that nothing is
lost: a Dict of observations, and actions as Discrete, MultiDiscrete, or a Box from -1 to 1.
"""

import importlib.metadata
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces as gym_spaces

from common.datasets.dataset import (
    About,
    ImageForm,
    check_records,
    episode_flags,
    holds_steps,
    to_choices,
    with_clipped_actions,
)
from common.datasets.description import ABOUT_KEY, about_json, read_about
from common.datasets.foreign_spaces import ForeignSpaces
from common.errors import UserError
from common.replay.ring import Arrays
from common.safe_io import read_json
from common.storage.spaces import Spaces

PREFIX = "minari:"
STORE_VARIABLE = "MINARI_DATASETS_PATH"
NAME = re.compile(r"([-\w]+/)*[-\w]*\w-v\d+")


def store() -> Path:
    """Return the folder of Minari's local store."""
    return Path(os.environ.get(STORE_VARIABLE) or Path.home() / ".minari" / "datasets")


def named_folder(name: str) -> Path:
    """Return the folder of a dataset in the store. Raises UserError if the name cannot be one."""
    if not NAME.fullmatch(name):
        raise UserError(f"{PREFIX}{name} is not the name of a Minari dataset. Names are like {PREFIX}pole/random-v0.")
    return store() / name


def data_folder(folder: Path) -> Path | None:
    """Return the folder with the data of a Minari dataset, or None if `folder` is not one."""
    for place in (folder / "data", folder):
        if (place / "metadata.json").is_file() and "data_format" in _metadata(place):
            return place
    return None


def _metadata(place: Path) -> dict[str, Any]:
    path = place / "metadata.json"
    try:
        content = read_json(path)
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error!r}). Restore it, or download the dataset again.") from error


def require_minari() -> Any:
    """Return the package. Raises UserError, with what to type, if it or its storage is missing."""
    try:
        import h5py  # noqa: F401
        import minari

        return minari
    except ImportError as error:
        raise UserError(f"Minari datasets need packages: {error}. Install them: pip install minari h5py") from error


class MinariDataset:
    """A Minari dataset; see `Dataset`. form: of its images, and the range of actions without bounds."""

    def __init__(self, folder: Path, place: str, form: ImageForm):
        minari = require_minari()
        data = data_folder(folder)
        if data is None:
            raise UserError(
                f"{place} is not a Minari dataset: {folder} has no data/metadata.json. See `minari list local`."
            )
        metadata = _metadata(data)
        if missing := [key for key in ("observation_space", "action_space") if key not in metadata]:
            raise UserError(
                f"{data / 'metadata.json'} has no {' and no '.join(missing)}. Create the dataset with them."
            )
        try:
            self.data = minari.MinariDataset(data)
        except Exception as error:  # Minari raises many types for files that it cannot read
            raise UserError(f"Minari cannot read {place}: {type(error).__name__}: {error}") from error
        self.place = place
        own = read_about(metadata, place)
        form = ImageForm() if own else form
        self.foreign = ForeignSpaces(self.data.observation_space, self.data.action_space, form)
        found = Spaces(self.foreign.observation, self.foreign.action, self.foreign.raw)
        self.spaces, self.task, self.render = own or About(found, "", "")
        self.unended = 0

    def episodes(self) -> Iterator[Arrays]:
        self.unended, found = 0, self.data.iterate_episodes()
        for number in range(self.data.total_episodes):
            where = f"Episode {number} of {self.place}"
            try:
                episode = next(found)
            except Exception as error:  # damaged files raise many types
                raise UserError(f"{where} cannot be read: {type(error).__name__}: {error}") from error
            yield check_records(self._records(episode, where), self.spaces, where)

    def _records(self, episode: Any, where: str) -> Arrays:
        steps = len(episode.rewards)
        terminated, truncated = (np.asarray(x, bool).reshape(-1) for x in (episode.terminations, episode.truncations))
        if {len(terminated), len(truncated)} != {steps} or not steps:
            raise UserError(
                f"{where} has {steps} rewards, {len(terminated)} terminations and {len(truncated)} truncations. "
                "Repair or remove it."
            )
        if (early := np.flatnonzero((terminated | truncated)[:-1])).size:
            raise UserError(f"{where} ends at step {early[0] + 1} and continues to step {steps}. Split it there.")
        observations = self.foreign.observations(episode.observations, where)
        action = self.foreign.actions(episode.actions, where)
        self.unended += not (terminated[-1] or truncated[-1])
        lengths = {key: len(x) - 1 for key, x in observations.items()} | {"action": len(action)}
        if wrong := {key: count for key, count in lengths.items() if count != steps}:
            raise UserError(f"{where} has {steps} rewards, but {wrong} steps (an observation more than rewards).")
        reward = np.concatenate([[0], np.asarray(episode.rewards, np.float64).reshape(-1)]).astype(np.float32)
        action = np.concatenate([action, np.zeros_like(action[:1])])
        return {**observations, "action": action, "reward": reward, **episode_flags(steps + 1, terminal=terminated[-1])}

    def notes(self) -> list[str]:
        notes = [f"{note[:-1]} ({self.place})." for note in self.foreign.notes]
        if self.unended:
            notes.append(f"{self.unended} episodes of {self.place} have no termination or truncation: cut short.")
        return notes


class MinariWriter:
    """Writes a Minari dataset; see `Writer`. name: its id; if empty, one is made from the folder's name."""

    def __init__(self, folder: Path, about: About, name: str):
        require_minari()
        from minari.dataset.minari_storage import MinariStorage

        self.about = about
        folder.mkdir(parents=True, exist_ok=True)
        self.storage = MinariStorage.new(
            folder / "data", about.spaces.observation, about.spaces.action, jpeg_encoding=False
        )
        version = importlib.metadata.version("minari")
        self.storage.update_metadata({"dataset_id": name, "minari_version": version, ABOUT_KEY: about_json(about)})
        self.lost: list[str] = []
        if isinstance(about.spaces.action, gym_spaces.Box):
            self.lost.append("Actions are scaled to [-1, 1]: gymnasium.wrappers.RescaleAction(env, -1, 1) fits them.")

    def add(self, records: Arrays) -> None:
        from minari.data_collector import EpisodeBuffer

        if not holds_steps(records, self.lost):
            return
        records = with_clipped_actions(records, self.lost)
        action, steps = records["action"][:-1], len(records["reward"]) - 1
        if not isinstance(self.about.spaces.action, gym_spaces.Box):
            action = to_choices(action, self.about.spaces.action)
        ended = np.arange(1, steps + 1) == steps
        terminal = bool(records["is_terminal"][-1])
        buffer = EpisodeBuffer(
            observations={key: records[key] for key in self.about.spaces.observation},
            actions=action,
            rewards=records["reward"][1:],  # type: ignore[arg-type]
            terminations=ended & terminal,  # type: ignore[arg-type]
            truncations=ended & (not terminal),  # type: ignore[arg-type]
        )
        self.storage.update_episodes([buffer])

    def close(self) -> None:
        """Do nothing: every episode is complete on disk."""


def dataset_name(folder: Path) -> str:
    """Return a Minari id made from the name of a folder."""
    base = re.sub(r"[^-\w]+", "_", folder.name).strip("-_") or "episodes"
    return base if re.search(r"-v\d+$", base) else f"{base}-v0"
