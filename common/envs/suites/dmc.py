"""DeepMind Control suite: dmc_<domain>_<task>, from states (`obs: vector`), pixels (`image`) or both.

States never load a renderer. Pixels are drawn once per agent step, after the action repeat. Who draws them is
`env.render`: `full` and `fast` are OpenGL, by EGL or else OSMesa; `ray` needs neither.
"""

import contextlib
import difflib
import functools
import importlib
import math
import os
import subprocess
import sys

import gymnasium
import numpy as np
from gymnasium import spaces

from common.envs.adapt import images
from common.envs.adapt.adapter import Adapter
from common.envs.adapt.dm_env import DmEnv
from common.envs.adapt.wrappers import ActionRepeat
from common.errors import UserError

ALIASES = {"cup": "ball_in_cup"}
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
    """The suite's environment <domain>_<task> with normalised spaces.

    Raises:
        UserError: unknown task, or no renderer where pixels are asked for.
    """
    pixels = config["obs"] != "vector"
    suite = load_suite(required_backend(config))
    domain, task = _split(name, suite.ALL_TASKS)
    limit = config["time_limit"]
    control = DmEnv(suite.load(domain, task, {"time_limit": math.inf} if limit else None))
    env = Adapter(ActionRepeat(control, config["repeat"], limit))
    if not pixels:
        return env
    return Pixels(env, control.env.physics, _camera(domain, control.env.physics, config["camera"]), config)


class Pixels(gymnasium.ObservationWrapper):
    """Adds the key `image`, uint8 (size, size, C); `obs: image` keeps nothing else."""

    def __init__(self, env, physics, camera, config):
        super().__init__(env)
        size, self.camera, self.gray = config["size"] or 64, camera, config["gray"]
        self.draw = DRAWERS[config["render"]](physics, camera, size)
        self.states = config["obs"] == "both"
        image = spaces.Box(0, 255, (size, size, 1 if self.gray else 3), np.uint8)
        self.observation_space = spaces.Dict({**(env.observation_space if self.states else {}), "image": image})

    def observation(self, observation):
        return {**(observation if self.states else {}), "image": images.fit_image(self.draw(), 0, self.gray, "area")}


def full_drawer(physics, camera, size):
    """Draws as the suite does by itself."""
    return lambda: physics.render(size, size, camera_id=camera)


def fast_drawer(physics, camera, size):
    """Draws without shadows, reflections and smooth edges; they take most of the time where there is no GPU."""
    quality, buffer = physics.model.vis.quality, physics.model.vis.global_
    quality.shadowsize = quality.offsamples = 0
    buffer.offwidth = buffer.offheight = size
    plain = {"shadow": False, "reflection": False}
    return lambda: physics.render(size, size, camera_id=camera, render_flag_overrides=plain)


def ray_drawer(physics, camera, size):
    """Draws without OpenGL. Raises UserError for a body under a skin, which rays do not meet."""
    if physics.model.nskin:
        raise UserError("This task has a skin, which env.render ray cannot draw. Use --env.render fast.")
    from common.envs.suites.ray_renderer import RayCamera  # not earlier: MuJoCo would load OpenGL

    return RayCamera(physics, camera, size)


#: `env.render` -> function of physics, camera and size: what draws uint8 (size, size, 3) of the present state.
DRAWERS = {"full": full_drawer, "fast": fast_drawer, "ray": ray_drawer}


def load_suite(backend: str):
    """Import dm_control's suite with this OpenGL backend, also when it was imported with another one before."""
    with _environment("MUJOCO_GL", backend):
        from dm_control import _render, suite

        if backend not in ("disable", _render.BACKEND):
            importlib.reload(_render)
    return suite


def required_backend(config: dict) -> str:
    """The OpenGL backend that an environment needs: none for states and for rays. Films of a task from states are drawn
    if one works."""
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
    """The OpenGL backend that works here: the one named by MUJOCO_GL, or the first of EGL and OSMesa.

    It is tried in a child process, because a failed attempt cannot be undone in this one. The choice is left in
    MUJOCO_GL, for worker processes.

    Raises:
        UserError: none works; names the packages to install.
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
    """Why this OpenGL backend cannot draw, found out in a child process; an empty string where it can."""
    environment = {**os.environ, "MUJOCO_GL": backend}
    probe = subprocess.run([sys.executable, "-c", RENDERER_PROBE], env=environment, capture_output=True, text=True)
    if probe.returncode == 0:
        return ""
    return (probe.stderr.strip().splitlines() or [f"it ended with exit code {probe.returncode}"])[-1]


@contextlib.contextmanager
def _environment(name, value):
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def _camera(domain, physics, asked):
    """Number of the camera: the one asked for, or the domain's usual one for -1."""
    if not -1 <= asked < physics.model.ncam:
        raise UserError(f"env.camera must be -1 to {physics.model.ncam - 1} for {domain}, not {asked}.")
    return DOMAIN_CAMERAS.get(domain, 0) if asked == -1 else asked


def _split(name, tasks):
    """(domain, task) of walker_walk, ball_in_cup_catch or cup_catch."""
    names = {f"{domain}_{task}": (domain, task) for domain, task in tasks}
    names |= {
        f"{alias}_{task}": (domain, task) for alias, full in ALIASES.items() for domain, task in tasks if domain == full
    }
    if name not in names:
        near = [f"dmc_{close}" for close in difflib.get_close_matches(name, names, n=3, cutoff=0.3)]
        raise UserError(f"dm_control has no task {name!r}. Nearest: {', '.join(near or sorted(names)[:3])}.")
    return names[name]
