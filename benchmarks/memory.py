"""Resident memory of a training run over time, and the time to open a run with a large replay.

    python benchmarks/memory.py                    # both, for all versions
    python benchmarks/memory.py --steps 20000 --records 1000000

1. A run with the debug networks, about one update for each agent step, and a replay that is soon full, with all its
   logging, evaluation, videos and checkpoints. It is watched from outside; the memory when the replay has been full for
   a while is compared with that at the end.
2. A run with so many records in its replay is saved, then opened again by the same command, in memory (read from the
   chunks of the logdir) and from memory-mapped files. Timed is the process from its start to the word that the run has
   been resumed, beside a new run of the same kind to its first line of progress. The files were written just before.

Prints tables, and JSON with --json.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.figures import script, write
from common.config import config as configs
from common.profiling.measure import EPISODE_RECORDS, random_record
from common.storage.checkpoints import Checkpoints
from common.training.factory import Factory, record_spec

ROOT = Path(__file__).resolve().parents[1]
ALGOS = ("v1", "v2", "v3")
PAGE = os.sysconf("SC_PAGE_SIZE")
TASK, ENVS = "dmc_walker_walk", 8
OFTEN = {
    "v1": "--schedule.every 10 --schedule.updates 10",
    "v2": "--schedule.steps 1",
    "v3": "--schedule.ratio 40",
}  # one update for each agent step of the debug networks


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--algos", nargs="*", default=ALGOS, choices=ALGOS)
    parser.add_argument("--steps", type=int, default=20_000, help="agent steps of the watched run; 0: leave it out")
    parser.add_argument("--records", type=int, default=1_000_000, help="in the opened replay; 0: leave it out")
    parser.add_argument("--flags", default="", help='more flags for all runs, such as "--precision fp32"')
    parser.add_argument("--folder", default="", help="where the runs are written, instead of the usual folder")
    parser.add_argument("--json", default="", help="file to write")
    return parser.parse_args(argv)


def start(logdir, *flags):
    """A training in a process of its own, with its output in a file beside the logdir."""
    command = [sys.executable, str(ROOT / "dreamer.py"), "train", "--logdir", str(logdir), "--threads", "1", *flags]
    with logdir.with_suffix(".txt").open("w") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, cwd=ROOT)


def resident(process):
    """MiB in use by a process now."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * PAGE / 2**20


def updates(logdir):
    """Updates in the newest line of metrics."""
    path = logdir / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return json.loads(lines[-1])["updates"] if lines else 0


def watched(algo, steps, more, folder):
    """(updates, MiB) about every second of a run whose replay holds a tenth of its records."""
    logdir = folder / f"memory_{algo}"
    flags = ["--algo", algo, "--configs", "debug", "--task", "dummy_mixed_40", "--replay.capacity", str(steps // 10)]
    flags += ["--steps", str(steps), "--envs", "4", "--run.parallel", "none", *OFTEN[algo].split()]
    process = start(logdir, *flags, *more)
    points = []
    while process.poll() is None:
        time.sleep(1)
        if process.poll() is None:
            points.append((updates(logdir), resident(process)))
    if process.returncode:
        raise SystemExit(logdir.with_suffix(".txt").read_text())
    return points


def growth(points):
    """Median MiB in each fifth of the updates, and MiB per 1000 updates from the second fifth to the last."""
    last = points[-1][0]
    fifths = [[mib for done, mib in points if (part - 1) * last <= 5 * done <= part * last] for part in range(1, 6)]
    marks = [statistics.median(fifth) for fifth in fifths]
    return {"updates": last, "mib": marks, "growth_per_1000": (marks[-1] - marks[1]) / (0.6 * last / 1000)}


def words_of(algo, records, disk):
    """Flags of a run that only collects."""
    flags = {"task": TASK, "steps": 10**7, "envs": ENVS, "run.prefill": 10**6, "run.log_every": 100}
    flags |= {"replay.capacity": records, "replay.disk": disk}
    pairs = [word for key, value in flags.items() for word in (f"--{key}", str(value))]
    return ["--algo", algo, "--configs", "dmc_proprio", "cpu", *pairs]


def fill(logdir, words, records):
    """Makes a run, then adds random records to its replay and saves it as the run would have done."""
    process = start(logdir, *words)
    until(process, logdir.with_suffix(".txt"), "frames/s")
    process.send_signal(signal.SIGINT)
    process.wait()
    config, checkpoints, factory = configs.read(logdir / "config.yaml"), Checkpoints(logdir / "checkpoints"), Factory()
    state, rng = checkpoints.load(), np.random.default_rng(0)
    with factory.envs(config | {"run": config["run"] | {"envs": 1}}) as envs:
        agent = factory.agent(envs.obs_space, envs.act_space, config)
        replay = factory.replay(config, record_spec(envs.obs_space, agent), ENVS, logdir / "replay")
        replay.load(logdir / "replay", state["replay"])
        made = [random_record(envs.obs_space, ENVS, t, rng) | agent.random(ENVS)[1] for t in range(EPISODE_RECORDS)]
    for t in range(records // ENVS - replay.ring.count):
        replay.add(made[t % EPISODE_RECORDS])
    begin = time.perf_counter()
    state["replay"] = replay.save(logdir / "replay")
    checkpoints.save(state, frames=state["frames"], updates=0, algo=config["algo"])
    return time.perf_counter() - begin


def until(process, path, text):
    """Seconds until `text` is in the file."""
    begin = time.perf_counter()
    while text not in path.read_text():
        if process.poll() is not None:
            raise SystemExit(path.read_text())
        time.sleep(0.02)
    return time.perf_counter() - begin


def opened(algo, records, disk, folder):
    """Seconds to save so many new records, from the start of a process to the resumed run, and to a new run; GiB."""
    logdir, words = folder / f"open_{algo}", words_of(algo, records, disk)
    seconds = {"save": fill(logdir, words, records)}
    size = sum(path.stat().st_size for path in (logdir / "replay").iterdir()) / 2**30
    for name, place, text in (("resumed", logdir, "Resumed at"), ("new", folder / "new", "frames/s")):
        process = start(place, *words)
        seconds[name] = until(process, place.with_suffix(".txt"), text)
        process.kill()
        process.wait()
        shutil.rmtree(place)
    return seconds | {"gib": size}


def main(argv=None):
    options = arguments(argv)
    more = options.flags.split()
    results = {"memory": {}, "open": {}}
    with tempfile.TemporaryDirectory(dir=options.folder or None) as name:
        folder = Path(name)
        for algo in options.algos if options.steps else ():
            results["memory"][algo] = found = growth(watched(algo, options.steps, more, folder))
            marks = ", ".join(f"{mib:.0f}" for mib in found["mib"])
            print(f"{algo}: {found['updates']:,} updates, {marks} MiB in each fifth of them; ", end="")
            print(f"{found['growth_per_1000']:+.2f} MiB / 1000 updates", flush=True)
        for algo in options.algos if options.records else ():
            for disk in (False, True):
                key = f"{algo} {'mapped files' if disk else 'in memory'}"
                results["open"][key] = found = opened(algo, options.records, disk, folder)
                print(f"{key}: {options.records:,} records, {found['gib']:.2f} GiB: ", end="")
                print("{resumed:.1f} s (a new run {new:.1f} s, saving all {save:.1f} s)".format(**found), flush=True)
    write(options, results)


if __name__ == "__main__":
    script(main)
