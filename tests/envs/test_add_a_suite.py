"""docs/add_an_environment_suite.md works: its files and lines, added to a copy of the repository, make a new suite."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dreamer
from common.envs import SUITES

ROOT = Path(dreamer.__file__).parent
PAGE = (ROOT / "docs" / "add_an_environment_suite.md").read_text()
SHORT = ["--configs", "debug", "--steps", "60", "--run.prefill", "20", "--run.log_every", "20"]
SHORT += ["--run.eval_every", "0", "--threads", "1"]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.S | re.M)


def insert(path, after, line):
    """Insert a line after the only line of a file that starts with `after`."""
    lines = path.read_text().splitlines(keepends=True)
    (index,) = [index for index, text in enumerate(lines) if text.startswith(after)]
    path.write_text("".join([*lines[: index + 1], line, *lines[index + 1 :]]))


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A copy of the program in which steps 3, 6, 7 and 8 of the page are done."""
    copy = tmp_path_factory.mktemp("copy") / "repository"
    skipped = shutil.ignore_patterns(".*", "__pycache__", "benchmarks", "docs", "logs", "results", "tests")
    shutil.copytree(ROOT, copy, ignore=skipped)
    suite, registration, selection = blocks("py")
    (config,) = blocks("yaml")
    (copy / "common/envs/suites/corridor.py").write_text(suite)
    insert(copy / "common/envs/__init__.py", "SUITES = {", registration)
    insert(copy / "common/config/versions.py", "ENVIRONMENT_BLOCKS = {", selection)
    with (copy / "configs/environments.yaml").open("a") as file:
        file.write(f"\n{config}")
    return copy


def run(repository, *words):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "dreamer.py", *words]
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, timeout=300)


def test_the_page_has_ten_steps_and_a_new_prefix():
    assert re.findall(r"^\*\*(\d+)\.", PAGE, re.M) == [str(step) for step in range(1, 11)]
    assert "corridor" not in SUITES


def test_the_commands_of_the_page_run(repository):
    check, train = (shlex.split(line.removeprefix("python dreamer.py ")) for line in blocks("sh")[0].splitlines())
    checked = run(repository, *check, "--algo", "v3", "--configs", "debug")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "observation vector  Discrete(5) -> float32 (5,)" in checked.stdout
    trained = run(repository, *[word for word in train if word not in ("--configs", "cpu")], *SHORT)
    assert trained.returncode == 0, trained.stderr
    assert '"env/cell"' in (repository / "logs/corridor/metrics.jsonl").read_text()


def test_unknown_tasks_of_the_suite_are_refused(repository):
    done = run(repository, "check-env", "corridor_1", "--algo", "v3")
    assert done.returncode == 2
    assert "Unknown task 'corridor_1'. Nearest: corridor_10" in done.stderr
