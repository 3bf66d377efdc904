"""`eval`: plays episodes with the newest checkpoint of a run and reports their returns.

--video N records the first N episodes as GIF, and as mp4 if imageio-ffmpeg is installed. --out DIR writes all files
there, for a run directory that is read-only.
"""

import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import torch

from common.analysis import stats
from common.config.arguments import Option, Options, default_values
from common.config.render_mode import nonstandard_render_mode, render_mode_warning
from common.errors import UserError
from common.files import make_output_folder, write_bytes, write_text
from common.nn import rng
from common.safe_io import expand_path
from common.storage import spaces, video
from common.storage.logdir import stored_config
from common.storage.publication import is_published
from common.storage.run_source import find_run
from common.storage.runinfo import is_finished
from common.storage.saved_agent import load_saved_agent
from common.training.camera import NOTHING_TO_DRAW, picture_source
from common.training.evaluator import EvalResult, Evaluator
from common.training.factory import Factory
from common.training.saved_networks import load_networks
from common.training.threads import kept_threads

OPTIONS: Options = {
    "video": Option(0, "film this many episodes, as GIF and mp4", "N"),
    "best": Option(False, "use the checkpoint with the best score instead of the newest"),
    "out": Option("", "directory for the results (default: that of the run)", "DIR"),
}
#: Flag for runs -> what it is here.
RUN_FLAG_HELP = {"logdir": Option("", "run directory or published agent (needed)", "DIR")}
EXAMPLES = (
    "eval --logdir logs/pole --episodes 10",
    "eval --logdir logs/pole --mode sample --video 2",
    "eval --logdir logs/pole --best --out results",
)
VIDEO_FPS = 30
ONE_SEED_WARNING = (
    "This is the score of one seed. Other seeds may score differently: before you compare, train 3 or more "
    "(python dreamer.py compare --seeds 5, or --seed N)."
)


def evaluate(config: dict, factory: Factory | None = None) -> dict:
    """Play `run.eval_episodes` episodes with actions by `actor.eval`; print, write and return the result.

    config: that of the run in `config['logdir']`, perhaps with other `run.*` or `actor.eval`. Without
    `config['eval']['video']`, the first episode is recorded if `run.video_every` is not 0 and the task has images.

    Raises UserError if the run or its checkpoint is missing, does not fit the config, or may not be written to.
    """
    if not config.get("logdir"):
        raise UserError("eval needs a run directory: give --logdir.")
    logdir, run = find_run(config["logdir"]).absolute(), config["run"]  # environments may change the working folder
    config = {**config, "logdir": str(logdir)}
    trained_on = stored_config(logdir)
    own = default_values(OPTIONS) | config.get("eval", {})
    state = load_saved_agent(logdir, best=own["best"])
    films, out = own["video"], _target(logdir, own)
    if kept := kept_threads(run["threads"], state.get("threads")):
        torch.set_num_threads(kept.threads)
    result, pictures = _play(film_config(config, films) if films else config, state, factory or Factory(), own)
    summary = summarize(config, state["frames"], result, nonstandard_render_mode(trained_on))
    if out:
        write_text(out / "eval.json", json.dumps(summary, indent=2) + "\n")
    print(result_line(summary))
    if summary["n"]:
        print(ONE_SEED_WARNING)
    if "render" in summary:
        print(render_mode_warning(summary["render"]))
    if "wall" in state and not is_finished(config, state["frames"], state["wall"]):
        print(f"This run is not finished: the checkpoint is of {state['frames']:,} of {config['steps']:,} frames.")
    if out:
        _film(out / "videos", state["frames"], result.pictures, pictures, films)
    else:
        print("Nothing was written: a published agent stays as it is. --out DIR writes eval.json and videos.")
    return summary


def _target(logdir: Path, own: dict) -> Path | None:
    """Return the folder for eval.json and videos; None for a published agent, to which nothing is written.

    own: the OPTIONS. Raises UserError if the folder cannot be written, before any episode.
    """
    if out := own["out"]:
        make_output_folder(expand_path(out))
        return expand_path(out).absolute()
    if is_published(logdir):
        if own["video"]:
            raise UserError("A published agent stays as it is. Say where to put videos: --out DIR.")
        return None
    if not os.access(logdir, os.W_OK):
        raise UserError(f"{logdir} is read-only. Give another folder for eval.json and videos: --out DIR.")
    return logdir


