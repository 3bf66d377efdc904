"""The replay of a run, and replays without a run: `replay.json` has the state that a checkpoint has in a run."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from common.agent.acting import action_sizes
from common.config import parts
from common.config.render_mode import nonstandard_render_mode
from common.datasets.dataset import About, EpisodeCutter, check_records
from common.errors import UserError
from common.files import write_text
from common.replay import LATENTS, Replay, Ring, chunked_ring, mapped_ring
from common.replay.capacity import record_bytes
from common.replay.metadata import DESCRIPTIONS, FLAG_KEYS, RESTORE, spec_as_json
from common.replay.ring import Arrays, Spec, allocate_in_memory
from common.safe_io import read_json
from common.storage import spaces
from common.storage.logdir import CONFIG_FILE, stored_config
from common.storage.saved_agent import check_replay, load_replay_state
from common.storage.spaces import Spaces

REPLAY_FILE = "replay.json"
UNIFORM = {"use": "Windows", "online": False}  # the sampler of a replay without a run: it has no state of its own
BLOCK_BYTES = 16 * 2**20  # read at a time


def is_stored_replay(folder: Path) -> bool:
    """Whether a folder is a run, or a replay without a run."""
    return (folder / CONFIG_FILE).is_file() or (folder / REPLAY_FILE).is_file()


def read_state(folder: Path) -> dict[str, Any]:
    """Return the state of the replay in a run or in a replay without one. Raises UserError if it is unusable."""
    if (folder / CONFIG_FILE).is_file():
        return load_replay_state(folder)
    return _description(folder)["state"]


def task_and_render(folder: Path) -> tuple[str, str]:
    """Return the task of a stored replay, and `env.render` of its images."""
    if (folder / CONFIG_FILE).is_file():
        stored = stored_config(folder)
        return str(stored.get("task")), nonstandard_render_mode(stored) or "full"
    found = _description(folder)
    return str(found["task"]), str(found["render"])


def _description(folder: Path) -> dict[str, Any]:
    path = folder / REPLAY_FILE
    try:
        content = read_json(path)
        check_replay(content["state"])
        return {key: content[key] for key in ("state", "task", "render")}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error!r}). Restore it, or convert the data again.") from error


class ReplayDataset:
    """The records of a stored replay; see `Dataset`. Latents are left out: they belong to one agent."""

    def __init__(self, folder: Path):
        self.folder, self.place, self.state = folder, str(folder), read_state(folder)
        self.task, self.render = task_and_render(folder)
        if not self.state["count"]:
            raise UserError(f"{folder} has no stored records yet. Train longer, or give another folder.")
        found = spaces.read(folder)
        self.spec, self.length = self._stored_form()
        kept = {key: box for key, box in found.observation.items() if key in self.spec}
        self.unstored = sorted(set(found.observation.keys()) - set(kept))
        self.spaces = Spaces(type(found.observation)(kept), found.action, found.raw)

    def _stored_form(self) -> tuple[Spec, int]:
        """Return what one record has, and how many records to read at a time."""
        path = self.folder / "replay" / DESCRIPTIONS[self.state["kind"]]
        try:
            stored = read_json(path)
            spec = {key: (tuple(shape), np.dtype(kind)) for key, (shape, kind) in stored["keys"].items()}
            spec = {key: form for key, form in spec.items() if key not in LATENTS}
            fitting = BLOCK_BYTES // (record_bytes(spec) * self.state["streams"])
            return spec, max(1, int(stored["length"]) if self.state["kind"] == "chunks" else fitting)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is missing or damaged ({error!r}). {RESTORE}") from error

    def episodes(self) -> Iterator[Arrays]:
        """Yield the episodes of all streams, in the order of their ends."""
        for number, records in enumerate(self._cut()):
            yield check_records(records, self.spaces, f"Episode {number} of {self.place}", bounded=False)

    def _cut(self) -> Iterator[Arrays]:
        cutters = [EpisodeCutter() for _ in range(self.state["streams"])]
        for block in self._blocks():
            for stream, cutter in enumerate(cutters):
                yield from cutter.feed({key: value[stream] for key, value in block.items()})
        for cutter in cutters:
            yield from cutter.rest()

    def _blocks(self) -> Iterator[Arrays]:
        """Yield consecutive records of all streams, arrays (streams, n, ...)."""
        load = chunked_ring.load if self.state["kind"] == "chunks" else mapped_ring.load
        begin, count = self.state["oldest"], self.state["count"]
        while begin < count:
            stop = min((begin // self.length + 1) * self.length, count)
            ring = Ring(allocate_in_memory(self.spec, self.state["streams"], stop - begin), stop, begin)
            load(self.folder / "replay", self.state, ring)
            if ring.oldest < stop:
                yield {key: ring.block(key, ring.oldest, stop) for key in self.spec}
            begin = stop

    def notes(self) -> list[str]:
        if not self.unstored:
            return []
        return [f"Not stored in {self.place}, because its agent did not read them: {', '.join(self.unstored)}."]


class ReplayWriter:
    """Writes a replay of one stream in mapped files; see `Writer`. length: the number of all records."""

    def __init__(self, folder: Path, about: About, length: int):
        self.folder, self.about = folder, about
        self.lost: list[str] = []
        width = action_sizes(about.spaces.action)[0]
        spec: dict[str, Any] = {key: (box.shape, np.dtype(box.dtype)) for key, box in about.spaces.observation.items()}
        spec |= {"action": ((width,), np.dtype(np.float32)), "reward": ((), np.dtype(np.float32))}
        spec |= {key: ((), np.dtype(bool)) for key in FLAG_KEYS}
        sampler = parts.build("sampler", UNIFORM)
        self.replay = Replay(spec, 1, sampler=sampler, capacity=length, fill=length, directory=folder / "replay")
        self.replay.ident = hashlib.sha256(json.dumps(spec_as_json(spec)).encode()).hexdigest()[:16]

    def add(self, records: Arrays) -> None:
        for t in range(len(records["reward"])):
            self.replay.add({key: value[t : t + 1] for key, value in records.items()})

    def close(self) -> None:
        state = self.replay.save(self.folder / "replay")
        spaces.write(self.folder, self.about.spaces)
        content = {"task": self.about.task, "render": self.about.render, "state": state}
        write_text(self.folder / REPLAY_FILE, json.dumps(content, indent=1) + "\n")
