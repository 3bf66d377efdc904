"""Fake logdirs and grids with made-up learning curves.

`python tests/helpers/fake_runs.py DIR` writes a comparison, an ablation and a ladder to look at.
"""

import functools
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import dreamer
from common.config import config as configs
from common.storage.video import encode_gif

FRAMES = 20_000
HARDWARE = {"cpu": "Example CPU", "cores": 2, "memory_gib": 8.0, "gpus": []}
SESSION: dict = {
    "git": "0123456789abcdef",
    "python": "3.11.2",
    "packages": {"torch": "2.13.0"},
    "hardware": HARDWARE,
    "threads": 1,
}


@functools.cache
def load(algo, task, **flags):
    """Return a config with small networks."""
    return dreamer.resolve(algo, ["cpu"], {"task": task} | {key.replace("__", "."): v for key, v in flags.items()})


def write_run(
    logdir, algo="v3", task="dmc_walker_walk", seed=0, *, best=800.0, worst=20.0, speed=3.0, noise=40.0,
    frames=FRAMES, length=500, rate=0.1, wall=0.02, evaluation=True, film=False, **flags,
):  # fmt: skip
    """Write a run that learns from `worst` to about `best`, with `rate` updates and `wall` seconds per frame."""
    logdir = Path(logdir)
    logdir.mkdir(parents=True)
    config = load(algo, task, **flags) | {"seed": seed, "logdir": str(logdir), "steps": frames}
    configs.write(logdir / "config.yaml", config)
    rng = np.random.default_rng([seed, len(algo), round(abs(best))])
    xs = np.arange(length, frames + 1, length)
    asymptote = best + noise * rng.normal()
    ys = worst + (asymptote - worst) * (1 - np.exp(-speed * xs / frames)) + noise * rng.normal(size=len(xs))
    write_scores(logdir, config, xs, ys)
    write_metrics(logdir, frames, rate, wall)
    facts = {"task": task, "algo": algo, "seed": seed, "wall": wall * frames, "resumes": 0, "peak_memory": 3 * 2**29}
    facts |= {"frames": frames, "updates": int(rate * frames), "parameters": 1_234_567, "sessions": [SESSION]}
    (logdir / "run.json").write_text(json.dumps(facts))
    if evaluation:
        result = {"frames": frames, "mode": "sample", "mean": float(ys[-5:].mean()), "std": noise, "n": 10}
        (logdir / "eval.json").write_text(json.dumps(result))
    if film:
        write_film(logdir, frames, seed)
    return logdir


