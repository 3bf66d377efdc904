"""Start states of dreams: posterior states after a few stored records of a run."""

from pathlib import Path

import numpy as np
import torch

from common.errors import UserError
from common.replay import Replay
from common.replay.metadata import stored_keys
from common.replay.ring import previous_actions
from common.storage import spaces as stored_spaces
from common.storage.saved_agent import check_replay, load_saved_agent, refuse_malformed
from common.training.factory import Factory, record_spec
from common.viewer.dreaming import Dreamer
from common.viewer.runs import Run

MAX_RECORDS = 4096  # newest ones of a run that are read


class StartStates:
    """The newest records of a run. Raises UserError if it has none, or fewer than `context` in a row."""

    def __init__(self, folder: Path, run: Run, found: stored_spaces.Spaces, context: int):
        self.context = context
        self.ring = read_records(folder, run, found).ring
        first, count = self.ring.oldest, self.ring.count
        if count - first < context:
            raise UserError(f"{folder} has {count - first} records in a row, fewer than the context of {context}.")
        last = self.ring.block("is_last", first + context - 1, count)  # a dream does not begin where an episode is over
        self.ends = np.argwhere(~last)
        self.first = first
        if not len(self.ends):
            raise UserError(f'All records in {folder} end an episode. Use DreamEnv(..., start="zeros").')

    def observe(self, dreamer: Dreamer, random: np.random.Generator) -> None:
        """Let a dreamer observe `context` records in a row, chosen uniformly."""
        stream, offset = self.ends[random.integers(len(self.ends))][:, None]
        start = offset + self.first
        records = {key: self.ring.windows(key, stream, start, self.context) for key in self.ring.arrays}
        before = self.ring.at("action", stream, start - 1)
        actions = torch.from_numpy(previous_actions(records["action"], records["is_first"], before))
        dreamer.seen = dreamer.rssm.initial(1, dreamer.agent.device).detach()
        for step in range(self.context):
            dreamer.observe({key: array[:, step] for key, array in records.items()}, actions[:, step], 1.0)


def read_records(folder: Path, run: Run, found: stored_spaces.Spaces) -> Replay:
    """Return a replay in memory with the newest records of a run. Raises UserError if it has none."""
    saved = load_saved_agent(folder)
    state = saved.get("replay")
    if not state or not state.get("count"):
        raise UserError(f'{run.name} has no stored records to start from. Use DreamEnv(..., start="zeros").')
    with refuse_malformed(folder):
        check_replay(state)
    limits = {"capacity": MAX_RECORDS, "max_gib": 0.0, "disk": False, "context": 0, "force_first": False}
    config = run.config | {"replay": run.config["replay"] | limits, "steps": run.config["env"]["repeat"] * MAX_RECORDS}
    spec = record_spec(found.observation, run.agent, stored_keys(folder / "replay", state))
    spec = {key: form for key, form in spec.items() if key not in ("deter", "stoch")}
    replay = Factory().replay(config, spec, state["streams"], folder)
    replay.fill(folder / "replay", state)
    return replay
