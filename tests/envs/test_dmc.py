"""dm_control: states and rays load no renderer; other images find one or name the packages to install."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from common.envs import make_env
from common.envs.suites import dmc
from common.errors import UserError


def python(code, **environment):
    """Run code in a new interpreter without MUJOCO_GL; return its output."""
    clean = {key: value for key, value in os.environ.items() if key not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    result = subprocess.run([sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.fixture
def drawing():
    try:
        return dmc.working_backend()
    except UserError as error:
        return pytest.skip(str(error))


@pytest.mark.parametrize("environment", [{}, {"MUJOCO_GL": "egl"}])
def test_states_and_rays_never_load_a_renderer(environment):
    code = """
import os, sys
from common.envs import make_env
before = os.environ.get("MUJOCO_GL")
for options in ({}, {"obs": "image", "render": "ray"}):
    env = make_env("dmc_walker_walk", options)
    env.reset()
    env.step(env.action_space.sample())
assert os.environ.get("MUJOCO_GL") == before
print([name for name in sys.modules if name.split(".")[0] in ("OpenGL", "glfw")])
"""
    assert python(code, **environment) == "[]"


def test_a_task_with_a_height_field_plays_from_states_without_a_renderer():
    code = """
import sys
import numpy as np
from common.envs import make_env
env = make_env("dmc_quadruped_escape")
terrains = []
for _ in range(2):
    env.reset()
    env.step(np.zeros(12, np.float32))
    terrains.append(env.unwrapped.env.physics.model.hfield_data.copy())
print((terrains[0] != terrains[1]).any(), [name for name in sys.modules if name.split(".")[0] in ("OpenGL", "glfw")])
"""
    assert python(code) == "True []"


def test_pixels_after_states_in_one_process(drawing):
    code = """
from common.envs import make_env
make_env("dmc_cartpole_balance").reset()
print(make_env("dmc_cartpole_balance", {"obs": "image"}).reset()[0]["image"].std() > 5)
"""
    assert python(code) == "True"


@pytest.mark.parametrize("backend", ["bogus", "disable"])
def test_a_missing_renderer_is_one_message(backend):
    code = """
from common.envs import make_env
from common.errors import UserError
try:
    make_env("dmc_cartpole_balance", {"obs": "image"})
except UserError as error:
    print(error)
"""
    message = python(code, MUJOCO_GL=backend)
    assert len(message.splitlines()) == 1
    for part in (
        f"MUJOCO_GL={backend}",
        "apt-get install libegl1 libgl1",
        "libosmesa6",
        "--env.render ray",
        "--env.obs vector",
    ):
        assert part in message


def choose(monkeypatch, working):
    """Return working_backend() on a machine where only these backends work."""
    run = lambda *_, env, **__: SimpleNamespace(returncode=int(env["MUJOCO_GL"] not in working), stderr="no display")
    monkeypatch.setattr(dmc.subprocess, "run", run)
    monkeypatch.setenv("MUJOCO_GL", "x")
    monkeypatch.delenv("MUJOCO_GL")
    return dmc.working_backend.__wrapped__()


def test_egl_is_tried_first_and_osmesa_is_announced(monkeypatch, capsys):
    assert choose(monkeypatch, ["egl", "osmesa"]) == "egl"
    assert capsys.readouterr().err == ""
    assert choose(monkeypatch, ["osmesa"]) == os.environ["MUJOCO_GL"] == "osmesa"
    assert "MUJOCO_GL=osmesa" in capsys.readouterr().err
    with pytest.raises(UserError, match="no display"):
        choose(monkeypatch, [])


def test_scalars_stay_scalars_and_episodes_are_truncated_after_1000_frames():
    env = make_env("dmc_walker_stand", {"repeat": 10})
    obs, _ = env.reset()
    assert {key: value.shape for key, value in obs.items()} == {"height": (), "orientations": (14,), "velocity": (9,)}
    flags = [env.step(np.zeros(6))[2:4] for _ in range(100)]
    assert flags == [(False, False)] * 99 + [(False, True)]


@pytest.mark.parametrize(("limit", "steps"), [(30, 3), (1040, 104)])
def test_the_time_limit_replaces_that_of_the_suite(limit, steps):
    env = make_env("dmc_cartpole_swingup", {"repeat": 10, "time_limit": limit})
    env.reset()
    flags = [env.step(np.zeros(1))[2:4] for _ in range(steps)]
    assert flags == [(False, False)] * (steps - 1) + [(False, True)]


def test_true_ends_are_terminal():
    control = dmc.DmEnv(dmc.load_suite("disable").load("walker", "walk"))
    control.reset(seed=0)
    control.env.task.get_termination = lambda physics: 0.0
    assert control.step(np.zeros(6))[2:4] == (True, False)


def test_action_repeat_sums_rewards():
    one, four = make_env("dmc_walker_walk"), make_env("dmc_walker_walk", {"repeat": 4})
    one.reset(), four.reset()
    action = np.full(6, 0.3, np.float32)
    singles = [one.step(action) for _ in range(4)]
    obs, reward, *_ = four.step(action)
    assert reward == pytest.approx(sum(step[1] for step in singles), abs=1e-5)
    assert (obs["velocity"] == singles[-1][0]["velocity"]).all()


def test_names_and_cameras():
    pixels = {"obs": "image", "render": "ray"}
    assert make_env("dmc_cup_catch").observation_space == make_env("dmc_ball_in_cup_catch").observation_space
    assert make_env("dmc_cartpole_swingup_sparse").unwrapped.env.task._sparse
    assert make_env("dmc_quadruped_walk", pixels).get_wrapper_attr("camera") == 2
    assert make_env("dmc_walker_walk", pixels).get_wrapper_attr("camera") == 0
    assert make_env("dmc_walker_walk", {**pixels, "camera": 1}).get_wrapper_attr("camera") == 1
    gray = make_env("dmc_walker_walk", {**pixels, "gray": True, "size": 48})
    assert gray.reset()[0]["image"].shape == (48, 48, 1)
