"""Films of a grid: what the model of every variant predicts for the same recorded episodes.

For each task one run of every variant plays one clip; then every model sees the first records of every clip and
predicts the others from the actions alone. Clips stand side by side in a film, in the order of the variants. Where
these differ in what they see or do, as the versions do on Atari, a model predicts the clips of its own kind only.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.analysis.report.films import SHARED_FILMS_FOLDER
from common.files import atomic_write, slug
from common.nn import rng
from common.replay.ring import previous_actions
from common.storage import video
from common.storage.grid_file import read_grid
from common.storage.logdir import stored_config
from common.storage.runinfo import frames_trained
from common.storage.saved_agent import load_saved_agent, load_weights, refuse_malformed
from common.training.camera import CONTEXT_STEPS
from common.training.collector import require_finite, without_log
from common.training.factory import Factory

CLIP_STEPS = 45  # records of a clip
FILM_SEED = 2_000_003  # of the environment that is filmed; training and evaluation use others


class Player(NamedTuple):
    """A variant's trained agent, the seed of its run, and the frames it was trained for."""

    variant: str
    agent: Any
    config: dict
    seed: int
    frames: int


def film(folder: Path) -> None:
    """Writes `films/<task>/<variant>/<key>_<seed>_<frames>.gif` for a grid, where they are not there for its runs as
    they stand.

    A variant takes part in the films of a task with its first run that has a checkpoint.
    """
    grid = read_grid(folder)
    assert grid is not None, folder
    for task in dict.fromkeys(job["task"] for job in grid["jobs"]):
        place = folder / SHARED_FILMS_FOLDER / slug(task)
        runs = finished_runs(folder, grid, task)
        if not all(any((place / slug(name)).glob(f"*_{frames_trained(run)}.gif")) for name, run in runs.items()):
            write_task_films(place, list(load_players(runs)))


def finished_runs(folder: Path, grid: dict, task: str) -> dict[str, Path]:
    """Variant -> logdir of its first finished run on a task with a checkpoint, in the grid's order. Of many variants
    only the first and the last."""
    found: dict[str, Path] = {}
    names = grid["variants"]
    for name in names if len(names) <= video.MAX_ROWS else [names[0], names[-1]]:
        jobs = [job for job in grid["jobs"] if (job["variant"], job["task"], job["status"]) == (name, task, "done")]
        places = (folder / job["logdir"] for job in jobs)
        logdir = next((place for place in places if any((place / "checkpoints").glob("checkpoint-*"))), None)
        if logdir:
            found[name] = logdir
    return found


def load_players(runs: dict[str, Path]) -> Iterator[Player]:
    """The agents of logdirs by variant."""
    for name, logdir in runs.items():
        config, state = stored_config(logdir), load_saved_agent(logdir)
        with clip_env(config) as envs:
            agent = Factory().agent(envs.obs_space, envs.act_space, config)
        with refuse_malformed(logdir):
            load_weights(agent, state["agent"], logdir)
        yield Player(name, agent, config, config["seed"], state["frames"])


def clip_env(config: dict) -> Any:
    """The environment that clips are recorded in."""
    return Factory().envs(config | {"seed": FILM_SEED, "run": config["run"] | {"envs": 1, "parallel": "none"}})


def write_task_films(place: Path, cast: list[Player]) -> None:
    """Records a clip of every player and writes what each predicts for all that have the shapes of its own."""
    groups: dict[str, list[tuple[Player, dict[str, np.ndarray]]]] = {}
    for player in cast:
        clip = record_clip(player)
        groups.setdefault(repr({key: clip[key].shape for key in sorted(clip)}), []).append((player, clip))
    for group in groups.values():
        alike, clips = zip(*group, strict=True)
        write_predictions(place, alike, {key: np.stack([clip[key] for clip in clips]) for key in clips[0]})


def write_predictions(place: Path, cast: Sequence[Player], batch: dict[str, np.ndarray]) -> None:
    """Writes what each player predicts for clips (B, T, ...)."""
    for player in cast:
        own = place / slug(player.variant)
        own.mkdir(parents=True, exist_ok=True)
        for old in own.glob("*.gif"):
            old.unlink()
        with rng.isolated_rng(FILM_SEED, player.seed):
            predictions = player.agent.report(batch, CONTEXT_STEPS)
        for key, (truth, model) in predictions.items():
            with atomic_write(own / f"{key}_{player.seed}_{player.frames}.gif") as file:
                file.write(video.encode_gif(video.open_loop_frames(truth, model, CONTEXT_STEPS)))


def record_clip(player: Player) -> dict[str, np.ndarray]:
    """The first LENGTH records of an evaluation episode, (T, ...), with `prev_action`; an episode that ends sooner is
    followed by the next one."""
    rows: list[dict[str, np.ndarray]] = []
    with rng.isolated_rng(FILM_SEED, player.seed), clip_env(player.config) as envs:
        now, state = without_log(envs.reset()), player.agent.initial(1)
        for _ in range(CLIP_STEPS):
            action, extras, state = player.agent.act(now, state, mode="eval")
            rows.append({**now, "action": extras["action"]})
            now = without_log(envs.step(require_finite(action)))
    clip = {key: np.stack([row[key][0] for row in rows]) for key in rows[0]}
    nothing = np.zeros_like(clip["action"][:1])
    return clip | {"prev_action": previous_actions(clip["action"][None], clip["is_first"][None], nothing)[0]}
