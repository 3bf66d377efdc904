"""Runs command lines in forked children of one process that has imported everything: importing takes most of the time
of a short run. `python forking.py` reads JSON, one command a line, and answers each with JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Forks:
    """That process, for others to ask."""

    def __init__(self):
        command, env = [sys.executable, __file__], {**os.environ, "OMP_NUM_THREADS": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, **pipes, text=True, env=env)

    def run(self, words: list[str], folder: Path) -> subprocess.CompletedProcess:
        """`python dreamer.py WORDS` in `folder`, with the environment variables of now and one thread."""
        asked = {"words": words, "folder": str(folder), "env": {**os.environ, "OMP_NUM_THREADS": "1"}}
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        return subprocess.CompletedProcess(words, **json.loads(self.process.stdout.readline()))


def child(asked: dict, files: list) -> None:
    """Becomes what was asked for, and ends."""
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv = ["dreamer.py", *asked["words"]]
    for number, file in zip((1, 2), files, strict=True):
        os.dup2(file.fileno(), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code = 70
    try:
        code = dreamer.main(asked["words"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def serve() -> None:
    """Answers until nobody asks any more."""
    for line in sys.stdin:
        asked = json.loads(line)
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
            if (pid := os.fork()) == 0:
                child(asked, [out, errors])
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
