"""Films of a grid: open-loop predictions of all variants for the same recorded episodes.

For each task, one run of each variant plays one clip. Then each model observes the first records of all clips and
predicts the rest from the actions alone. A film shows the clips next to each other, in the order of the variants. If
variants differ in their spaces, as the versions do on Atari, a model predicts only clips with its own spaces.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.agent.agent import Agent
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
FILM_SEED = 2_000_003  # of the filmed environment; training and evaluation use others


class Player(NamedTuple):
    """The trained agent of a variant, with the config and seed of its run, and the frames it was trained for."""

    variant: str
    agent: Agent
    config: dict
    seed: int
    frames: int


def write_films(folder: Path) -> None:
    """Write the missing `films/<task>/<variant>/<key>_<seed>_<frames>.gif` of a grid.

    For each task, the first run with a checkpoint represents its variant. Prints a line before each task.
    """
    grid = read_grid(folder)
    assert grid is not None, folder
    for task in dict.fromkeys(job["task"] for job in grid["jobs"]):
        films = folder / SHARED_FILMS_FOLDER / slug(task)
        runs = finished_runs(folder, grid, task)
        if not all(any((films / slug(name)).glob(f"*_{frames_trained(run)}.gif")) for name, run in runs.items()):
            print(f"Films: recording {len(runs)} episode{'s' * (len(runs) > 1)} of {task}.", flush=True)
            write_task_films(films, list(load_players(runs)))


def finished_runs(folder: Path, grid: dict, task: str, most: int = video.MAX_ROWS) -> dict[str, Path]:
    """Return variant -> logdir of its first finished run on a task with a checkpoint, in the grid's order.

    most: number of variants that a film has room for. If there are more, only the first and the last take part.
    """
    found: dict[str, Path] = {}
    names = grid["variants"]
    for name in names if len(names) <= most else [names[0], names[-1]]:
        jobs = [job for job in grid["jobs"] if (job["variant"], job["task"], job["status"]) == (name, task, "done")]
        logdirs = (folder / job["logdir"] for job in jobs)
        if logdir := next((path for path in logdirs if any((path / "checkpoints").glob("checkpoint-*"))), None):
            found[name] = logdir
    return found


def load_players(runs: dict[str, Path]) -> Iterator[Player]:
    """Yield the agents of runs: variant -> logdir."""
    for name, logdir in runs.items():
        config, state = stored_config(logdir), load_saved_agent(logdir)
        with clip_env(config) as envs:
            agent = Factory().agent(envs.obs_space, envs.act_space, config)
        with refuse_malformed(logdir):
            load_weights(agent, state["agent"], logdir)
        yield Player(name, agent, config, config["seed"], state["frames"])


def clip_env(config: dict) -> Any:
    """Return the environment in which clips are recorded."""
    return Factory().envs(config | {"seed": FILM_SEED, "run": config["run"] | {"envs": 1, "parallel": "none"}})


def write_task_films(films: Path, players: list[Player]) -> None:
    """Record a clip of each player, and write each player's predictions for all clips with the same spaces."""
    groups: dict[str, list[tuple[Player, dict[str, np.ndarray]]]] = {}
    for player in players:
        clip = record_clip(player)
        groups.setdefault(repr({key: clip[key].shape for key in sorted(clip)}), []).append((player, clip))
    for group in groups.values():
        alike, clips = zip(*group, strict=True)
        write_predictions(films, alike, {key: np.stack([clip[key] for clip in clips]) for key in clips[0]})


def write_predictions(films: Path, players: Sequence[Player], batch: dict[str, np.ndarray]) -> None:
    """Write the predictions of each player for clips (B, T, ...); earlier films of the variant are removed."""
    for player in players:
        own = films / slug(player.variant)
        own.mkdir(parents=True, exist_ok=True)
        for old in own.glob("*.gif"):
            old.unlink()
        with rng.isolated_rng(FILM_SEED, player.seed):
            predictions = player.agent.report(batch, CONTEXT_STEPS)
        for key, (truth, model) in predictions.items():
            with atomic_write(own / f"{key}_{player.seed}_{player.frames}.gif") as file:
                file.write(video.encode_gif(video.open_loop_frames(truth, model, CONTEXT_STEPS)))


def record_clip(player: Player) -> dict[str, np.ndarray]:
    """Return the first CLIP_STEPS records of evaluation episodes, (T, ...), with `prev_action`."""
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
