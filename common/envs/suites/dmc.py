"""DeepMind Control suite: dmc_<domain>_<task>, from states (`obs: vector`), images (`image`) or both.

States never load a renderer. Images are drawn once per agent step, after the action repeat. `env.render` chooses the
renderer: `full` and `fast` use OpenGL, through EGL or else OSMesa; `ray` needs neither.
"""

import contextlib
import functools
import importlib
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from common.envs.adapt import images
from common.envs.adapt.adapter import Adapter
from common.envs.adapt.dm_env import DmEnv
from common.envs.adapt.wrappers import ActionRepeat
from common.envs.suites import unknown_task
from common.errors import UserError

ALIASES = {"cup": "ball_in_cup"}  # of domains
DOMAIN_CAMERAS = {"quadruped": 2, "rodent": 4}  # all others: 0
GL_BACKENDS = ("egl", "osmesa")  # in the order in which they are tried
RENDERER_PROBE = """
import mujoco
from dm_control import _render
context, model = _render.Renderer(8, 8), mujoco.MjModel.from_xml_string("<mujoco/>")
with context.make_current() as gl:
    gl.call(mujoco.MjrContext, model, mujoco.mjtFontScale.mjFONTSCALE_100)
context.free()
"""
INSTALL_HINT = "apt-get install libegl1 libgl1 (or libosmesa6, then MUJOCO_GL=osmesa)"


def make(name: str, config: dict) -> gymnasium.Env:
    """Make the suite's environment <domain>_<task> with normalized spaces.

    Raises:
        UserError: unknown task, or images without a working renderer.
    """
    pixels = config["obs"] != "vector"
    backend = required_backend(config)
    suite = load_suite(backend)
    domain, task = _split(name, suite.ALL_TASKS)
    limit = config["time_limit"]
    control = DmEnv(suite.load(domain, task, {"time_limit": math.inf} if limit else None))
    if backend == "disable" and control.env.physics.model.nhfield:
        disable_uploads(control.env.physics)
    env = Adapter(ActionRepeat(control, config["repeat"], limit))
    if not pixels:
        return env
    return Pixels(env, control.env.physics, _camera(domain, control.env.physics, config["camera"]), config)


def disable_uploads(physics: Any) -> None:
    """Let a task with a height field, such as quadruped_escape, be reset without OpenGL.

    Its reset copies the new terrain to the graphics card if `physics.contexts` has any, and reading that property makes
    the contexts. Here it makes none. The simulation has its own copy of the terrain.
    """
    physics._make_rendering_contexts = lambda: None


class Pixels(gymnasium.ObservationWrapper):
    """Adds the observation `image`, uint8 (size, size, C); `obs: image` omits all others."""

    def __init__(self, env: gymnasium.Env, physics: Any, camera: int, config: dict):
        super().__init__(env)
        size, self.camera, self.gray = config["size"] or 64, camera, config["gray"]
        self.draw = DRAWERS[config["render"]](physics, camera, size)
        self.states = config["obs"] == "both"
        image = spaces.Box(0, 255, (size, size, 1 if self.gray else 3), np.uint8)
        states: Any = env.observation_space if self.states else {}
        self.observation_space = spaces.Dict({**states, "image": image})

    def observation(self, observation: dict) -> dict:
        return {**(observation if self.states else {}), "image": images.fit_image(self.draw(), 0, self.gray, "area")}


Drawer = Callable[[], np.ndarray]


def full_drawer(physics: Any, camera: int, size: int) -> Drawer:
    """Draw as the suite does by default."""
    return lambda: physics.render(size, size, camera_id=camera)


def fast_drawer(physics: Any, camera: int, size: int) -> Drawer:
    """Draw without shadows, reflections and multisampling, which take most of the time without a GPU."""
    quality, buffer = physics.model.vis.quality, physics.model.vis.global_
    quality.shadowsize = quality.offsamples = 0
    buffer.offwidth = buffer.offheight = size
    plain = {"shadow": False, "reflection": False}
    return lambda: physics.render(size, size, camera_id=camera, render_flag_overrides=plain)


