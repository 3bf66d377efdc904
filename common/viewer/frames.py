"""Frames: the pictures and numbers that a session shows after a step, and the views of a run's picture."""

from typing import Any, NamedTuple

import numpy as np

from common.storage import video
from common.viewer.dreaming import Dreamer, Prediction


class Frame(NamedTuple):
    """Numbers and pictures after a step.

    numbers: plain JSON values for plots. real: picture of the environment, uint8 (H, W, 3), None if it has none.
    truths, models: picture that each run observes, and that it predicts; None for runs without one. predictions: of
    each run. vectors: true vectors (n,) by key; the last ones if the episode is over.
    """

    numbers: dict[str, Any]
    real: np.ndarray | None
    truths: list[np.ndarray | None]
    models: list[np.ndarray | None]
    predictions: list[Prediction]
    vectors: dict[str, np.ndarray]


def predicted_picture(prediction: Prediction, key: str | None) -> np.ndarray | None:
    """Return a predicted image as uint8 (H, W, 3); None if it is not predicted."""
    if key not in prediction.observations:
        return None
    return video.to_rgb((255 * prediction.observations[key].clip(0, 1)).round().astype(np.uint8))


def run_numbers(
    dreamer: Dreamer, prediction: Prediction, *, imagined: bool, true_reward: float | None, error: float | None
) -> dict[str, Any]:
    """Return the values of a run for plots. A step that it observes has a KL, and each step the prior's entropy.

    true_reward, error: None where there is no truth, after the end of an episode.
    """
    vectors = {key: x for key, x in prediction.observations.items() if x.ndim < 3}
    return {
        "reward": prediction.reward,
        "true_reward": None if true_reward is None else dreamer.learned_reward(true_reward),
        "value": prediction.value,
        "continue": prediction.proceed,
        "kl": None if imagined else dreamer.kl,
        "entropy": dreamer.entropy,
        "return": dreamer.total,
        "error": error,
        "vectors": {key: np.reshape(x, -1).tolist() for key, x in vectors.items()},
    }


def image_error(model: np.ndarray | None, real: np.ndarray | None) -> float | None:
    """Return the mean squared error of a predicted picture, with pixels in [0, 1]; None without a picture."""
    if model is None or real is None or model.shape != real.shape:
        return None
    return float(np.square((model.astype(np.float32) - real) / 255).mean())


def difference(model: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Return half the difference of two pictures uint8 (H, W, 3), added to gray: equal pixels are 128."""
    return ((model.astype(np.int16) - real.astype(np.int16) + 256) // 2).clip(0, 255).astype(np.uint8)


def view(frame: Frame, run: int, name: str) -> np.ndarray | None:
    """Return a run's picture in a view: real, model or difference; None without one."""
    model, truth = frame.models[run], frame.truths[run]
    if name == "model" or model is None or truth is None:
        return model
    return truth if name == "real" else difference(model, truth)
