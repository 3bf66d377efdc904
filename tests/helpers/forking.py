"""Runs of command lines in forks of one process that has imported everything, which is most of the time of a short run.

This file as a program reads commands as JSON, one a line, and answers each with a line of JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Forks:
    """The process that forks."""

    def __init__(self):
        command, env = [sys.executable, __file__], {**os.environ, "OMP_NUM_THREADS": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, **pipes, text=True, env=env)

    def run(self, words: list[str], folder: Path) -> subprocess.CompletedProcess:
        """Runs `python dreamer.py WORDS` in `folder`, with the current environment variables and one thread."""
        request = {"words": words, "folder": str(folder), "env": {**os.environ, "OMP_NUM_THREADS": "1"}}
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return subprocess.CompletedProcess(words, **json.loads(self.process.stdout.readline()))


def child(request: dict, files: list) -> None:
    """Runs the command in this process, and exits."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = ["dreamer.py", *request["words"]]
    for number, file in zip((1, 2), files, strict=True):
        os.dup2(file.fileno(), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code = 70
    try:
        code = dreamer.main(request["words"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def serve() -> None:
    """Answers commands until stdin is closed."""
    for line in sys.stdin:
        request = json.loads(line)
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
            if (pid := os.fork()) == 0:
                child(request, [out, errors])
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            out.seek(0), errors.seek(0)
            answer = {"returncode": code, "stdout": out.read(), "stderr": errors.read()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT)]
    import torch

    import dreamer
    from common.training import train  # noqa: F401 (imported for the children)

    torch.set_num_threads(1)
    serve()
