"""Make one run of the study in a process of its own, and return what its score file says."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.contestant import revision
from benchmarks.learning.score_files import Run
from benchmarks.learning.settings import official_settings, our_config, our_words

ROOT = Path(__file__).resolve().parents[2]
START = Path(__file__).with_name("start.py")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
METRICS = ("train/randomness", "train/entropy", "train/kl", "train/post_entropy", "train/prior_entropy", "train/value")
METRICS += ("loss/dyn", "loss/con", "loss/reward", "loss/vector", "loss/image", "loss/critic", "loss/actor")


class Official(NamedTuple):
    """Where an official agent is: the folder of its code, and a Python with its packages."""

    checkout: Path
    python: str


class RunFailed(Exception):
    """A run ended with an error. The message has the last lines of its output."""


def make_official(run: Run, frames: int, official: Official) -> dict:
    """Train the official agent. Raises RunFailed."""
    settings = official_settings(run.version, run.task)
    with tempfile.TemporaryDirectory(prefix="learning_") as folder:
        job, out = Path(folder) / "job.json", Path(folder) / "result.json"
        about = {"checkout": str(official.checkout), "settings": settings, "out": str(out), "frames": frames}
        job.write_text(json.dumps({"version": run.version, "task": run.task, "seed": run.seed, **about}))
        used = execute([official.python, str(START), str(job)], Path(folder) / "output.txt")
        return {
            "budget": frames,
            **json.loads(out.read_text()),
            **used,
            "settings": settings,
            "revision": revision(official.checkout),
            "our_revision": revision(ROOT),
        }


def make_ours(run: Run, frames: int) -> dict:
    """Train our agent. Raises RunFailed."""
    words = our_words(run.version, run.task, run.seed, frames)
    with tempfile.TemporaryDirectory(prefix="learning_") as folder:
        logdir = Path(folder) / "run"
        command = [sys.executable, str(ROOT / "dreamer.py"), *words, "--logdir", str(logdir)]
        used = execute(command, Path(folder) / "output.txt")
        return {
            "budget": frames,
            **read_our_run(logdir),
            **used,
            "command": " ".join(["dreamer.py", *words]),
            "settings": our_config(run.version, run.task),
            "revision": revision(ROOT),
        }


def read_our_run(logdir: Path) -> dict:
    """Return what a run directory of this project says about a complete run."""
    scores = [json.loads(line) for line in (logdir / "scores.jsonl").read_text().splitlines()]
    (train,) = (line for line in scores if line["kind"] == "train")
    about = json.loads((logdir / "run.json").read_text())
    session = about["sessions"][-1]
    lines = [json.loads(line) for line in (logdir / "metrics.jsonl").read_text().splitlines()]
    return {
        "frames": train["xs"],
        "scores": train["ys"],
        "parameters": about["parameters"],
        "updates": about["updates"],
        "metrics": [{"frames": line["frames"], **chosen(line)} for line in lines if chosen(line)],
        "python": session["python"],
        "packages": session["packages"],
    }


def chosen(line: dict) -> dict:
    """Return those metrics of a line that both sides have, the loss of the observation under one name."""
    same_name = {"loss/vector": "loss/observation", "loss/image": "loss/observation"}
    return {same_name.get(key, key): line[key] for key in METRICS if key in line}


CHILDREN: set[subprocess.Popen] = set()


def execute(command: list[str], output: Path) -> dict:
    """Run a command on one thread. Return the seconds of its process and on the clock, and the date.

    Raises RunFailed with the end of its output if it fails.
    """
    start = time.time()
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=output.parent, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=os.environ | ONE_THREAD
        )
        CHILDREN.add(process)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        CHILDREN.discard(process)
    if process.returncode:
        last = output.read_text(errors="replace").splitlines()[-15:]
        raise RunFailed("\n".join([f"exit code {process.returncode}", *last]))
    return {
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "wall_seconds": round(time.time() - start, 1),
        "date": time.strftime("%Y-%m-%d"),
    }


def stop_all() -> None:
    """End the runs in progress."""
    for process in list(CHILDREN):
        process.terminate()
