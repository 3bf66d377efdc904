"""`demo`: trains several versions side by side on one task and shows what they learned."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from common.envs import make_envs
from common.errors import UserError
from common.files import write_text
from common.run.eval import evaluate

EPISODES = 10  # of the final evaluation and of the random policy
SMOOTH = 5  # training episodes averaged in the figure
ROOT = Path(__file__).parents[2]


def demo(runs: dict[str, tuple[dict, list[str]]]) -> list[dict]:
    """Trains versions side by side, each in a process of its own, then evaluates, tabulates and plots them.

    runs: name -> resolved config, and the command line of its training; logdirs lie beside each other. A demo that was
    broken off goes on. Writes `demo.json`, `demo.md` and `demo.png` beside the logdirs. Raises UserError when a
    training fails, with the end of its log.
    """
    configs = {name: config for name, (config, _) in runs.items()}
    first = next(iter(configs.values()))
    folder = Path(first["logdir"]).parent
    begin = time.monotonic()
    train_all({name: words for name, (_, words) in runs.items()}, folder)
    baseline = random_scores(first)
    rows = [row(name, config, baseline) for name, config in configs.items()]
    seconds = time.monotonic() - begin
    title = (
        f"{first['task']}, {first['steps']:,} frames each, {len(rows)} processes side by side, {seconds:.0f} s in all"
    )
    text = f"{title}\n\n{table(rows)}\n"
    write_text(folder / "demo.json", json.dumps({"title": title, "rows": rows}, indent=2) + "\n")
    write_text(folder / "demo.md", text)
    figure(configs, baseline, title, folder / "demo.png")
    print(f"\n{text}\nLearning curves: {folder / 'demo.png'}")
    return rows


def train_all(args, folder: Path):
    """Runs the trainings at once and reports on them until all are done."""
    make_folder(folder)
    logs = {name: folder / f"{name}.log" for name in args}
    command = [sys.executable, str(ROOT / "dreamer.py"), "train"]
    processes = {}
    try:
        for name, flags in args.items():
            with logs[name].open("a") as log:
                processes[name] = subprocess.Popen([*command, *flags], stdout=log, stderr=log, cwd=ROOT)
        print(f"Training {', '.join(args)}. Logs: {folder}/*.log. Ctrl-C stops; the same command goes on.", flush=True)
        watch(processes, logs)
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait()


def make_folder(folder: Path):
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write to {folder}: {error.strerror}. Choose another --logdir.") from error


def watch(processes, logs):
    """Prints what is new in the logs until all processes are done. Raises UserError when one fails."""
    shown: dict[str, str] = {}
    running = True
    while running:
        running = any(process.poll() is None for process in processes.values())
        for name, process in processes.items():
            lines = logs[name].read_text().splitlines()
            if process.poll():
                raise UserError(f"Training {name} failed. The end of {logs[name]}:\n" + "\n".join(lines[-15:]))
            news = [line for line in lines if "frames (" in line or line.startswith(("Finished", "This run is"))][-1:]
            if news and shown.get(name) != news[0]:
                shown[name] = news[0]
                print(f"{name:>8}  {news[0]}", flush=True)
        time.sleep(5 * running)


def random_scores(config, seed=12345) -> list[float]:
    """Returns of episodes with uniform actions."""
    rng = np.random.default_rng(seed)
    with make_envs(config["task"], config["env"], 1, seed, "none") as envs:
        envs.act_space.seed(seed)
        scores: list[float] = []
        total = 0.0
        envs.reset()
        while len(scores) < EPISODES:
            record = envs.step(uniform(envs.act_space, rng))
            total += float(record["reward"][0])
            if record["is_last"][0]:
                scores.append(total)
                total = 0.0
    return scores


def uniform(space, rng):
    """One uniform action of a space, (1, ...)."""
    if hasattr(space, "high"):
        return rng.uniform(-1, 1, (1, *space.shape)).astype(np.float32)
    return np.asarray(space.sample())[None]


def row(name, config, baseline) -> dict:
    """What the table says of one version."""
    result = evaluate(config | {"run": config["run"] | {"eval_episodes": EPISODES, "video_every": 0}})
    last = json.loads((Path(config["logdir"]) / "metrics.jsonl").read_text().splitlines()[-1])
    return {
        "version": name,
        "score": result["mean"],
        "std": result["std"],
        "random": float(np.mean(baseline)),
        "frames": last["frames"],
        "updates": last["updates"],
        "seconds": round(last["wall"]),
    }


def table(rows) -> str:
    """Rows as a Markdown table."""
    head = [
        "version",
        f"score (mean ± std of {EPISODES} episodes)",
        "random policy",
        "frames",
        "updates",
        "training time",
    ]
    lines = [head, ["---"] * len(head)]
    for r in rows:
        score, minutes = f"{r['score']:.0f} ± {r['std']:.0f}", f"{r['seconds'] / 60:.1f} min"
        lines.append([r["version"], score, f"{r['random']:.0f}", f"{r['frames']:,}", f"{r['updates']:,}", minutes])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def curve(logdir):
    """Frames and smoothed returns of the training episodes of a run."""
    lines = map(json.loads, (Path(logdir) / "scores.jsonl").read_text().splitlines())
    scores = next(line for line in lines if line["kind"] == "train")
    xs, ys = np.array(scores["xs"]), np.array(scores["ys"], float)
    smooth = np.array([ys[max(0, i - SMOOTH + 1) : i + 1].mean() for i in range(len(ys))])
    return xs, smooth


def figure(configs, baseline, title, path):
    """Three curves and the random policy."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(7, 4), layout="constrained")
    axes = fig.subplots()
    for name, config in configs.items():
        axes.plot(*curve(config["logdir"]), label=name, linewidth=2)
    axes.axhline(np.mean(baseline), color="gray", linestyle="--", label="random policy")
    axes.set(xlabel="environment frames", ylabel=f"training return (mean of {SMOOTH} episodes)")
    axes.set_title(f"{title}\n1 seed each", fontsize=9)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    fig.savefig(path, dpi=150)
