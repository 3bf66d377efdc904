"""Stands in for dreamer.py in the tests of grids: trains nothing, but leaves the files of a run. The task says how.

good: done at once.  slow: until a signal comes, then saved and ended as training does; done when started again.
bad: fails with an error.  killed: dies of SIGKILL.  idle: ends well without being finished.
"""

import json
import os
import pathlib
import signal
import sys
import time

command, words = sys.argv[1], sys.argv[2:]
flags = dict(zip(words[::2], words[1::2], strict=True))
logdir = pathlib.Path(flags["--logdir"])
begin = time.monotonic()


def write(name, text):
    """Whole or not at all: a test may be reading."""
    path = logdir / f"{name}.new"
    path.write_text(text)
    path.replace(logdir / name)


def save(frames):
    write("run.json", json.dumps({"sessions": [{}], "frames": frames, "wall": 1.5}))
    write("pid", str(os.getpid()))


def stopped(number, _):
    save(10)
    print("Saved at frame 10.")
    sys.exit(128 + number)


if command == "eval":
    (logdir / "eval.json").write_text(json.dumps({"n": int(flags["--run.eval_episodes"]), "frames": 100}))
    sys.exit()
task, resumed = flags["--task"], (logdir / "run.json").exists()
logdir.mkdir(parents=True, exist_ok=True)
(logdir / "config.yaml").write_text(f"algo: a\nsteps: {flags['--steps']}\nrun: {{max_seconds: 0}}\n")
if task == "slow" and not resumed:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stopped)
    save(5)
    time.sleep(60)
elif task in ("bad", "broken_envs:Raises"):
    print("some progress\nError: the motor is on fire.\n  in two lines", file=sys.stderr)
    sys.exit(2)
elif task == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
elif task != "idle":
    time.sleep(0.1)
    save(int(flags["--steps"]))
with (logdir / "times.jsonl").open("a") as file:
    file.write(json.dumps([begin, time.monotonic()]) + "\n")
