"""Images without OpenGL: they show the state of every domain, and the same content as MuJoCo's renderer."""

from types import SimpleNamespace

import mujoco
import numpy as np
import pytest

from common.envs import make_env
from common.envs.suites import dmc
from common.envs.suites.ray_renderer import RayCamera
from common.errors import UserError

TASKS = [
    "acrobot_swingup",
    "cartpole_swingup",
    "cheetah_run",
    "cup_catch",
    "finger_turn_easy",
    "hopper_hop",
    "pendulum_swingup",
    "quadruped_walk",
    "reacher_easy",
    "walker_walk",
]


def scene(domain, task, backend="disable"):
    """Physics of a task after its first reset, with a fixed seed."""
    env = dmc.load_suite(backend).load(domain, task, {"random": 0})
    env.reset()
    return env.physics


def different_pixels(one, two):
    """Number of pixels in which two images differ."""
    return int((one != two).any(-1).sum())


@pytest.mark.parametrize("task", TASKS)
def test_every_domain_shows_its_state(task):
    env = make_env(f"dmc_{task}", {"obs": "image", "render": "ray", "repeat": 4})
    first = env.reset()[0]["image"]
    assert (first.shape, first.dtype) == ((64, 64, 3), np.uint8)
    assert first.std() > 5
    assert (env.get_wrapper_attr("draw")() == first).all()
    for _ in range(4):
        last = env.step(np.ones(env.action_space.shape, np.float32))[0]["image"]
    assert different_pixels(first, last) > 8
    assert (env.reset(options={"episode": 0})[0]["image"] == first).all()


@pytest.mark.parametrize(("domain", "task"), [("finger", "turn_hard"), ("reacher", "easy"), ("quadruped", "walk")])
def test_no_geom_is_missed(domain, task):
    physics = scene(domain, task)
    camera, bounds = RayCamera(physics, 0, 24), physics.model.body_bvhadr.copy()
    camera()
    eye, found = physics.data.cam_xpos[0], np.zeros(1, np.int32)
    one = lambda ray: mujoco.mj_ray(camera.model, camera.data, eye, ray, camera.option.geomgroup, True, -1, found)
    hits = camera._cast(eye)
    for ray, object_id, distance in zip(camera.rays, hits.object_id, hits.distance, strict=True):
        expected = one(ray)
        assert object_id == found[0]
        assert object_id < 0 or distance == pytest.approx(expected)
    assert (physics.model.body_bvhadr == bounds).all()


def move(physics, kind, name, axis, by):
    getattr(physics.named.model, f"{kind}_pos")[name, axis] += by
    physics.forward()


@pytest.mark.parametrize(
    ("domain", "task", "kind", "seen"),
    [("reacher", "easy", "geom", True), ("finger", "turn_easy", "site", True), ("finger", "spin", "site", False)],
)
def test_targets_are_visible_in_tasks_that_have_one(domain, task, kind, seen):
    physics = scene(domain, task)
    draw = RayCamera(physics, 0, 64)
    before = draw()
    move(physics, kind, "target", "z" if kind == "site" else "x", 0.05)
    assert (different_pixels(before, draw()) > 8) == seen


def test_the_string_of_the_cup_is_visible():
    physics = scene("ball_in_cup", "catch")
    draw = RayCamera(physics, 0, 64)
    before = draw()
    physics.model.tendon_group[:] = 5  # not shown
    assert 5 < different_pixels(before, draw()) < 100


def test_skins_are_refused():
    with pytest.raises(UserError, match=r"env\.render fast"):
        dmc.ray_drawer(SimpleNamespace(model=SimpleNamespace(nskin=1)), 0, 64)


@pytest.mark.parametrize(("domain", "task"), [("walker", "walk"), ("finger", "turn_easy")])
def test_shapes_and_colors_match_opengl(domain, task):
    try:
        backend = dmc.working_backend()
    except UserError as error:
        pytest.skip(str(error))
    physics = scene(domain, task, backend)
    draw = RayCamera(physics, 0, 64)
    image, real = draw(), physics.render(64, 64, camera_id=0)
    marked = physics.render(64, 64, camera_id=0, segmentation=True)
    body = (marked[..., 1] == mujoco.mjtObj.mjOBJ_GEOM) & (marked[..., 0] > 0)
    own = draw._cast(physics.data.cam_xpos[0]).object_id.reshape(64, 64) > 0
    assert (body & own).sum() / (body | own).sum() > 0.8
    assert np.abs(image[body & own].mean(0) - real[body & own].mean(0)).max() < 25
    assert np.abs(image.astype(float) - real).mean() < 12
