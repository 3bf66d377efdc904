"""`plan`: how long a run of these flags takes here, what it needs, what dominates, and what would make it cheaper."""

import json
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

import torch

from common.commands.speed import build_run, measure_run, output_path
from common.config.request import Request
from common.errors import UserError
from common.files import write_text
from common.nn import machine, rng
from common.profiling import forecast, measure
from common.profiling.cost_suggestions import CostSuggestions
from common.profiling.forecast import RunCounts, UnitTimes
from common.profiling.plan_table import render
from common.replay.capacity import free_disk, free_memory
from common.storage import video
from common.storage.logdir import resolve_logdir
from common.training.factory import Factory

OPTIONS: dict[str, Any] = {"updates": 20, "json": ""}
PATIENCE = 60.0  # seconds after which no further update is timed


def plan(request: Request, factory: Factory | None = None) -> dict:
    """Measures, prints and returns the forecast; writes it where --json says. Times in seconds, sizes in bytes.

    Raises UserError for words that mean nothing here, and where the run cannot start.
    """
    own = request.options
    if request.positionals:
        raise UserError(f"plan takes the flags of training, got {request.positionals[0]!r}.")
    if own["updates"] < 1:
        raise UserError(f"--updates must be at least 1, got {own['updates']}.")
    path = output_path("json", own["json"]) if own["json"] else None
    request = request._replace(algo=request.single_algo())
    config = request.config(str(request.algo))
    print(f"Timing {own['updates']} updates, or as many as fit in a minute ...", file=sys.stderr, flush=True)
    rng.seed_all(config["seed"])
    with build_run(config, factory or Factory()) as made:
        found = forecast_run(request, config, made)
    print(render(found), flush=True)
    if path:
        write_text(path, json.dumps(found, indent=2) + "\n")
        print(f"Written: {path}")
    return found


def forecast_run(request: Request, config: dict, made: tuple) -> dict[str, Any]:
    """Everything that is printed, as plain numbers and texts."""
    envs, agent, replay, *_ = made
    speed = measure_run(config, made, request.options["updates"], seconds=PATIENCE)
    film = measure.time_model_videos(agent, replay, config["batch_size"], config["batch_length"])
    picture = measure.time_episode_frame(envs.obs_space)
    done = forecast.count_run(config, images=video.first_image_key(dict(envs.obs_space.items())) is not None)
    pace = pace_of(speed, film[0], picture[0])
    time, kept = forecast.forecast_seconds(done, pace), forecast.replay_bytes(done, replay)
    found = {
        **{key: speed[key] for key in ("algo", "task", "environments", "where", "precision", "compiled", "device")},
        "updates_timed": len(speed["updates"]["seconds"]),
        "frames": config["steps"],
        "max_seconds": config["run"]["max_seconds"],
        "evaluations": forecast.count_due(config, "eval"),
        "counts": done._asdict(),
        "pace": pace._asdict(),
        "time": time,
        "total": sum(time.values()),
        "replay": {"records": min(done.records, replay.forecast().records), "limit": replay.forecast().limit}
        | {"record_bytes": replay.forecast().record_bytes, "bytes": kept},
        "memory": memory(config, speed, kept),
        "disk": disk(config, agent, replay, kept) | written(done, speed["line"]["bytes"], film[1], picture[1]),
        "disk_free": free_disk(resolve_logdir(config)),
    }
    return found | {
        "cheaper": [saving._asdict() for saving in CostSuggestions(request, config, made, speed, found).suggestions()]
    }


def pace_of(speed: dict, film: float, picture: float) -> UnitTimes:
    """What `speed` measured, with the seconds of films and pictures, as the forecast wants it."""
    step, drawn, line = speed["step"], speed["sampling"], speed["line"]
    return UnitTimes(
        update=speed["updates"]["median"],
        draw=drawn["seconds"] + drawn["write_back"],
        log=line["add"],
        policy=step["policy"],
        environment=step["env"],
        store=step["replay"],
        line=line["write"],
        film=film,
        picture=picture,
    )


def memory(config: dict, speed: dict, kept: int) -> dict[str, int]:
    """Bytes of memory: of the program, of workers with environments, of the replay at the end; on a GPU; and free."""
    gpu = speed["peak_memory"] if speed["device"] != "cpu" else 0
    peak = machine.peak_memory(torch.device("cpu")) if gpu else speed["peak_memory"]
    program = max(0, peak - speed["replay_bytes"])
    replay = 0 if config["replay"]["disk"] else kept
    workers = sum(map(resident, multiprocessing.active_children()))
    return {"program": program, "workers": workers, "replay": replay, "gpu": gpu, "free": free_memory() + peak}


def resident(process: Any) -> int:
    """Bytes of memory that a process of ours has; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def disk(config: dict, agent: torch.nn.Module, replay: Any, kept: int) -> dict[str, int]:
    """Bytes of the replay, at most, and of the checkpoints in the logdir when the run ends."""
    records = forecast.replay_file_bytes(kept, replay, config["replay"]["disk"])
    return {"replay": records, "checkpoints": forecast.checkpoint_bytes(agent)}


def written(done: RunCounts, line: float, film: float, picture: float) -> dict[str, int]:
    """Bytes of logs and, at most, of videos, which are in files of their own and in TensorBoard's."""
    return {"logs": round(done.lines * line), "videos": round(2 * (done.films * film + done.pictures * picture))}