def film_config(config: dict, films: int) -> dict:
    """Return the config for videos: one environment, in this process, that can draw."""
    if films < 1:
        raise UserError(f"--video takes the number of episodes to record, got {films}.")
    run, env = config["run"], config["env"] | {"film": True}
    run = run | {"parallel": "none", "eval_envs": 1, "video_every": 0}
    return config | {"run": run | {"eval_episodes": max(films, run["eval_episodes"])}, "env": env}


def summarize(config: dict, frames: int, result: EvalResult, trained_on: str = "") -> dict:
    """Return the content of eval.json; `std` is over episodes, `interval` the 95 % bootstrap interval of their mean.

    `n`, `scores` and `lengths` are of whole episodes; `broken` is the number of those that failures cut short. `mean`,
    `std` and `interval` are None without a whole episode.

    trained_on: render mode of the images that the agent learned from, if not the standard one.
    """
    found = result.summary()
    _, low, high = stats.bootstrap(stats.mean, [np.array(found["scores"])]) if found["n"] else (math.nan,) * 3
    return {
        "task": config["task"],
        "method": config["algo"],
        "seed": config["seed"],
        "frames": frames,
        "mode": config["actor"]["eval"],
        "mean": found["mean"],
        "std": found["std"],
        "interval": None if math.isnan(low) else [float(low), float(high)],
        "n": found["n"],
        "requested": config["run"]["eval_episodes"],
        "broken": found["broken"],
        "scores": found["scores"],
        "lengths": found["lengths"],
        **({"render": how} if (how := trained_on or nonstandard_render_mode(config)) else {}),
    }


def result_line(summary: dict) -> str:
    """Return the result as a line."""
    text = "eval {task} {method} at frame {frames:,}: "
    if not summary["n"]:
        text += "no score, because failures of the environment cut all {broken} episodes short. Fix the environment; "
        return (text + "`python dreamer.py check-env {task}` shows where it fails.").format(**summary)
    text += "{mean:.2f} ± {std:.2f} (mean ± std, n = {n}), {mode}"
    text += "; 95 % interval of the mean {interval[0]:.2f} to {interval[1]:.2f}" if summary["interval"] else ""
    text += "; not counted: {broken} episode(s) that failures cut short" if summary["broken"] else ""
    return text.format(**summary)


def _play(config: dict, state: dict, factory: Factory, own: dict) -> tuple[EvalResult, list[np.ndarray]]:
    """Play the episodes; return them and pictures (T, H, W, 3) for videos. own: the OPTIONS."""
    episodes, films = config["run"]["eval_episodes"], own["video"]
    if episodes < 1:
        raise UserError(f"run.eval_episodes must be at least 1 to evaluate, got {episodes}.")
    rng.seed_all(config["seed"])
    envs = factory.envs(config, evaluate=True)
    try:
        logdir = Path(config["logdir"])
        agent = load_networks(factory, envs.obs_space, envs.act_space, config, state, logdir, own["best"])
        if not own["out"] and not is_published(logdir):
            spaces.write(logdir, spaces.from_envs(envs))
        evaluator = Evaluator(agent, lambda: envs, config["seed"])
        camera = video.EvaluationRecorder(films, picture_source(envs))
        film = config["run"]["video_every"] > 0
        result = evaluator.run(episodes, state["frames"], film=film, films=camera if films else None)
        for message in evaluator.messages():
            print(message.partition("\n")[0], file=sys.stderr)
        return result, camera.pictures()
    finally:
        envs.close()


def _film(folder: Path, frames: int, first: np.ndarray | None, asked: list[np.ndarray], films: int) -> None:
    """Write the videos: the one by `run.video_every`, or those of --video."""
    if first is not None or asked:
        folder.mkdir(exist_ok=True)
    if first is not None:
        write_bytes(folder / f"eval_{frames:09d}.gif", video.encode_gif(first))
    if films and not asked:
        print(f"No video: {NOTHING_TO_DRAW}")
    shown = {folder / f"eval_{frames:09d}_{k}": video.scale_frames(pictures) for k, pictures in enumerate(asked)}
    for path, pictures in shown.items():
        write_bytes(path.with_suffix(".gif"), video.encode_gif(pictures, VIDEO_FPS))
    try:
        for path, pictures in shown.items():
            video.write_mp4(path.with_suffix(".mp4"), pictures, VIDEO_FPS)
    except UserError as error:
        print(error)
    print("".join(f"Video: {path}\n" for path in sorted(folder.glob(f"eval_{frames:09d}_*.*")) if shown), end="")
