"""Clips of held-out episodes, in which models predict open loop, and predictions of them without a model."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from common.experiments.world_models.predictions import CONTINUE
from common.replay.ring import Arrays

MOST_CLIPS = 64
FILM_CLIPS = 4


class Clip(NamedTuple):
    """Records `first` to `last` of an episode: the model observes the episode until `start`, then predicts."""

    episode: int
    first: int
    start: int
    last: int


def choose_clips(starts: Sequence[int], context: int, horizon: int) -> list[Clip]:
    """Return clips that begin every `horizon` records of each episode, after at least `context` records.

    starts: place of the first record of each episode, and the number of records at the end.
    """
    clips = [
        Clip(episode, start - context + 1, start, min(start + horizon, stop - 1))
        for episode, (begin, stop) in enumerate(itertools.pairwise(starts))
        for start in range(begin + context - 1, stop - 1, horizon)
    ]
    chosen = np.linspace(0, len(clips) - 1, min(MOST_CLIPS, len(clips))).round().astype(int).tolist()
    return [clips[place] for place in chosen]


def film_clips(clips: Sequence[Clip]) -> list[Clip]:
    """Return the first clip of each of the first episodes."""
    first = {clip.episode: clip for clip in reversed(clips)}
    return [first[episode] for episode in sorted(first)][:FILM_CLIPS]


def by_step_and_episode(errors: np.ndarray, clips: Sequence[Clip], episodes: int) -> dict[str, list]:
    """Return means over clips (clips, H) by step (H,), and over clips and steps by episode; None without a clip."""
    steps = [mean_of_known(errors[:, step]) for step in range(errors.shape[1])]
    own = [[place for place, clip in enumerate(clips) if clip.episode == episode] for episode in range(episodes)]
    return {"steps": steps, "episodes": [mean_of_known(errors[places]) for places in own]}


def mean_of_known(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def baseline_errors(
    episodes: Sequence[Arrays], means: dict[str, np.ndarray], images: Sequence[str], context: int, horizon: int
) -> dict[str, dict[str, list[float | None]]]:
    """Return the errors by step (H,) of two predictions without a model, on the same clips as the models'.

    mean: the mean over the training records, by key. last: the last record that was observed.
    """
    starts = np.cumsum([0, *(len(episode["reward"]) for episode in episodes)]).tolist()
    clips, found = choose_clips(starts, context, horizon), {}
    for key, mean in means.items():
        scale = 255.0 if key in images else 1.0
        whole = np.concatenate([true_values(episode, key) for episode in episodes])
        errors = np.full((2, len(clips), horizon), np.nan)
        for row, clip in enumerate(clips):
            truth = whole[clip.start + 1 : clip.last + 1] / scale
            for place, guess in enumerate((mean, whole[clip.start])):
                gap = np.square(truth - np.asarray(guess, np.float64) / scale).reshape(len(truth), -1)
                errors[place, row, : len(truth)] = gap.mean(1)
        names = ("mean", "last")
        found[key] = {n: [mean_of_known(errors[i, :, step]) for step in range(horizon)] for i, n in enumerate(names)}
    return found


def true_values(arrays: Arrays, key: str) -> np.ndarray:
    """Return an observation, the reward, or 1 where the episode continues."""
    return 1.0 - arrays["is_terminal"] if key == CONTINUE else arrays[key]
