"""A run directory for another number of processes, from that of a run: `reshard`.

Weights, moments, counters and the records of all environments are kept. Environments start new episodes, and random
numbers start again, so the new run is not the one that the old would have become.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from common.agent.agent import Agent
from common.config import config as configs
from common.config import parts
from common.distributed.checkpoints import OWN_ENTRIES, folder_of_rank, read_file_of_rank
from common.distributed.shares import rows_of_ranks, share_of_config, split
from common.errors import UserError
from common.files import write_text
from common.foreign.run import complete_folder, training_session
from common.nn.ranks import Ranks
from common.replay import Replay
from common.replay.metadata import stored_keys
from common.storage.checkpoint_file import DamagedCheckpoint, read_verified_header
from common.storage.checkpoints import Checkpoints, load_newest
from common.storage.logdir import CONFIG_FILE, config_digest, lock_logdir, stored_config
from common.storage.saved_agent import refuse_malformed
from common.training import run_state
from common.training.core import Core, build_core
from common.training.factory import record_spec
from common.training.loop import Loop

COPIED = ("metrics.jsonl", "scores.jsonl", "run.json", "spaces.json")  # the new run continues these files
Blocks = dict[str, np.ndarray]  # entry of a record -> (streams, records, ...)


class PlannedRank(Ranks):
    """A rank of the new run. It exchanges nothing: its files are written one after the other."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


def reshard(logdir: Path, size: int, out: Path) -> int:
    """Write the run in `logdir` to `out` for `size` processes; return the number of records.

    Raises UserError if it has no checkpoint, if a file of a rank is missing, or if `out` has files.
    """
    config = stored_config(logdir)
    with lock_logdir(logdir), refuse_malformed(logdir):
        state = load_newest(logdir)
        rows, config = rows_of_ranks(config, size), config | {"logdir": str(out)}
        owns = states_of_ranks(logdir, state)
        records = 0
        with complete_folder(out) as folder:
            for rank in reversed(range(size)):  # rank 0 completes the checkpoint
                group = PlannedRank(rank, size)
                share = share_of_config(config, group, rows, 0)
                with build_core(share, None, None) as core:
                    blocks = stored_records(logdir, owns, core)
                    records += write_rank(folder, group, config, share, core, state, blocks, sum(rows))
            write_text(folder / CONFIG_FILE, configs.dump(config))
            for name in COPIED:
                if (logdir / name).exists():
                    shutil.copy2(logdir / name, folder / name)
    return records


def states_of_ranks(logdir: Path, state: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the state of each rank of the old run at its newest checkpoint. Raises UserError if one is missing."""
    owns = [state]
    for rank in range(1, state.get("ranks", 1)):
        checkpoints = Checkpoints(folder_of_rank(logdir, rank) / "checkpoints")
        try:
            owns.append(read_file_of_rank(checkpoints, token_of(logdir)))
        except DamagedCheckpoint as error:
            raise UserError(f"The checkpoint of {logdir} is not complete: {error}. Resume the run first.") from error
    return owns


def token_of(logdir: Path) -> str:
    """Return the token of the newest checkpoint of rank 0."""
    newest = Checkpoints(logdir / "checkpoints").paths()[0]
    return str(read_verified_header(newest).get("token"))


def stored_records(logdir: Path, owns: list[dict[str, Any]], core: Core) -> Blocks:
    """Return the records of all environments of a run, of which the last of each ends its episode."""
    found = []
    for rank, own in enumerate(owns):
        folder, saved = folder_of_rank(logdir, rank) / "replay", own["replay"]
        if saved["count"] == 0:
            raise UserError(f"{logdir} has no records yet: start a new run.")
        replay = loaded_replay(folder, saved, core)
        found.append({key: (replay.ring.oldest, replay.ring.count, replay.ring) for key in replay.spec})
    first = max(each["reward"][0] for each in found)
    last = min(each["reward"][1] for each in found)
    blocks = {key: np.concatenate([each[key][2].block(key, first, last) for each in found]) for key in found[0]}
    blocks["is_last"][:, -1] = True
    blocks["action"][:, -1] = 0
    return blocks


def loaded_replay(folder: Path, saved: dict[str, Any], core: Core) -> Replay:
    """Return the replay of a rank of the old run, in memory."""
    agent: Agent = core.agent
    spec = record_spec(core.envs.obs_space, agent, stored_keys(folder, saved))
    sampler = parts.build("sampler", agent.config["sampler"])
    replay = Replay(spec, saved["streams"], sampler=sampler, context=agent.config["replay"]["context"])
    replay.fill(folder, saved)
    return replay


def write_rank(
    folder: Path, group: Ranks, config: dict[str, Any], share: dict[str, Any], core: Core, state: dict[str, Any],
    blocks: Blocks, rows: int,
) -> int:  # fmt: skip
    """Write checkpoint and replay of one rank; return the number of its records."""
    place = folder_of_rank(folder, group.rank)
    place.mkdir(parents=True, exist_ok=True)
    streams = split(config["run"]["envs"], group.size)
    first = sum(streams[: group.rank])
    with training_session(core, share, place) as session:
        loop = session.loop
        loop.replayed_per_update = rows * config["batch_length"]
        loop.begin()
        run_state.restore_learner(loop, state)
        add_records(loop, {key: block[first : first + streams[group.rank]] for key, block in blocks.items()})
        own = run_state.capture(loop)
        records = len(loop.replay)
    facts: dict[str, Any] = {key: state[key] for key in ("frames", "threads", "compiled") if key in state}
    facts |= {"digest": config_digest(config), "config": config, "ranks": group.size}
    whole = own | {"wall": state["wall"], "logger": state["logger"]} | facts
    kept = whole if group.leads else {key: own[key] for key in OWN_ENTRIES} | {"ranks": group.size}
    info = {"frames": state["frames"], "updates": state["counters"]["updates"], "algo": config["algo"]}
    Checkpoints(place / "checkpoints").save(kept, **info, token="reshard")
    return records


def add_records(loop: Loop, blocks: Blocks) -> None:
    """Add records, oldest first."""
    for number in range(blocks["reward"].shape[1]):
        loop.replay.add({key: block[:, number] for key, block in blocks.items()})


def check_size(size: Any) -> int:
    """Return a number of processes. Raises UserError for anything else."""
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise UserError("reshard needs --ranks N, the number of processes for the new run.")
    return size
