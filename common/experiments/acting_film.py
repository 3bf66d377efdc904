"""GIFs of a grid: the agents of all variants act side by side in one episode of a task, with the same seed."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from common.analysis.report.films import acting_film_path
from common.analysis.report.formatting import score, shorten
from common.experiments.film import FILM_SEED, Player, clip_env, finished_runs, load_players
from common.files import write_bytes
from common.nn import rng
from common.storage import video
from common.storage.grid_file import read_grid
from common.training.camera import NOTHING_TO_DRAW, picture_source
from common.training.collector import require_finite, without_log

MAX_STEPS = 500  # agent steps of an episode that are filmed
MAX_PICTURES = 120  # of a GIF; longer episodes skip steps
PER_ROW = 4  # agents next to each other
SIDE, LABEL_HEIGHT = 144, 28  # pixels of a picture and of the label above it
LETTER_WIDTH = 6  # pixels, of the default font


class FilmedEpisode(NamedTuple):
    """The pictures (T, H, W, 3) uint8 of an agent's episode, and the return after each, (T,)."""

    name: str
    pictures: np.ndarray
    returns: np.ndarray
    ended: bool


def write_acting_films(folder: Path) -> None:
    """Write `acting_<task>.gif` of a grid: the first run of each variant with a checkpoint plays an episode.

    Prints the path of each file, or why there is nothing to film.
    """
    grid = read_grid(folder)
    assert grid is not None, folder
    for task in dict.fromkeys(job["task"] for job in grid["jobs"]):
        runs = finished_runs(folder, grid, task, most=len(grid["variants"]))
        print(f"GIF: {len(runs)} agent{'s' * (len(runs) != 1)} act on {task}.", flush=True)
        episodes = [episode for player in load_players(runs) if (episode := play(player))]
        path = acting_film_path(folder, task)
        if not episodes:
            path.unlink(missing_ok=True)
            print(f"No GIF of {task}: {NOTHING_TO_DRAW if runs else 'no run has a checkpoint.'}", flush=True)
            continue
        write_bytes(path, video.encode_gif(side_by_side(episodes)))
        print(f"GIF of all agents: {path}", flush=True)


def play(player: Player) -> FilmedEpisode | None:
    """Film the first episode of an agent in evaluation, at most MAX_STEPS. Return None if nothing can be drawn."""
    pictures, returns, total = [], [], 0.0
    config = player.config | {"env": player.config["env"] | {"film": True}}
    with rng.isolated_rng(FILM_SEED, player.seed), clip_env(config) as envs:
        draw = picture_source(envs)
        record, state = envs.reset(), player.agent.initial(1)
        for _ in range(MAX_STEPS):
            if (picture := draw(record)) is None:
                return None
            total += float(record["reward"][0])
            pictures.append(picture)
            returns.append(total)
            if record["is_last"][0]:
                break
            action, _, state = player.agent.act(without_log(record), state, mode="eval")
            record = envs.step(require_finite(action))
    name = f"{player.variant}, {player.frames:,} frames"
    return FilmedEpisode(name, video.stack_frames(pictures), np.array(returns), bool(record["is_last"][0]))


def side_by_side(episodes: Sequence[FilmedEpisode]) -> np.ndarray:
    """Return pictures (T, H', W', 3) with all episodes next to each other, PER_ROW in a row.

    An episode that is over keeps its last picture; its label says that it has ended.
    """
    length = max(len(one.pictures) for one in episodes)
    steps = [*range(0, length - 1, -(-length // MAX_PICTURES)), length - 1]
    columns = [np.stack([panel(one, step) for step in steps]) for one in episodes]
    blank = np.full_like(columns[0], 255)
    columns += [blank] * (-len(columns) % min(PER_ROW, len(columns)))
    rows = [np.concatenate(columns[i : i + PER_ROW], axis=2) for i in range(0, len(columns), PER_ROW)]
    return np.concatenate(rows, axis=1)


def panel(episode: FilmedEpisode, step: int) -> np.ndarray:
    """Return the picture of an episode at a step, below its name and its return so far.

    The shape is (SIDE + LABEL_HEIGHT, SIDE, 3), uint8.
    """
    last = len(episode.pictures) - 1
    place, over = min(step, last), step >= last
    state = ", ended" if over and episode.ended else ""
    image = Image.new("RGB", (SIDE, SIDE + LABEL_HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    draw.text((3, 1), shorten(episode.name, SIDE // LETTER_WIDTH).replace("…", ".."), "black")
    text = f"return {score(float(episode.returns[place]))}{state}".replace("−", "-")
    draw.text((3, 14), text, video.GREEN if state else video.GRAY)
    picture = Image.fromarray(episode.pictures[place])
    scale = SIDE / max(picture.size)
    shape = round(picture.width * scale), round(picture.height * scale)
    smooth = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    image.paste(picture.resize(shape, smooth), ((SIDE - shape[0]) // 2, LABEL_HEIGHT + (SIDE - shape[1]) // 2))
    return np.asarray(image)
