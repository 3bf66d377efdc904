"""Forecast of a run: measured times of its parts, its counts, its memory and disk, and suggestions that save time."""

import multiprocessing
import os
from pathlib import Path
from typing import Any

import torch

from common.config.request import Request
from common.nn import machine
from common.profiling import forecast, measure
from common.profiling.cost_suggestions import CostSuggestions
from common.profiling.forecast import UnitTimes
from common.profiling.speed import BuiltRun, measure_run
from common.replay.capacity import free_disk, free_memory
from common.storage import video
from common.storage.logdir import resolve_logdir

MAX_TIMING_SECONDS = 30.0  # of updates; building the run and timing its other parts takes about as long
RATE_KEYS = ("matmul_flops_per_second", "copy_bytes_per_second")
COPIED_KEYS = ("algo", "task", "environments", "where", "precision", "compiled", "device")


def forecast_run(request: Request, config: dict, run: BuiltRun, updates: int) -> dict[str, Any]:
    """Measure `updates` updates and the other parts of a run. Return the forecast as plain numbers and texts.

    Times are in seconds, sizes in bytes.
    """
    speed = measure_run(config, run, updates, seconds=MAX_TIMING_SECONDS)
    film, film_bytes = measure.time_model_videos(run.agent, run.replay, config["batch_size"], config["batch_length"])
    picture, picture_bytes = measure.time_episode_frame(run.envs.obs_space)
    counts = forecast.count_run(config, images=video.first_image_key(dict(run.envs.obs_space.items())) is not None)
    pace = unit_times(speed, film, picture)
    time, size = forecast.forecast_seconds(counts, pace), run.replay.forecast()
    kept = forecast.replay_bytes(counts, run.replay)
    found = {
        **{key: speed[key] for key in COPIED_KEYS},
        "updates_timed": len(speed["updates"]["seconds"]),
        "frames": config["steps"],
        "max_seconds": config["run"]["max_seconds"],
        "evaluations": forecast.count_due(config, "eval"),
        "rates": {key: speed["machine"][key] for key in RATE_KEYS},
        "counts": counts._asdict(),
        "pace": pace._asdict(),
        "time": time,
        "total": sum(time.values()),
        "replay": {
            "records": min(counts.records, size.records),
            "limit": size.limit,
            "record_bytes": size.record_bytes,
            "bytes": kept,
        },
        "memory": memory_bytes(config, speed, kept),
        "disk": {
            "replay": forecast.replay_file_bytes(kept, run.replay, config["replay"]["disk"]),
            "checkpoints": forecast.checkpoint_bytes(run.agent),
            "logs": round(counts.lines * speed["line"]["bytes"]),
            # as files and in TensorBoard's
            "videos": round(2 * (counts.films * film_bytes + counts.pictures * picture_bytes)),
        },
        "disk_free": free_disk(resolve_logdir(config)),
    }
    suggestions = CostSuggestions(request, config, run, speed, found).suggestions()
    return found | {"cheaper": [suggestion._asdict() for suggestion in suggestions]}


def unit_times(speed: dict, film: float, picture: float) -> UnitTimes:
    """Return the seconds of each unit of work. speed: content of `speed.json`; film, picture: seconds of each."""
    step, sampling, line = speed["step"], speed["sampling"], speed["line"]
    return UnitTimes(
        update=speed["updates"]["median"],
        draw=sampling["seconds"] + sampling["write_back"],
        log=line["add"],
        policy=step["policy"],
        environment=step["env"],
        store=step["replay"],
        line=line["write"],
        film=film,
        picture=picture,
    )


def memory_bytes(config: dict, speed: dict, kept: int) -> dict[str, int]:
    """Return memory of the program, its worker processes, the replay at the end and the GPU, and free memory."""
    gpu = speed["peak_memory"] if speed["device"] != "cpu" else 0
    peak = machine.peak_memory(torch.device("cpu")) if gpu else speed["peak_memory"]
    program = max(0, peak - speed["replay_bytes"])
    replay = 0 if config["replay"]["disk"] else kept
    workers = sum(map(resident_bytes, multiprocessing.active_children()))
    return {"program": program, "workers": workers, "replay": replay, "gpu": gpu, "free": free_memory() + peak}


def resident_bytes(process: Any) -> int:
    """Return the resident memory of a process; 0 on systems without /proc."""
    try:
        return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
