"""An installed `dreamer` works from any folder, next to modules of the user that are called like folders here."""

import json
import os
import shutil
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("common", "configs", "dreamer_v1", "dreamer_v2", "dreamer_v3", "pretrained")
SHORT = ["--configs", "debug", "--steps", "200", "--run.device", "cpu", "--compile", "off", "--run.parallel", "none"]
ENVIRONMENT = """
import common
import numpy as np
from dreamer_v1 import cell


class Env:
    observation_space, action_space = common.SPACES

    def reset(self, seed=None, options=None):
        return np.zeros(3, np.float32), {}

    def step(self, action):
        return np.ones(3, np.float32), cell, False, False, {}
"""


def run(command, folder, **variables):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, (command, done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Folder of an installation without dependencies, from a copy of the checkout."""
    folder = tmp_path_factory.mktemp("install")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dreamer.py", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, folder / "source" / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps"]
    run([*pip, "wheel", *offline, "--no-build-isolation", "-w", folder, folder / "source"], folder)
    (wheel,) = folder.glob("*.whl")
    run([*pip, "install", *offline, "--target", folder / "site", wheel], folder)
    return folder / "site"


@pytest.fixture
def dreamer(site, tmp_path):
    """Runs `python -m dreamer WORDS` in a folder with modules of the user that have names from the checkout."""
    home = tmp_path / "home"
    (home / "common").mkdir(parents=True)
    (home / "configs").mkdir()
    (home / "common" / "__init__.py").write_text(
        "import numpy as np\nfrom gymnasium.spaces import Box\n"
        "SPACES = Box(-9, 9, (3,), np.float32), Box(-1, 1, (1,), np.float32)\n"
    )
    (home / "dreamer_v1.py").write_text("cell = 0.5\n")
    (home / "errors.py").write_text("raise RuntimeError('this is the module of a user')\n")
    (home / "my_env.py").write_text(ENVIRONMENT)
    return lambda *words: run([sys.executable, "-m", "dreamer", *words], home, PYTHONPATH=str(site))


def test_it_adds_one_package_and_one_command(site):
    names = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert names == {"bin", "dreamer"}
    assert (site / "bin" / "dreamer").is_file()


def test_all_modules_and_data_files_are_there(site):
    paths = [path for name in FOLDERS for path in (ROOT / name).rglob("*") if path.is_file()]
    expected = {str(path.relative_to(ROOT)) for path in paths if "__pycache__" not in path.parts}
    assert expected <= {str(path.relative_to(site / "dreamer")) for path in (site / "dreamer").rglob("*")}


def test_no_module_refers_to_the_checkout(site):
    for path in (site / "dreamer").rglob("*.py"):
        with path.open("rb") as file:
            lines = {token.line.strip() for token in tokenize.tokenize(file.readline)}
        wrong = ("import common", "from common", "import dreamer_v", "from dreamer_v", "python dreamer.py")
        assert not [line for line in lines if line.startswith(wrong) or wrong[-1] in line], path


def test_the_command_runs_from_any_folder(site, tmp_path):
    out = run([sys.executable, site / "bin" / "dreamer", "--help"], tmp_path, PYTHONPATH=str(site))
    assert out.startswith("usage: dreamer [COMMAND]")
    assert "dreamer COMMAND --help" in out
    out = run([site / "bin" / "dreamer", "config"], tmp_path, PYTHONPATH=str(site))
    assert "\nkl:\n  use: BalancedKL\n" in out


def test_a_run_is_trained_evaluated_and_loaded(dreamer, site, tmp_path):
    logdir = tmp_path / "run"
    dreamer("--algo", "v1", *SHORT, "--task", "my_env:Env", "--env.time_limit", "50", "--logdir", logdir)
    assert "eval my_env:Env v1 at frame 200" in dreamer("eval", "--logdir", logdir, "--episodes", "1")
    code = f"from dreamer import load; print(load({str(logdir)!r}).frames)"
    assert run([sys.executable, "-c", code], tmp_path / "home", PYTHONPATH=str(site)) == "200\n"


def test_a_grid_runs_its_processes(dreamer, tmp_path):
    words = ["--algos", "v1", "--tasks", "dummy_point", "--seeds", "1", "--steps", "200", "--jobs", "1"]
    dreamer("compare", *words, *SHORT[:2], *SHORT[4:], "--logdir", tmp_path / "grid")
    assert (tmp_path / "grid" / "report.html").is_file()
    assert [job["status"] for job in json.loads((tmp_path / "grid" / "grid.json").read_text())["jobs"]] == ["done"]
