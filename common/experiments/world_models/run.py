"""One run of `wm-eval`: train the world model of a variant with a seed, then measure it on the held-out episodes."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from common.agent.agent import Agent
from common.agent.update_guard import nonfinite_names
from common.analysis.world_models.collection import RESULT_FILE
from common.analysis.world_models.films import RUN_FILE
from common.experiments.world_models.calibration import BINS
from common.experiments.world_models.clips import baseline_errors, choose_clips
from common.experiments.world_models.frozen import FrozenRecords
from common.experiments.world_models.measures import MOST_RECORDS, SAMPLES, measure
from common.experiments.world_models.predictions import CONTINUE, REWARD
from common.experiments.world_models.protocol import Protocol
from common.experiments.world_models.training import WorldModelFactory, mean_of
from common.files import atomic_write, write_text
from common.safe_io import read_json
from common.storage.runinfo import frames_trained
from common.storage.saved_agent import load_saved_agent, load_weights, refuse_malformed
from common.training.train import train


def train_and_measure(logdir: Path, config: dict[str, Any], protocol: Protocol) -> None:
    """Train the run in `logdir` to its end, or resume it, then write `world_model.json` and `films.npz`."""
    records = protocol.read()
    factory = WorldModelFactory(records, protocol.split_seed)
    train(config, factory)
    if not is_measured(logdir, protocol):
        measure_run(logdir, config, protocol, records, factory)


def is_measured(logdir: Path, protocol: Protocol) -> bool:
    """Whether the measures are those of the newest checkpoint, by this protocol."""
    try:
        found = read_json(logdir / RESULT_FILE)
        return (found["updates"], found["protocol"]) == (frames_trained(logdir), protocol._asdict())
    except (OSError, ValueError, LookupError, TypeError):
        return False


def measure_run(
    logdir: Path, config: dict[str, Any], protocol: Protocol, records: FrozenRecords, factory: WorldModelFactory
) -> None:
    """Measure the newest checkpoint of a run. Raises UserError if no held-out episode is long enough."""
    episodes = records.held_out(MOST_RECORDS)
    context, horizon = protocol.context, protocol.horizon
    starts = np.cumsum([0, *(len(one["reward"]) for one in episodes)]).tolist()
    clips = choose_clips(starts, context, horizon)
    agent = factory.agent(records.spaces.observation, records.spaces.action, config)
    state = load_saved_agent(logdir)
    with refuse_malformed(logdir):
        load_weights(agent, state["agent"], logdir)
        if bad := nonfinite_names(agent.world):
            raise ValueError(f"agent.world.{bad[0]} is not finite")
        drawn = str(state["replay"]["drawn"])
    print(f"Measuring on {len(episodes)} held-out episodes, {len(clips)} clips.", flush=True)
    rewards = records.training("reward")
    found, films = measure(agent, episodes, (float(rewards.min()), float(rewards.max())), context, horizon)
    images, means = agent.world.decoder.images, training_means(records, agent)
    facts = {
        "protocol": protocol._asdict(),
        "updates": state["frames"],
        "batches": drawn[:16],
        "samples": SAMPLES,
        "bins": BINS,
        "clips": len(clips),
        "clips_by_step": [sum(clip.start + step <= clip.last for clip in clips) for step in range(1, horizon + 1)],
        "measured_episodes": len(episodes),
        "measured_records": starts[-1],
        "images": images,
        "baselines": baseline_errors(episodes, means, images, context, horizon),
    }
    with atomic_write(logdir / RUN_FILE) as file:
        np.savez_compressed(file, **films)  # type: ignore[arg-type]
    write_text(logdir / RESULT_FILE, json.dumps({**facts, **found}, indent=1) + "\n")


def training_means(records: FrozenRecords, agent: Agent) -> dict[str, np.ndarray]:
    """Return the means over the training records of everything that the agent predicts, by name."""
    decoder = agent.world.decoder
    means = {key: mean_of(records.training(key)) for key in [*decoder.images, *decoder.vectors, REWARD]}
    return means | {CONTINUE: 1 - mean_of(records.training("is_terminal"))}
