"""The protocol of a comparison of world models: its data and measures, stored in the folder of the comparison."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from gymnasium import spaces

from common.analysis.world_models import PROTOCOL_FILE
from common.errors import UserError
from common.experiments.world_models.frozen import FrozenRecords
from common.files import write_text
from common.safe_io import read_json
from common.storage.grid_file import Job


class Protocol(NamedTuple):
    """Data and measures that are the same for all runs.

    held_out: share of the whole episodes. split_seed: chooses them and the order of the batches. context: records that
    the model observes before it predicts. horizon: predicted steps. fingerprint: of the records.
    """

    replay: str
    held_out: float
    split_seed: int
    context: int
    horizon: int
    fingerprint: str = ""

    def read(self, *, complete: bool = True) -> FrozenRecords:
        """Read the records. Raises UserError if they are no longer those of the fingerprint."""
        records = FrozenRecords(self.replay, self.held_out, self.split_seed, complete=complete)
        if self.fingerprint and records.fingerprint != self.fingerprint:
            raise UserError(
                f"The records in {self.replay} have changed since this comparison began. A frozen replay is needed: "
                "restore it, or copy the run directory and give the copy as --replay in a new --logdir."
            )
        return records


def describe(records: FrozenRecords, protocol: Protocol, jobs: list[Job]) -> dict[str, Any]:
    """Return the facts about the data that are stored with the results."""
    split, config = records.split, jobs[0].config
    action = records.spaces.action
    return {
        "protocol": protocol._asdict(),
        "task": config["task"],
        "observations": {key: list(box.shape or ()) for key, box in records.spaces.observation.items()},
        "actions": int(action.n) if isinstance(action, spaces.Discrete) else str(action),
        "records": len(records.ring),
        "training_records": records.training_length,
        "training_episodes": len(split.training),
        "held_out_episodes": len(split.held_out),
        "held_out": [[episode.stream, episode.begin, episode.stop] for episode in split.held_out],
        "batch": [config["batch_size"], config["batch_length"]],
    }


def store_protocol(folder: Path, about: dict[str, Any]) -> None:
    """Store the facts about the data. Raises UserError if the folder has a comparison on other data."""
    path = folder / PROTOCOL_FILE
    folder.mkdir(parents=True, exist_ok=True)
    try:
        stored = read_json(path)
        before, now = (dict(facts["protocol"], batch=str(facts["batch"])) for facts in (stored, about))
    except FileNotFoundError:
        before = now = {}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}). Restore it, or choose another --logdir.") from error
    names = {"fingerprint": "the records", "held_out": "--held-out", "split_seed": "--split-seed", "batch": "batch"}
    differing = [
        f"{name}: {before[key]} -> {now[key]}" for key, name in names.items() if before.get(key) != now.get(key)
    ]
    if differing:
        listed = "\n  ".join(differing)
        raise UserError(
            f"{folder} contains a comparison on other data (stored -> given):\n  {listed}\n"
            "Use the stored values to continue it, or choose another --logdir."
        )
    write_text(path, json.dumps(about, indent=1) + "\n")
