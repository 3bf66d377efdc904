"""Films of a run: what the model predicts, and episodes of training."""

from typing import Any, NamedTuple

import numpy as np

from common.storage import video

CONTEXT_STEPS = 5  # steps that the model sees before it predicts open loop


class Prediction(NamedTuple):
    """error: mean squared error of the steps that the model has not seen; pictures: uint8 (T, H, W, 3)."""

    error: float
    pictures: np.ndarray


def predict_open_loop(agent: Any, replay: Any, batch: int, length: int) -> dict[str, Prediction]:
    """What the model predicts open loop for a few sequences of the replay, by key of the observation."""
    rows, context = min(video.MAX_ROWS, batch), min(CONTEXT_STEPS, length - 1)
    pairs = agent.report(replay.sample(rows, length, report=True), context)
    error = lambda truth, model: float(video.error_curve(truth, model)[context:].mean())
    show = lambda truth, model: video.open_loop_frames(truth, model, context)
    return {key: Prediction(error(*pair), show(*pair)) for key, pair in pairs.items()}


class Camera:
    """Films one training episode at a time, where there are images: the next one after `begin`."""

    def __init__(self, obs_space: Any):
        self.key = video.first_image_key(dict(obs_space.items()))
        self.film: video.EpisodeRecorder | None = None

    def begin(self) -> None:
        """Waits for the next episode."""
        self.film = video.EpisodeRecorder(self.key) if self.key else None

    def see(self, record: dict) -> np.ndarray | None:
        """Takes in a record of all environments; the pictures uint8 (T, H, W, 3) once an episode is over."""
        if self.film is None:
            return None
        self.film.see(record)
        if not self.film.done:
            return None
        film, self.film = self.film, None
        return film.pictures()
