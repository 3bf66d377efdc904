"""Videos of a training run: open-loop predictions of the model, and training episodes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from common.agent.agent import Agent
from common.replay import Replay
from common.storage import video

CONTEXT_STEPS = 5  # steps that the model observes before it predicts open loop
NOTHING_TO_DRAW = (
    "this task has no images, and its environment cannot draw any. It may lack a render method or a package "
    "for it. For Gymnasium's classic control: pip install 'gymnasium[classic-control]'."
)


class Prediction(NamedTuple):
    """error: mean squared error over the predicted steps; pictures: uint8 (T, H, W, 3)."""

    error: float
    pictures: np.ndarray


def predict_open_loop(agent: Agent, replay: Replay, batch: int, length: int) -> dict[str, Prediction]:
    """Predict a few sequences of the replay open loop; return the predictions by observation key."""
    rows, context = min(video.MAX_ROWS, batch), min(CONTEXT_STEPS, length - 1)
    pairs = agent.report(replay.sample(rows, length, report=True), context)
    error = lambda truth, model: float(video.error_curve(truth, model)[context:].mean())
    show = lambda truth, model: video.open_loop_frames(truth, model, context)
    return {key: Prediction(error(*pair), show(*pair)) for key, pair in pairs.items()}


def picture_source(envs: Any) -> Callable[[dict], np.ndarray | None]:
    """Return a function from a record to a picture: its image, or a drawing by the environment."""
    key = video.first_image_key(dict(envs.obs_space.items()))
    return (lambda record: video.to_rgb(record[key][0]).copy()) if key else lambda record: envs.render(0)


class Camera:
    """Records one training episode at a time, the next one after `begin`, if observations have images."""

    def __init__(self, obs_space: spaces.Dict) -> None:
        self.key = video.first_image_key(dict(obs_space.items()))
        self.film: video.EpisodeRecorder | None = None

    def begin(self) -> None:
        """Record the next episode."""
        self.film = video.EpisodeRecorder(self.key) if self.key else None

    def see(self, record: dict[str, Any], broken: bool = False) -> np.ndarray | None:
        """Take a record of all environments; return pictures uint8 (T, H, W, 3) when an episode has ended.

        broken: whether the record of the first environment closes an episode that a failure cut short.
        """
        if self.film is None:
            return None
        self.film.see(record, broken)
        if not self.film.done:
            return None
        film, self.film = self.film, None
        return film.pictures()
