"""Tiny trainings that are killed and resumed, and the comparison with uninterrupted ones."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from common.replay import chunked_ring, mapped_ring
from common.replay.ring import Ring
from common.storage.checkpoints import Checkpoints

HERE = Path(__file__).parent
EVERY = 20  # frames between two checkpoints

#: Where a child may be killed, as the launcher has it.
PLACES = ("beginning", "files", "checkpoint", "replay", "evaluation", "logs", "loop", "agent", "environment")

RUN = [
    "--configs", "debug", "--task", "dummy_onehot_7", "--steps", "80", "--batch_size", "2", "--batch_length", "6",
    "--run.threads", "1", "--run.device", "cpu", "--run.precision", "fp32", "--run.prefill", "20", "--run.envs", "2",
    "--run.log_every", "10", "--run.save_every", str(EVERY), "--run.eval_every", "30", "--run.video_every", "0",
    "--run.compile", "off", "--replay.capacity", "50",
]  # fmt: skip
RATES = {
    "v1": ["--schedule.every", "20", "--schedule.updates", "2"],
    "v2": ["--schedule.steps", "10"],
    "v3": ["--schedule.ratio", "2"],
    "v3-2023": ["--schedule.ratio", "2"],
}
SETUPS = [(algo, disk) for algo in RATES for disk in (False, True)]


class Children:
    """A process that has imported everything and forks a child for each command line."""

    def __init__(self, folder: Path):
        command = [sys.executable, str(HERE / "launcher.py"), str(folder)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.folder = folder
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": (folder / "launcher.log").open("w")}
        self.process = subprocess.Popen(command, **pipes, text=True, env=environment)

    def run(self, words, place="", at=0, seconds=120) -> dict:
        """Return the outcome of `python dreamer.py WORDS`, killed at call number `at` from `place`."""
        task = {"words": [str(word) for word in words], "folder": str(self.folder), "place": place, "at": at}
        self.process.stdin.write(json.dumps({**task, "seconds": seconds}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


class Straight(NamedTuple):
    """An uninterrupted run: its words without --logdir, its folder, and its number of calls by place."""

    words: list
    logdir: Path
    calls: dict


def straight(children: Children, algo: str, disk: bool, folder: Path) -> Straight:
    """Train without interruption."""
    words = ["--algo", algo, *RUN, *RATES[algo], "--replay.disk", disk]
    done = children.run([*words, "--logdir", folder], at=1)
    assert done["status"] == 0, done["output"]
    return Straight(words, folder, done["calls"])


class Loss(NamedTuple):
    """Loss by a kill: frames and updates since the checkpoint at which the run resumes."""

    place: str
    frames: int
    updates: int


def killed_and_resumed(children: Children, run: Straight, logdir: Path, kills: list) -> list[Loss]:
    """Kill a run at each (place, fraction of the calls there), let it finish, and compare it with the straight one.

    Returns the losses of the kills that met it: near the end, a run may finish before its kill.
    """
    losses: list[Loss] = []
    words = [*run.words, "--logdir", logdir]
    for place, fraction in kills:
        done = children.run(words, place, 1 + int(fraction * run.calls[place]))
        if done["status"] == 0:
            break
        assert done["status"] == signal.SIGKILL, done
        saved = Checkpoints(logdir / "checkpoints").load() or {"counters": {"updates": 0}, "frames": 0}
        made = (done["frames"] - saved["frames"], done["updates"] - saved["counters"]["updates"])
        losses.append(Loss(place, *(max(0, lost) for lost in made)))  # below 0: killed before it resumed
        assert losses[-1].frames <= EVERY + 2, (kills, losses)  # a round of two environments may overshoot
    done = children.run(words)
    assert done["status"] == 0, (kills, done)
    equal(run.logdir, logdir)
    left = [path.name for path in logdir.rglob("*.tmp")]
    assert not left, (kills, left)
    return losses


def equal(one: Path, other: Path) -> None:
    """Assert that two finished runs are equal, bit by bit."""
    for name in ("metrics.jsonl", "scores.jsonl"):
        assert lines(one / name) == lines(other / name), name
    states = [Checkpoints(path / "checkpoints").load() for path in (one, other)]
    best = [Checkpoints(path / "checkpoints").load_best() for path in (one, other)]
    same(*best, "best")
    for key in ("agent", "counters", "collector", "evaluator", "schedule", "clocks", "rng"):
        same(*(state.get(key) for state in states), key)
    same(
        *(records(path / "replay", state["replay"]) for path, state in zip((one, other), states, strict=True)), "replay"
    )


def lines(path: Path) -> list[dict]:
    """Return lines of JSON without entries that depend on the clock."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.startswith(("wall", "time/", "fps/"))} for row in rows]


def same(one, other, name: str) -> None:
    """Assert that two trees of tensors, arrays and plain values are equal."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), name
        for key in one:
            same(one[key], other[key], f"{name}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), name
        for index, pair in enumerate(zip(one, other, strict=True)):
            same(*pair, f"{name}.{index}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), name
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other, err_msg=name)
    else:
        assert one == other, (name, one, other)


def records(folder: Path, state: dict) -> dict:
    """Return all records that a replay's state describes, read from its files, with their numbers."""
    kind = mapped_ring if state["kind"] == "ring" else chunked_ring
    about = json.loads((folder / ("ring.json" if state["kind"] == "ring" else "chunks.json")).read_text())
    shapes = about["keys"].items()
    arrays = {k: np.zeros((about["streams"], state["slots"], *shape), dtype) for k, (shape, dtype) in shapes}
    ring = Ring(arrays, state["count"], state["oldest"])
    assert kind.load(folder, state, ring) == []
    first, stop = np.array(ring.oldest), np.array(ring.count)
    return {"first": first, "stop": stop, **{key: ring.block(key, ring.oldest, ring.count) for key in arrays}}


def random_kills(seed: int) -> list:
    """Return one to three kills at random places."""
    draw = random.Random(seed)
    return [(draw.choice(PLACES), draw.random()) for _ in range(draw.choice([1, 1, 2, 3]))]
