"""`run.json`: what ran, on what hardware, with which versions, for how long."""

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

from common.config.render_mode import nonstandard_render_mode
from common.files import write_text
from common.safe_io import read_json

PACKAGES = ("torch", "numpy", "gymnasium", "dm_control", "mujoco", "ale-py", "tensorboard", "ruamel.yaml", "pillow")


class RunInfo:
    """The `run.json` of a run directory. Each process that trains adds one entry to its `sessions`."""

    def __init__(self, logdir: Path, config: dict):
        self.path = logdir / "run.json"
        self.data = {"task": config["task"], "algo": config["algo"], "seed": config["seed"], "wall": 0.0}
        self.data |= {"render": mode} if (mode := nonstandard_render_mode(config)) else {}
        self.data |= {"resumes": 0, "sessions": _stored(self.path, "sessions", list) or []}
        self.data |= {"peak_memory": _stored(self.path, "peak_memory", int) or 0}

    def begin(self, frames: int, parameters: int) -> None:
        """Add this process as a session that starts at `frames`; `update` stores it."""
        self.data["sessions"].append({**session_facts(), "frames": frames})
        self.data |= {"resumes": len(self.data["sessions"]) - 1, "parameters": parameters}

    def update(self, frames: int, updates: int, wall: float, memory: int) -> None:
        """Store totals over all sessions: frames, updates, seconds of training; and the largest `memory` in bytes."""
        self.data |= {"frames": frames, "updates": updates, "wall": round(wall, 3)}
        self.data["peak_memory"] = max(memory, self.data["peak_memory"])
        write_text(self.path, json.dumps(self.data, indent=2) + "\n")


def session_facts() -> dict:
    """Return facts about this process."""
    import torch  # here: workers and listings of runs read this module's files, and torch takes seconds to import

    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": shlex.join(sys.argv),
        "git": git_revision(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "hardware": hardware(),
        "threads": torch.get_num_threads(),
        **({"tf32": tf32_settings()} if torch.cuda.is_available() else {}),
    }


def hardware() -> dict:
    """Return processor, cores, memory in GiB and GPUs of this machine."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cpu": _cpu(), "cores": os.cpu_count(), "memory_gib": round(memory, 1), "gpus": gpus}


def tf32_settings() -> dict[str, bool]:
    """Return whether float32 products and convolutions of a GPU use TensorFloat-32, as torch is set."""
    import torch

    matmul = torch.get_float32_matmul_precision() != "highest"
    return {"products": matmul, "convolutions": bool(torch.backends.cudnn.allow_tf32)}


def git_revision() -> str | None:
    """Return the commit of this program, with `+` if files differ from it; None outside a repository."""
    git = lambda *command: subprocess.run(
        ["git", *command], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True
    ).stdout.strip()
    try:
        git("ls-files", "--error-unmatch", __file__)  # fails for an installation inside another repository
        return git("rev-parse", "HEAD") + "+" * bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None


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
    """Whether the run in `logdir` has started training, according to run.json or a checkpoint."""
    return bool(_stored(logdir / "run.json", "sessions", list)) or any(logdir.glob("checkpoints/checkpoint-*.pt"))


def frames_trained(logdir: Path) -> int:
    """Return the frames of the run in `logdir` at its last save; 0 without one."""
    return _stored(logdir / "run.json", "frames", int) or 0


def updates_made(logdir: Path) -> int:
    """Return the gradient updates of the run in `logdir` at its last save; 0 without one."""
    return _stored(logdir / "run.json", "updates", int) or 0


def seconds_trained(logdir: Path) -> float:
    """Return the seconds of training over all sessions until the last save; 0 without one."""
    return _stored(logdir / "run.json", "wall", float) or 0.0


def is_finished(config: dict, frames: int, wall: float) -> bool:
    """Whether a run is finished after `frames`, or after `wall` seconds if `run.max_seconds` limits them."""
    return frames >= config["steps"] or 0 < config["run"]["max_seconds"] <= wall


def _stored(path: Path, key: str, kind: type) -> Any:
    """Return the value of `key` in a JSON file; None if it is missing or not of that type."""
    try:
        value = read_json(path)[key]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, kind) else None