def write_scores(logdir, config, xs, ys):
    """Write scores.jsonl with training episodes and four evaluations."""
    names = {"task": config["task"], "method": config["algo"], "seed": config["seed"]}
    part = slice(len(xs) // 4 - 1, None, max(1, len(xs) // 4))
    points = {"train": (xs, ys), "eval": (xs[part], ys[part])}
    rows = [{**names, "kind": kind, "xs": x.tolist(), "ys": y.tolist()} for kind, (x, y) in points.items()]
    (logdir / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_metrics(logdir, frames, rate, wall, lines=20):
    """Write metrics.jsonl with counters and one loss."""
    with (logdir / "metrics.jsonl").open("w") as file:
        for x in np.linspace(frames / lines, frames, lines).astype(int).tolist():
            row = {"frames": x, "agent_steps": x, "updates": int(rate * x), "episodes": x // 500, "wall": wall * x}
            file.write(json.dumps(row | {"loss/dyn": 1 + 9 * float(np.exp(-3 * x / frames))}) + "\n")


def write_film(logdir, frames, seed):
    """Write a small open-loop GIF."""
    (logdir / "videos").mkdir(exist_ok=True)
    column = np.arange(384) // 3
    pictures = [np.roll(np.broadcast_to(column[None, :, None], (192, 384, 3)), 4 * i + seed, 1) for i in range(8)]
    data = encode_gif(np.stack(pictures).astype(np.uint8))
    (logdir / "videos" / f"openloop_image_{frames:09d}.gif").write_bytes(data)


def write_grid(folder, kind, runs, *, title="A title", match="frames", baseline=None, failed=()):
    """Write a grid of done runs (variant, task, seed, options of `write_run`) and failed ones (variant, task, seed)."""
    folder, jobs = Path(folder), []
    for variant, task, seed, options in runs:
        logdir = f"runs/{variant}/{task}/{seed}"
        write_run(folder / logdir, task=task, seed=seed, **options)
        jobs.append({"variant": variant, "task": task, "seed": seed, "logdir": logdir, "status": "done", "error": None})
    for variant, task, seed in failed:
        error = "Training diverged at frame 1,000: not finite: loss/dyn.\nTry a lower learning rate."
        logdir = f"runs/{variant}/{task}/{seed}"
        job = {"variant": variant, "task": task, "seed": seed, "logdir": logdir, "status": "failed", "error": error}
        jobs.append(job)
    for job in jobs:
        job |= {"name": f"{job['variant']}/{job['task']}/{job['seed']}", "words": ["--task", job["task"]]}
    variants = list(dict.fromkeys(job["variant"] for job in jobs))
    grid = {"kind": kind, "title": title, "match": match, "baseline": baseline, "variants": variants, "jobs": jobs}
    (folder / "grid.json").write_text(json.dumps(grid))
    return folder


def comparison(folder, seeds=3, **more):
    """Write runs of three versions on three tasks; the last version is the best."""
    spans = {"dmc_walker_walk": (20, 900), "dmc_cartpole_swingup": (50, 820), "gym_Pendulum-v1": (-1500, -200)}
    shares = {"v1": (0.55, 0.02, 0.012), "v2": (0.6, 0.05, 0.016), "v3": (0.95, 0.1, 0.02)}
    runs = []
    for task, (worst, best) in spans.items():
        for algo, (share, rate, wall) in shares.items():
            for seed in range(seeds):
                options = {"algo": algo, "worst": worst, "best": worst + share * (best - worst), "rate": rate}
                options |= {"wall": wall * (1 + 0.1 * seed), "film": seed == 0, "length": 200 if "gym" in task else 500}
                runs.append((algo, task, seed, options))
    return write_grid(folder, "compare", runs, title="V1, V2 and V3 on three tasks", **more)


#: Variant of the ablation -> flags and share of the best score.
DROPPED = {
    "v3": ({}, 0.9),
    "without retnorm": ({"advantage__use": "Unscaled"}, 0.5),
    "without unimix": ({"latent__unimix": "0", "policy_disc__unimix": "0"}, 0.88),
    "without symlog": ({"encoder__symlog": "false"}, 0.75),
    "without slow critic": ({"slow__use": "NoSlow"}, 0.93),
}


def ablation(folder, seeds=3):
    """Write an ablation: V3 without one feature at a time, on one task."""
    runs = [
        (variant, "dmc_walker_walk", seed, {"best": 900 * share, **flags})
        for variant, (flags, share) in DROPPED.items()
        for seed in range(seeds)
    ]
    return write_grid(folder, "ablate", runs, title="V3 without one feature at a time", baseline="v3")


def ladder(folder, rungs=10, seeds=3):
    """Write a ladder of ten rungs; all but one are higher than the rung before."""
    rises = [0, 60, 20, -80, 150, 10, 120, 30, 100, 40, 60, 10][:rungs]
    runs = [
        (f"rung {i}", "dmc_walker_walk", seed, {"best": 300.0 + sum(rises[: i + 1]), "loss__con": str(1 + i)})
        for i in range(len(rises))
        for seed in range(seeds)
    ]
    return write_grid(folder, "ladder", runs, title="From V1 to V3, one feature at a time", match="updates")


def png_size(path):
    """Return width and height of an image."""
    with Image.open(path) as picture:
        return picture.size


if __name__ == "__main__":
    root = Path(sys.argv[1])
    comparison(root / "compare", failed=[("v2", "dmc_walker_walk", 3)])
    ablation(root / "ablate")
    ladder(root / "ladder")
