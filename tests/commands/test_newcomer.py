"""The first commands on a machine without renderer and network, in a folder that is read-only."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.command_line import ROOT

#: Hides the rendering libraries, makes the folder $0 read-only, and runs the command that follows in it.
BARE = """
for lib in $(ldconfig -p | grep -oE '/[^ ]*/lib(EGL|OSMesa|GL)[.]so[^ ]*'); do mount --bind /dev/null "$lib"; done
mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && cd "$0" && exec "$@"
"""


def bare(folder: Path, *words) -> subprocess.CompletedProcess:
    """Runs `python dreamer.py WORDS` on such a machine, in `folder`."""
    command = ["unshare", "--mount", "--net", "sh", "-c", BARE, folder, sys.executable, ROOT / "dreamer.py", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"} | {"HOME": str(folder)}
    environment.pop("MUJOCO_GL", None)
    return subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


def can_unshare() -> bool:
    """Whether this process may create namespaces."""
    tried = shutil.which("unshare") and subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True)
    return bool(tried) and tried.returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="needs Linux namespaces and the permission to create them")
@pytest.mark.long
def test_the_first_ten_minutes_on_a_bare_machine(tmp_path):
    here, logs = tmp_path / "here", tmp_path / "logs"
    here.mkdir()
    short = ["--configs", "debug", "--steps", "200", "--run.video_every", "0"]

    done = bare(here, "--algo", "v3", *short, "--task", "dummy_point")
    assert done.returncode == 2
    assert done.stderr.count("Error: ") == 1
    assert "Read-only file system. Choose another --logdir" in done.stderr

    done = bare(here, "--algo", "v3", *short, "--task", "gym_CartPole-v1", "--logdir", logs / "pole")
    assert done.returncode == 0, done.stderr
    done = bare(here, "eval", "--logdir", logs / "pole", "--episodes", "2")
    assert done.returncode == 0, done.stderr

    pixels = ["--algo", "v1", "--configs", "dmc_vision", "debug", "--task", "dmc_cartpole_balance", "--steps", "200"]
    done = bare(here, *pixels, "--logdir", logs / "pixels")
    assert done.returncode == 2
    assert "apt-get install libegl1" in done.stderr
    assert "--env.render ray" in done.stderr
    done = bare(here, *pixels, "--logdir", logs / "ray", "--env.render", "ray")
    assert done.returncode == 0, done.stderr

    done = bare(here, "report", logs / "pole", "--out", logs / "report")
    assert done.returncode == 0, done.stderr
    assert (logs / "report" / "report.html").stat().st_size > 10_000
    assert not any(here.iterdir())
