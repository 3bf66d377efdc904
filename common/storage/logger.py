"""Metrics of a run: averaged between two lines without waiting for the device, checked, and written to all logs."""

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.errors import NonFiniteError
from common.files import write_bytes
from common.storage import video
from common.storage.loggers.run_logger import FINISHED, RunFacts, RunLogger
from common.storage.outputs import JsonLines, ScoreFile, TensorBoard


class RunningMeans:
    """Running means of named numbers; tensors stay on their device until `take`."""

    def __init__(self) -> None:
        self.groups: dict[tuple[str, ...], list] = {}  # names -> [sums, count]

    def add(self, metrics: Mapping[str, torch.Tensor | float]) -> None:
        """Add one value per name: 0-dim tensors, all on one device, or plain numbers."""
        if not metrics:
            return
        values = torch.stack([torch.as_tensor(value).detach().double() for value in metrics.values()])
        group = self.groups.setdefault(tuple(metrics), [torch.zeros_like(values), 0])
        group[0] = group[0].to(values.device) + values
        group[1] += 1

    def count(self, name: str) -> int:
        """Return how many values of a metric are in its mean."""
        return sum(count for names, (_, count) in self.groups.items() if name in names)

    def take(self) -> dict[str, float]:
        """Return the means since the last call, in order of first appearance."""
        means = self.peek()
        self.groups = {}
        return means

    def peek(self) -> dict[str, float]:
        """Return the means so far; waits for the device once per set of names."""
        totals: dict[str, list] = {}
        for names, (values, count) in self.groups.items():
            for name, value in zip(names, values.tolist(), strict=True):
                total = totals.setdefault(name, [0.0, 0])
                total[0] += value
                total[1] += count
        return {name: value / count for name, (value, count) in totals.items()}

    def state(self) -> list:
        """Return sums and counts for a checkpoint."""
        return [{"names": list(n), "sum": values.cpu(), "count": count} for n, (values, count) in self.groups.items()]

    def restore(self, state: list) -> None:
        """Set what `state` returned. Raises ValueError if it is malformed."""
        for group in state:
            if group["sum"].shape != (len(group["names"]),) or not isinstance(group["count"], int):
                raise ValueError(f"means of {group['names']}")
        self.groups = {tuple(group["names"]): [group["sum"], group["count"]] for group in state}


def spread_of(name: str, scores: list[float]) -> dict[str, float]:
    """Return the smallest, the largest and the standard deviation of returns, under names that begin with `name`."""
    array = np.array(scores, np.float64)
    return {f"{name}_min": float(array.min()), f"{name}_max": float(array.max()), f"{name}_std": float(array.std())}


class FiniteMetrics:
    """Drops metrics that are NaN or infinite, and reports each name once.

    A metric is for reading only. It does not end a run, whose losses, gradients, weights and actions are checked.
    """

    def __init__(self, report: Callable[[str], None]):
        self.report, self.reported = report, set[str]()

    def __call__(self, metrics: dict[str, float]) -> dict[str, float]:
        """Return the finite metrics."""
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        if new := [name for name in metrics if name not in finite and name not in self.reported]:
            self.reported |= set(new)
            self.report(f"Dropping non-finite metrics: {', '.join(new)}.")
        return finite


class Logger:
    """Writes `metrics.jsonl`, `scores.jsonl` and `videos/` of one run directory, and passes all to its other loggers.

    loggers: those of `run.logger`; TensorBoard alone if it is None. `state` is what `Logger.state` returned at the
    checkpoint from which the run resumes, None for a new run. Lines written after that checkpoint are removed. Raises
    TypeError, ValueError or LookupError if `state` is malformed.
    """

    def __init__(
        self, logdir: Path, *, task: str, method: str, seed: int, state: dict | None = None,
        loggers: Sequence[RunLogger] | None = None,
    ):  # fmt: skip
        state = state or {"offset": 0, "frames": 0, "means": [], "scores": None}
        self.logdir = logdir
        self.means = RunningMeans()
        self.means.restore(state["means"])
        self.scores = ScoreFile(logdir / "scores.jsonl", task=task, method=method, seed=seed)
        self.scores.restore(state["scores"])
        self.lines = JsonLines(logdir / "metrics.jsonl", state["offset"])
        self.loggers = [TensorBoard(logdir, state["frames"])] if loggers is None else loggers

    def start(self, facts: RunFacts) -> None:
        """Start the loggers, once it is certain that the run begins."""
        for logger in self.loggers:
            logger.start(facts)

    def add(self, metrics: Mapping[str, torch.Tensor | float]) -> None:
        """Add values to the means of the next line."""
        self.means.add(metrics)

    def log_episode(self, frames: int, score: float, length: int, extra: Mapping[str, float]) -> None:
        """Add a finished training episode: undiscounted return, length in agent steps, numbers of the environment.

        The environment's names are written under `env/`, where this program has no metrics.
        """
        self.scores.add("train", frames, score)
        self.means.add({"episode/score": float(score), "episode/length": float(length)})
        self.means.add({f"env/{name}": float(value) for name, value in extra.items()})

    def take_means(self) -> dict[str, float]:
        """Return the means since the last call, and the spread of the episode returns in them, sorted by name.

        A resumed run logs the same numbers in the same order.
        """
        count = self.means.count("episode/score")
        spread = spread_of("episode/score", self.scores.points["train"]["ys"][-count:]) if count else {}
        return dict(sorted({**self.means.take(), **spread}.items()))

    def write(self, counters: dict[str, float], metrics: dict[str, float]) -> dict[str, float]:
        """Write one line: `counters` (with `frames`), then `metrics`; return the metrics.

        Raises NonFiniteError, with nothing written, if one of them is NaN or infinite.
        """
        if bad := [name for name, value in metrics.items() if not math.isfinite(value)]:
            raise NonFiniteError(bad)
        self.lines.write({**counters, **metrics})
        now = time.time()
        for logger in self.loggers:
            logger.scalars(counters, metrics, now)
        self.scores.write()
        return metrics

    def log_failure(self, frames: int, message: str) -> None:
        """Add a message of several lines, such as a traceback, to `failures.log`."""
        with (self.logdir / "failures.log").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}, frame {frames:,}: {message}\n\n")

    def save_video(self, name: str, frames: int, pictures: np.ndarray) -> None:
        """Store uint8 `pictures` (T, H, W, 3) as a GIF in `videos/`, and pass it to the loggers."""
        folder = self.logdir / "videos"
        folder.mkdir(exist_ok=True)
        path = folder / f"{name.replace('/', '_')}_{frames:09d}.gif"
        write_bytes(path, video.encode_gif(pictures))
        for logger in self.loggers:
            logger.film(name, path, (pictures.shape[1], pictures.shape[2]), frames, time.time())

    def state(self, frames: int) -> dict[str, Any]:
        """Return what the next process needs to continue in the middle of a line; put files on disk."""
        self.scores.write()
        offset = self.lines.sync()
        return {"offset": offset, "frames": frames, "means": self.means.state(), "scores": self.scores.points}

    def close(self, end: str = FINISHED) -> None:
        """Close all files and loggers. end: how the process ends, for the loggers."""
        with contextlib.ExitStack() as stack:  # closes all of them, also after an error
            for logger in self.loggers:
                stack.callback(logger.close, end)
            self.lines.close()
