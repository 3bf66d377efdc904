"""Log files of a run: JSON lines, TensorBoard events, and score files in the format of the published ones."""

import functools
import itertools
import json
import operator
import os
import socket
import time
from pathlib import Path
from typing import BinaryIO

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from common.files import write_text
from common.safe_io import is_finite_number
from common.storage.loggers.run_logger import RunFacts

SCORE_TAGS = {"episode/score": "Score/train", "eval/score": "Score/eval"}  # metric -> its second tag in TensorBoard
EVENT_FILE_NUMBERS = itertools.count()  # of this process


class JsonLines:
    """One JSON object per line, appended; bytes beyond `offset`, of an interrupted process, are cut off.

    The file is opened at the first line: until then a run may be refused, which must change nothing.
    """

    def __init__(self, path: Path, offset: int = 0):
        self.path, self.offset = path, operator.index(offset)

    @functools.cached_property
    def file(self) -> BinaryIO:
        """The file, opened and cut at the first use."""
        file = self.path.open("ab")
        if file.tell() > self.offset:
            file.truncate(self.offset)
            file.seek(0, os.SEEK_END)
        return file

    def write(self, row: dict) -> None:
        """Append `row` as strict JSON."""
        self.file.write(json.dumps(row, allow_nan=False).encode() + b"\n")
        self.file.flush()

    def sync(self) -> int:
        """Put all lines on disk; return the length of the file in bytes."""
        os.fsync(self.file.fileno())
        return self.file.tell()

    def close(self) -> None:
        """Close the file."""
        if "file" in self.__dict__:
            self.file.close()


class TensorBoard:
    """Scalars and GIF videos over environment frames; after a resume, points beyond `frames` are hidden.

    TensorBoard shows nothing for a tag of two kinds, so every film has a tag of its own below `film/`. It sorts groups
    by name, capitals first: the scores are also written below `Score/`, which puts them before all others.

    Writes at once, without TensorBoard's thread, which ends with a traceback if the disk is full.
    """

    def __init__(self, logdir: Path, frames: int = 0):
        self.logdir, self.frames = logdir, frames

    @functools.cached_property
    def writer(self) -> RecordWriter:
        """A new event file, opened at the first use."""
        number = next(EVENT_FILE_NUMBERS)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{number:06d}"
        writer = RecordWriter((self.logdir / name).open("wb"))
        start = Event(step=self.frames + 1 if self.frames else 0, session_log=SessionLog(status=SessionLog.START))
        for event in (Event(wall_time=time.time(), file_version="brain.Event:2"), start):
            writer.write(event.SerializeToString())
        return writer

    def start(self, facts: RunFacts) -> None:
        """Do nothing: a file is opened at the first point."""

    def scalars(self, counters: dict[str, float], metrics: dict[str, float], wall: float) -> None:
        """Add one point to the curve of each name."""
        scores = {tag: metrics[name] for name, tag in SCORE_TAGS.items() if name in metrics}
        values = [Summary.Value(tag=name, simple_value=value) for name, value in {**scores, **metrics}.items()]
        self._add(values, int(counters["frames"]), wall)

    def film(self, name: str, path: Path, size: tuple[int, int], frames: int, wall: float) -> None:
        """Add a GIF file of `size` (height, width)."""
        data = path.read_bytes()
        image = Summary.Image(height=size[0], width=size[1], colorspace=3, encoded_image_string=data)
        self._add([Summary.Value(tag=f"film/{name}", image=image)], frames, wall)

    def close(self, end: str) -> None:
        """Close the file."""
        if "writer" in self.__dict__:
            self.writer.close()

    def _add(self, values: list[Summary.Value], frames: int, wall: float) -> None:
        event = Event(step=frames, wall_time=wall, summary=Summary(value=values))
        self.writer.write(event.SerializeToString())
        self.writer.flush()


class ScoreFile:
    """`scores.jsonl`: one line with `xs` (frames) and `ys` (undiscounted returns) for each kind of episode.

    `train`: every training episode, at the frame it ended; `eval`: the mean of each evaluation.
    """

    def __init__(self, path: Path, **identity: str | int):
        self.path, self.identity = path, identity
        self.points: dict[str, dict[str, list]] = {kind: {"xs": [], "ys": []} for kind in ("train", "eval")}
        self._changed = True

    def restore(self, points: dict | None) -> None:
        """Continue from `points`, if any. Raises ValueError if they are malformed."""
        for kind, found in (points or {}).items():
            xs, ys = found["xs"], found["ys"]
            if kind not in self.points or len(xs) != len(ys) or not all(map(is_finite_number, [*xs, *ys])):
                raise ValueError(f"scores of {kind}")
            self.points[kind] = {"xs": [*xs], "ys": [*ys]}
        self._changed = True

    def add(self, kind: str, frames: int, score: float) -> None:
        """Add one point of `kind` 'train' or 'eval'."""
        self.points[kind]["xs"].append(frames)
        self.points[kind]["ys"].append(score)
        self._changed = True

    def write(self) -> None:
        """Replace the file if there are new points."""
        if self._changed:
            rows = [{**self.identity, "kind": kind, **points} for kind, points in self.points.items()]
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in rows))
            self._changed = False

    def last(self, kind: str) -> float | None:
        """Return the newest score of `kind`, None if there is none."""
        ys = self.points[kind]["ys"]
        return ys[-1] if ys else None
