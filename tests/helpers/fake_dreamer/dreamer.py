"""Fake dreamer.py for the tests of grids: writes the files of a run without training. The task selects the behavior.

good: done at once.  slow: waits for a signal, then saves and ends as training does; done on the second start.
steady: as slow, but after 25 s without a signal it is done.
bad: fails with an error.  killed: dies by SIGKILL.  idle: ends without an error before it is finished.
A run of a sweep, with --kl.free: its score is 100 times that value plus the seed. With --run.prefill 77, every second
trial from the third on has low scores, and waits for a signal after three tenths; with 13, all fail.
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
    """Write atomically: a test may be reading."""
    path = logdir / f"{name}.new"
    path.write_text(text)
    path.replace(logdir / name)


def save(frames):
    write("run.json", json.dumps({"sessions": [{}], "frames": frames, "wall": 1.5}))
    write("pid", str(os.getpid()))


def measure(tenths, score):
    """Write the metrics of the first tenths."""
    rows = [{"frames": 10 * tenth, "episode/score": score} for tenth in range(1, tenths + 1)]
    write("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def wait_for_signal(seconds=60):
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stopped)
    save(5)
    time.sleep(seconds)


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
    wait_for_signal()
elif task == "steady" and not resumed:
    wait_for_signal(25)
    save(int(flags["--steps"]))
elif task in ("bad", "broken_envs:Raises") or flags.get("--run.prefill") == "13":
    print("some progress\nError: the motor is on fire.\n  in two lines", file=sys.stderr)
    sys.exit(2)
elif task == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
elif task != "idle":
    time.sleep(0.1)
    if "--kl.free" in flags:
        number = int(logdir.parts[-3].removeprefix("trial_"))
        if flags.get("--run.prefill") == "77" and number >= 3 and number % 2:
            measure(3, -100.0)
            wait_for_signal()
        measure(10, 100 * float(flags["--kl.free"]) + int(flags["--seed"]))
    save(int(flags["--steps"]))
with (logdir / "times.jsonl").open("a") as file:
    file.write(json.dumps([begin, time.monotonic()]) + "\n")