def ray_drawer(physics: Any, camera: int, size: int) -> Drawer:
    """Draw without OpenGL. Raises UserError for a model with a skin, which rays do not hit."""
    if physics.model.nskin:
        raise UserError("This task has a skin, which env.render ray cannot draw. Use --env.render fast.")
    from common.envs.suites.ray_renderer import RayCamera  # not earlier: MuJoCo would load OpenGL

    return RayCamera(physics, camera, size)


#: `env.render` -> function that makes the drawer, which returns uint8 (size, size, 3) of the current state.
DRAWERS = {"full": full_drawer, "fast": fast_drawer, "ray": ray_drawer}


def load_suite(backend: str) -> ModuleType:
    """Import dm_control's suite with this OpenGL backend, even if another one was used before."""
    with _environment_variable("MUJOCO_GL", backend):
        from dm_control import _render, suite

        if backend not in ("disable", _render.BACKEND):
            importlib.reload(_render)
    return suite


def required_backend(config: dict) -> str:
    """Return the OpenGL backend that an environment needs: `disable` for states and for rays.

    A task from states that is to be filmed takes a backend if one works.
    """
    pixels = config["obs"] != "vector"
    if pixels and config["render"] != "ray":
        return working_backend()
    if pixels or not config.get("film"):
        return "disable"
    try:
        return working_backend()
    except UserError:
        return "disable"


@functools.cache
def working_backend() -> str:
    """Return the OpenGL backend that works here: the one in MUJOCO_GL, else the first of EGL and OSMesa.

    A child process tries it, because a failed attempt cannot be undone in this process. The result is stored in
    MUJOCO_GL, for worker processes.

    Raises:
        UserError: no backend works; the message names the packages to install.
    """
    asked = os.environ.get("MUJOCO_GL")
    for backend in [asked] if asked else GL_BACKENDS:
        reason = backend_error(backend)
        if not reason:
            if not asked and backend != "egl":
                print(f"EGL does not work here: drawing with MUJOCO_GL={backend}.", file=sys.stderr)
            os.environ["MUJOCO_GL"] = backend
            return backend
    raise UserError(
        f"dm_control cannot draw images with MUJOCO_GL={backend} ({reason}). "
        f"Install a renderer: {INSTALL_HINT}; or draw without one: --env.render ray; "
        "or train on states: --env.obs vector."
    )


def backend_error(backend: str) -> str:
    """Return why this OpenGL backend cannot draw, as a child process found; an empty string if it can."""
    environment = {**os.environ, "MUJOCO_GL": backend}
    probe = subprocess.run([sys.executable, "-c", RENDERER_PROBE], env=environment, capture_output=True, text=True)
    if probe.returncode == 0:
        return ""
    return (probe.stderr.strip().splitlines() or [f"it ended with exit code {probe.returncode}"])[-1]


@contextlib.contextmanager
def _environment_variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def _camera(domain: str, physics: Any, asked: int) -> int:
    """Return the number of the camera; -1 asks for the domain's usual one."""
    if not -1 <= asked < physics.model.ncam:
        raise UserError(f"env.camera must be -1 to {physics.model.ncam - 1} for {domain}, not {asked}.")
    return DOMAIN_CAMERAS.get(domain, 0) if asked == -1 else asked


def _split(name: str, tasks: Any) -> tuple[str, str]:
    """Return (domain, task) of walker_walk, ball_in_cup_catch or cup_catch. tasks: pairs of all domains and tasks."""
    names = {f"{domain}_{task}": (domain, task) for domain, task in tasks}
    names |= {
        f"{alias}_{task}": (domain, task) for alias, full in ALIASES.items() for domain, task in tasks if domain == full
    }
    if name not in names:
        raise unknown_task("dmc", name, names)
    return names[name]
