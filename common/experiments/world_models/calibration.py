"""Calibration of the heads of a world model: reliability in bins with counts, and scores of probabilities."""

from typing import Any

import numpy as np

BINS = 10


def reliability(predicted: np.ndarray, truth: np.ndarray, low: float, high: float) -> dict[str, Any]:
    """Sort predictions (n,) into equal bins from low to high; return counts, mean prediction and mean truth of each.

    error: the mean distance between the two means, weighted by the counts (expected calibration error). Predictions
    outside the range count in the outer bins. mse: mean squared error.
    """
    width = (high - low) / BINS
    places = np.clip(((predicted - low) / width).astype(int), 0, BINS - 1) if width > 0 else np.zeros(len(truth), int)
    counts = np.bincount(places, minlength=BINS)
    sums = [np.bincount(places, values, BINS) for values in (predicted, truth)]
    return {
        "low": low,
        "high": high,
        "counts": counts.tolist(),
        "predicted": sums[0].tolist(),
        "truth": sums[1].tolist(),
        "error": float(np.abs(sums[0] - sums[1]).sum() / max(1, len(truth))),
        "mse": float(np.square(predicted - truth).mean()),
    }


def bernoulli_scores(probability: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Return Brier score and log loss in nats of probabilities (n,), and the Brier score of the share of ones."""
    clipped = probability.clip(1e-6, 1 - 1e-6)
    share = float(truth.mean())
    return {
        "brier": float(np.square(probability - truth).mean()),
        "log_loss": float(-(truth * np.log(clipped) + (1 - truth) * np.log(1 - clipped)).mean()),
        "base_brier": share * (1 - share),
        "ends": int((truth == 0).sum()),
    }
