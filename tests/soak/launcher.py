"""Runs command lines in forked children that kill themselves at a chosen call, or only count their calls.

`python launcher.py FOLDER` reads a JSON object per line: words (after `python dreamer.py`), folder (working directory),
place (a key of PLACES; empty: only count), at (number of the call there, from 1; 0: nothing is counted) and seconds
(after which a child counts as hanging). It answers with one JSON object per line: status (as `os.waitpid` has it, None
for one that hung), output, calls (place -> number) and where the run stood: frames, updates.
"""

import contextlib
import faulthandler
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

import torch  # noqa: E402

import dreamer  # noqa: E402
from common.training import loop  # noqa: E402

#: Place of a kill -> part of the path of its source files; BEGINNING is all code before the loop exists.
BEGINNING = "beginning"
PLACES = {
    "files": "common/files.py",
    "checkpoint": "common/storage/checkpoint",
    "replay": "common/replay/",
    "evaluation": "common/training/evaluator.py",
    "logs": "common/storage/outputs.py",
    "loop": "common/training/",
    "agent": "common/agent/agent.py",
    "environment": "common/envs/",
}


class CallCounter:
    """Profile function that counts calls from the source files of each place, and kills this process at one."""

    def __init__(self, place: str, at: int, report: Path):
        self.place, self.at, self.report = place, at, report
        self.calls = dict.fromkeys([BEGINNING, *PLACES], 0)
        self.places: dict[str, str | None] = {}
        self.loop: loop.Loop | None = None
        original = loop.Loop.__init__

        def noted(this, *arguments, **options):
            original(this, *arguments, **options)
            self.loop = this

        loop.Loop.__init__ = noted

    def __call__(self, frame, event, argument):
        """Count a call or return; also called for functions in C."""
        file = frame.f_code.co_filename
        if file not in self.places:
            self.places[file] = next((name for name, part in PLACES.items() if f"{ROOT}/{part}" in file), None)
        place = self.places[file]
        if self.loop is None:
            place = BEGINNING if file.startswith(f"{ROOT}/common/") else None
        if place is None:
            return
        self.calls[place] += 1
        if place == self.place and self.calls[place] == self.at:
            sys.setprofile(None)
            self.write_report()
            os.kill(os.getpid(), signal.SIGKILL)

    def write_report(self) -> None:
        """Write the progress of the run in memory to the report."""
        now = self.loop
        row = {"calls": self.calls, "frames": now.frames if now else 0, "updates": now.updates if now else 0}
        self.report.write_text(json.dumps(row))


def child(task: dict, report: Path, output: Path) -> None:
    """Run one command line in this process and end it."""
    os.setsid()
    os.chdir(task["folder"])
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        faulthandler.dump_traceback_later(max(1, task["seconds"] - 1))
        counter = CallCounter(task["place"], task["at"], report)
        if task["at"]:
            sys.setprofile(counter)
        code = 70
        try:
            code = dreamer.main(task["words"])
        except SystemExit as error:
            code = error.code
        finally:
            sys.setprofile(None)
            counter.write_report()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def wait(pid: int, seconds: float) -> int | None:
    """Status of a child, None for one that had to be killed because it did not end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(0.005)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def serve(folder: Path) -> None:
    """Answers requests until there are no more."""
    report, output = folder / "report.json", folder / "output.txt"
    for line in sys.stdin:
        task = json.loads(line)
        report.unlink(missing_ok=True)
        if (pid := os.fork()) == 0:
            child(task, report, output)
        status = wait(pid, task["seconds"])
        found = json.loads(report.read_text()) if report.exists() else {}
        print(json.dumps({"status": status, "output": output.read_text(), **found}), flush=True)


def warm() -> None:
    """Train briefly, so that the children need not import anything."""
    words = ["--algo", "v3", "--configs", "debug", "--task", "dummy_onehot_7", "--run.prefill", "20", "--steps", "80"]
    words += ["--batch_size", "2", "--schedule.ratio", "2", "--run.threads", "1", "--run.video_every", "0"]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        assert dreamer.main([*words, "--logdir", f"{folder}/run"]) == 0
    for algo in dreamer.ALGOS:
        dreamer.resolve(algo)


if __name__ == "__main__":
    torch.set_num_threads(1)
    warm()
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        serve(Path(sys.argv[1]))
