"""Frozen records: those of a run or of a dataset, split by whole episodes into training and held-out records."""

import hashlib
import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from gymnasium import spaces as gym_spaces

from common.agent.acting import action_sizes
from common.config import parts
from common.datasets import open_dataset
from common.datasets.dataset import ImageForm
from common.datasets.stored_replay import is_stored_replay, read_state
from common.envs import DEFAULTS
from common.errors import UserError
from common.replay import Replay
from common.replay.metadata import FLAG_KEYS, stored_keys
from common.replay.ring import Arrays, Ring, previous_actions
from common.safe_io import expand_path
from common.storage.grid_file import GRID_FILE
from common.storage.logdir import CONFIG_FILE
from common.storage.spaces import Spaces
from common.training.factory import record_fields
from common.training.offline import Records, dataset_records, run_records

LEAST_HELD_OUT = 3  # episodes, as many as an interval over episodes needs
LEAST_EPISODES = 2 * LEAST_HELD_OUT  # whole ones, in the replay
WINDOWS = {"use": "Windows", "online": False}  # the sampler of all versions: uniform over all windows of the records
FINGERPRINT_KEYS = ("action", "reward", *FLAG_KEYS)


class Episode(NamedTuple):
    """Records [begin, stop) of a stream. whole: from the first to the last record of an episode."""

    stream: int
    begin: int
    stop: int
    whole: bool


class Split(NamedTuple):
    """Episodes for training, and those held out."""

    training: list[Episode]
    held_out: list[Episode]


def open_records(place: str) -> tuple[Records, list[str]]:
    """Return the records of a run or of a dataset, and the observations that they hold.

    Raises UserError, with what to type, if there are none.
    """
    folder = expand_path(place)
    if is_comparison(folder):
        runs = sorted(path.parent for path in folder.glob(f"**/{CONFIG_FILE}"))
        hint = f" Give one of its runs, such as --replay {runs[0]}." if runs else ""
        raise UserError(f"--replay {folder} is a comparison.{hint}")
    if not is_stored_replay(folder):
        records = dataset_records(open_dataset(place, ImageForm(size=DEFAULTS["size"])))
        return records, sorted(records.spaces.observation.spaces)
    state = read_state(folder)
    records = run_records(folder, state)
    known = stored_keys(folder / "replay", state)
    if not state["count"] or not known:
        raise UserError(f"The run in {folder} has no stored records yet. Train longer, or give another --replay.")
    return records, sorted(known & set(records.spaces.observation.spaces))


def is_comparison(folder: Path) -> bool:
    """Whether a folder holds the runs of a comparison and is not a run itself."""
    return (folder / GRID_FILE).exists() and not (folder / CONFIG_FILE).is_file()


class FrozenRecords:
    """Records that several runs share, without change.

    spaces: of what is stored; observations that the source did not store are left out. split: episodes by their use.
    fingerprint: of actions, rewards and flags. All keys of the records are read if `complete`, else only these.
    """

    def __init__(self, place: str | Path, share: float, seed: int, *, complete: bool = True):
        source, keys = open_records(str(place))
        found = source.spaces
        boxes = gym_spaces.Dict({key: found.observation[key] for key in keys})
        self.place, self.spaces = str(place), Spaces(boxes, found.action, found.raw)
        form = record_fields(dict(boxes.items()) if complete else {}, (action_sizes(found.action)[0],), {})
        replay = Replay(form, source.streams, sampler=parts.build("sampler", WINDOWS), fill=max(source.length, 2))
        source.fill(replay)
        self.ring, self.messages = replay.ring, replay.messages
        if len(self.ring) < source.length * source.streams:
            raise UserError(f"The records in {place} do not fit into the free memory. Stop other programs.")
        self.fingerprint = fingerprint(self.ring)
        self.split = split_episodes(find_episodes(self.ring), share, seed, self.place)

    @property
    def training_length(self) -> int:
        """The number of records for training."""
        return sum(episode.stop - episode.begin for episode in self.split.training)

    def training(self, key: str) -> np.ndarray:
        """Return the records for training as one sequence (n, ...). A part of an episode counts as an episode."""
        values = np.concatenate([self._records(key, episode) for episode in self.split.training])
        if key == "is_first":
            values[np.cumsum([0, *(episode.stop - episode.begin for episode in self.split.training[:-1])])] = True
        return values

    def held_out(self, most: int) -> list[Arrays]:
        """Return held-out episodes, arrays (L, ...) with `prev_action`, of about `most` records together."""
        found: list[Arrays] = []
        for episode in self.split.held_out:
            if len(found) >= LEAST_HELD_OUT and sum(len(one["reward"]) for one in found) >= most:
                break
            arrays = {key: self._records(key, episode) for key in self.ring.arrays}
            nothing = np.zeros_like(arrays["action"][:1])
            before = previous_actions(arrays["action"][None], arrays["is_first"][None], nothing)[0]
            found.append(arrays | {"prev_action": before})
        return found

    def _records(self, key: str, episode: Episode) -> np.ndarray:
        stream, start = np.array([episode.stream]), np.array([episode.begin])
        return self.ring.windows(key, stream, start, episode.stop - episode.begin)[0]


def fingerprint(ring: Ring) -> str:
    """Return a digest of the actions, rewards and flags of all records."""
    digest = hashlib.sha256()
    for key in FINGERPRINT_KEYS:
        digest.update(np.ascontiguousarray(ring.block(key, ring.oldest, ring.count)).tobytes())
    return digest.hexdigest()[:16]


def find_episodes(ring: Ring) -> list[Episode]:
    """Cut the records of each stream into episodes; the first and the last one of a stream may be incomplete."""
    first, last = (ring.block(key, ring.oldest, ring.count) for key in ("is_first", "is_last"))
    found = []
    for stream in range(ring.streams):
        begins = first[stream].copy()
        begins[0] = True
        begins[1:] |= last[stream, :-1]
        edges = [*np.flatnonzero(begins).tolist(), len(begins)]
        for begin, stop in itertools.pairwise(edges):
            whole = bool(first[stream, begin] and last[stream, stop - 1]) and stop - begin > 1
            found.append(Episode(stream, ring.oldest + begin, ring.oldest + stop, whole))
    return found


def split_episodes(episodes: list[Episode], share: float, seed: int, place: str) -> Split:
    """Hold out a share of the whole episodes, at least LEAST_HELD_OUT and at most half of them, chosen by the seed.

    Raises UserError if there are too few episodes.
    """
    whole = [episode for episode in episodes if episode.whole]
    if len(whole) < LEAST_EPISODES:
        raise UserError(
            f"{place} has {len(whole)} whole episode{'s' * (len(whole) != 1)}, wm-eval needs {LEAST_EPISODES} or "
            f"more: {LEAST_HELD_OUT} are held out. Train that run longer, or give a --replay with more episodes."
        )
    count = min(max(LEAST_HELD_OUT, round(share * len(whole))), len(whole) // 2)
    chosen = set(np.random.default_rng(seed).choice(len(whole), count, replace=False).tolist())
    held_out = [episode for place, episode in enumerate(whole) if place in chosen]
    return Split([episode for episode in episodes if episode not in held_out], held_out)
