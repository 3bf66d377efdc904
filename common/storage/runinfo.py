"""`run.json`: what ran, on what, with which versions, for how long."""

import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from common.config.render_mode import nonstandard_render_mode
from common.files import write_text
from common.safe_io import read_json

PACKAGES = ("torch", "numpy", "gymnasium", "dm_control", "mujoco", "ale-py", "tensorboard", "ruamel.yaml", "pillow")


class RunInfo:
    """The `run.json` of a logdir; each start of the process is one entry of its `sessions`."""

    def __init__(self, logdir: Path, config: dict):
        self.path = logdir / "run.json"
        self.data = {"task": config["task"], "algo": config["algo"], "seed": config["seed"], "wall": 0.0}
        self.data |= {"render": how} if (how := nonstandard_render_mode(config)) else {}
        self.data |= {"resumes": 0, "sessions": _stored(self.path, "sessions", list) or []}
        self.data |= {"peak_memory": _stored(self.path, "peak_memory", int) or 0}

    def begin(self, frames: int, parameters: int) -> None:
        """Adds this process as a session that goes on at `frames`; `update` stores it."""
        self.data["sessions"].append({**session_facts(), "frames": frames})
        self.data |= {"resumes": len(self.data["sessions"]) - 1, "parameters": parameters}

    def update(self, frames: int, updates: int, wall: float, memory: int) -> None:
        """Stores progress over all sessions: frames, updates, seconds of training; and the largest `memory` (bytes)."""
        self.data |= {"frames": frames, "updates": updates, "wall": round(wall, 3)}
        self.data["peak_memory"] = max(memory, self.data["peak_memory"])
        write_text(self.path, json.dumps(self.data, indent=2) + "\n")


def session_facts() -> dict:
    """Facts about this process."""
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": shlex.join(sys.argv),
        "git": git_revision(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "hardware": hardware(),
        "threads": torch.get_num_threads(),
    }


def hardware() -> dict:
    """Processor, cores, memory in GiB and GPUs of this machine."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cpu": _cpu(), "cores": os.cpu_count(), "memory_gib": round(memory, 1), "gpus": gpus}


def git_revision() -> str | None:
    """Commit of this program, with `+` where files differ from it; None outside a repository."""
    folder = Path(__file__).parent
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *command: str) -> str:
    done = subprocess.run(["git", *command], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def has_started(logdir: Path) -> bool:
    """Whether a run has ever got as far as training in `logdir`: run.json or a checkpoint says so."""
    return bool(_stored(logdir / "run.json", "sessions", list)) or any(logdir.glob("checkpoints/checkpoint-*.pt"))


def frames_trained(logdir: Path) -> int:
    """Frames of the run in `logdir` at its last save; 0 without one."""
    return _stored(logdir / "run.json", "frames", int) or 0


def seconds_trained(logdir: Path) -> float:
    """Seconds of training over all sessions of the run in `logdir` until its last save; 0 without one."""
    return _stored(logdir / "run.json", "wall", float) or 0.0


def is_finished(config: dict, frames: int, wall: float) -> bool:
    """Whether a run is finished that has come so far: in frames, or in seconds if `run.max_seconds` limits them."""
    return frames >= config["steps"] or 0 < config["run"]["max_seconds"] <= wall


def _stored(path: Path, key: str, kind: type) -> Any:
    """Value of `key` in a JSON file; None if it is not there or not of that kind."""
    try:
        value = read_json(path)[key]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, kind) else None
