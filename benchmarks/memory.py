"""Resident memory of a training run over time, and the time to resume a run with a large replay.

    python benchmarks/memory.py                    # both, for all versions
    python benchmarks/memory.py --steps 20000 --records 1000000

1. A run with the debug networks, about one update per agent step, a replay that is full soon, and all logging,
   evaluation, videos and checkpoints. This process reads its memory. The memory at the end is compared with the memory
   some time after the replay is full.
2. A run with a large replay is saved, then resumed by the same command, in memory (from the chunks in the logdir) and
   with memory-mapped files. The measured time is from the start of the process to its message that the run is resumed,
   compared with the time of a new run to its first line of progress. The files are in the system's cache.

Prints figures, and writes JSON with --json.
"""

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

from benchmarks.figures import make_parser, run_script, write_results
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
}  # one update per agent step of the debug networks


def arguments(argv=None):
    parser = make_parser(__doc__)
    parser.add_argument("--algos", nargs="*", default=ALGOS, choices=ALGOS)
    parser.add_argument("--steps", type=int, default=20_000, help="agent steps of the first run; 0: omit it")
    parser.add_argument("--records", type=int, default=1_000_000, help="in the resumed replay; 0: omit it")
    parser.add_argument("--flags", default="", help='more flags for all runs, such as "--precision fp32"')
    parser.add_argument("--folder", default="", help="for the runs, instead of the default temporary folder")
    return parser.parse_args(argv)


def start(logdir, *flags):
    """Start training in a separate process, with its output in a file next to the logdir."""
    command = [sys.executable, str(ROOT / "dreamer.py"), "train", "--logdir", str(logdir), "--threads", "1", *flags]
    with logdir.with_suffix(".txt").open("w") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, cwd=ROOT)


def resident_mib(process):
    """Return the resident memory of a process in MiB."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * PAGE / 2**20


def updates(logdir):
    """Return the updates in the last line of metrics."""
    path = logdir / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return json.loads(lines[-1])["updates"] if lines else 0


def watch(algo, steps, more, folder):
    """Return (updates, MiB), about once per second, of a run whose replay has room for a tenth of its records."""
    logdir = folder / f"memory_{algo}"
    flags = ["--algo", algo, "--configs", "debug", "--task", "dummy_mixed_40", "--replay.capacity", str(steps // 10)]
    flags += ["--steps", str(steps), "--envs", "4", "--run.parallel", "none", *OFTEN[algo].split()]
    process = start(logdir, *flags, *more)
    points = []
    while process.poll() is None:
        time.sleep(1)
        if process.poll() is None:
            points.append((updates(logdir), resident_mib(process)))
    if process.returncode:
        raise SystemExit(logdir.with_suffix(".txt").read_text())
    return points


def growth(points):
    """Return the median MiB in each fifth of the updates, and the MiB per 1000 updates from the second fifth on."""
    last = points[-1][0]
    fifths = [[mib for done, mib in points if (part - 1) * last <= 5 * done <= part * last] for part in range(1, 6)]
    marks = [statistics.median(fifth) for fifth in fifths]
    return {"updates": last, "mib": marks, "growth_per_1000": (marks[-1] - marks[1]) / (0.6 * last / 1000)}


def flags_of(algo, records, disk):
    """Return the flags of a run that only collects."""
    flags = {"task": TASK, "steps": 10**7, "envs": ENVS, "run.prefill": 10**6, "run.log_every": 100}
    flags |= {"replay.capacity": records, "replay.disk": disk}
    pairs = [word for key, value in flags.items() for word in (f"--{key}", str(value))]
    return ["--algo", algo, "--configs", "dmc_proprio", "cpu", *pairs]


def fill(logdir, words, records):
    """Make a run, add random records to its replay, and save it as the run does. Return the seconds of saving."""
    process = start(logdir, *words)
    wait_for(process, logdir.with_suffix(".txt"), "frames/s")
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


def wait_for(process, path, text):
    """Return the seconds until `text` is in the file."""
    begin = time.perf_counter()
    while text not in path.read_text():
        if process.poll() is not None:
            raise SystemExit(path.read_text())
        time.sleep(0.02)
    return time.perf_counter() - begin


def resume(algo, records, disk, folder):
    """Return the seconds to save the records, to resume the run, and to start a new run; and the size in GiB."""
    logdir, words = folder / f"open_{algo}", flags_of(algo, records, disk)
    seconds = {"save": fill(logdir, words, records)}
    size = sum(path.stat().st_size for path in (logdir / "replay").iterdir()) / 2**30
    for name, path, text in (("resumed", logdir, "Resumed at"), ("new", folder / "new", "frames/s")):
        process = start(path, *words)
        seconds[name] = wait_for(process, path.with_suffix(".txt"), text)
        process.kill()
        process.wait()
        shutil.rmtree(path)
    return seconds | {"gib": size}


def main(argv=None):
    options = arguments(argv)
    more = options.flags.split()
    results = {"memory": {}, "open": {}}
    with tempfile.TemporaryDirectory(dir=options.folder or None) as name:
        folder = Path(name)
        for algo in options.algos if options.steps else ():
            results["memory"][algo] = found = growth(watch(algo, options.steps, more, folder))
            marks = ", ".join(f"{mib:.0f}" for mib in found["mib"])
            print(f"{algo}: {found['updates']:,} updates, {marks} MiB in each fifth of them; ", end="")
            print(f"{found['growth_per_1000']:+.2f} MiB / 1000 updates", flush=True)
        for algo in options.algos if options.records else ():
            for disk in (False, True):
                key = f"{algo} {'mapped files' if disk else 'in memory'}"
                results["open"][key] = found = resume(algo, options.records, disk, folder)
                print(f"{key}: {options.records:,} records, {found['gib']:.2f} GiB: ", end="")
                print("{resumed:.1f} s (a new run {new:.1f} s, saving all {save:.1f} s)".format(**found), flush=True)
    write_results(options, results)


if __name__ == "__main__":
    run_script(main)
