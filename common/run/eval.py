"""`eval`: plays episodes with the newest checkpoint of a logdir and reports their returns."""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from common import rng, video
from common.checkpoint import Checkpoints, fit
from common.drawn import beware, drawn
from common.errors import UserError
from common.files import write_text
from common.logdir import stored_config
from common.run.build import Factory
from common.run.rollout import Evaluator, Result
from common.run.threads import keep


def evaluate(config: dict, factory: Factory | None = None) -> dict:
    """Plays `run.eval_episodes` episodes in the way `actor.eval` says; prints, writes and returns the result.

    `config` is the config of the run in `config['logdir']`, perhaps with other `run.*` or `actor.eval`. A video of
    the first episode is written if `run.video_every` is not 0 and the task has images. Needs no replay.

    Raises UserError where there is no run, no checkpoint, or one that does not fit the config.
    """
    if not config.get("logdir"):
        raise UserError("eval needs the folder of a run: give --logdir.")
    logdir, run = Path(config["logdir"]).expanduser(), config["run"]
    stored_config(logdir)
    state = load(logdir, best=config.get("eval", {}).get("best", False))
    if kept := keep(run["threads"], state.get("threads")):
        torch.set_num_threads(kept.threads)
    result = _play(config, state, factory or Factory())
    summary = summarize(config, state["frames"], result)
    write_text(logdir / "eval.json", json.dumps(summary, indent=2) + "\n")
    if result.pictures is not None:
        _film(logdir, state["frames"], result.pictures)
    print("eval {task} {method} at frame {frames:,}: {mean:.2f} ± {std:.2f} (mean ± std, n = {n})".format(**summary))
    if "render" in summary:
        print(beware(summary["render"]))
    return summary


def load(logdir: Path, best: bool = False) -> dict:
    """State of the newest readable checkpoint of a run, or the best by score; UserError where there is none."""
    checkpoints = Checkpoints(logdir / "checkpoints")
    state = checkpoints.load_best() if best else checkpoints.load()
    for message in checkpoints.messages:
        print(message, file=sys.stderr)
    if state is not None and not (isinstance(state.get("agent"), dict) and isinstance(state.get("frames"), int)):
        raise UserError(f"The checkpoint in {logdir} is not one of a training run. Put the right files back.")
    if state is None:
        raise UserError(f"{logdir} has no checkpoint yet. Train first, with the same --logdir.")
    return state


def summarize(config: dict, frames: int, result: Result) -> dict:
    """What `eval.json` holds; `std` is over episodes."""
    metrics = result.metrics()
    return {
        "task": config["task"],
        "method": config["algo"],
        "seed": config["seed"],
        "frames": frames,
        "mode": config["actor"]["eval"],
        "mean": metrics["eval/score"],
        "std": metrics["eval/score_std"],
        "n": len(result.episodes),
        "scores": [episode.score for episode in result.episodes],
        "lengths": [episode.length for episode in result.episodes],
        **({"render": how} if (how := drawn(config)) else {}),
    }


def _play(config: dict, state: dict, factory: Factory) -> Result:
    episodes = config["run"]["eval_episodes"]
    if episodes < 1:
        raise UserError(f"run.eval_episodes must be at least 1 to evaluate, got {episodes}.")
    rng.seed_all(config["seed"])
    envs = factory.envs(config, evaluate=True)
    try:
        agent = factory.agent(envs.obs_space, envs.act_space, config)
        fit(agent, state["agent"], Path(config["logdir"]))
        evaluator = Evaluator(agent, lambda: envs, config["seed"])
        result = evaluator.run(episodes, state["frames"], film=config["run"]["video_every"] > 0)
        for message in evaluator.messages():
            print(message.partition("\n")[0], file=sys.stderr)
        return result
    finally:
        envs.close()


def _film(logdir: Path, frames: int, pictures: np.ndarray) -> None:
    (logdir / "videos").mkdir(exist_ok=True)
    path = logdir / "videos" / f"eval_{frames:09d}.gif"
    path.write_bytes(video.encode(pictures))
