"""How DeepMind Control draws the images of a run, and whether that matches published results."""

import os


def has_dmc_images(config: dict) -> bool:
    """Return whether the run observes images of DeepMind Control."""
    return str(config.get("task")).startswith("dmc_") and config.get("env", {}).get("obs") != "vector"


def nonstandard_render_mode(config: dict) -> str:
    """Return `fast` or `ray` if the run observes such images of DeepMind Control, else an empty string."""
    mode = config.get("env", {}).get("render", "full")
    return mode if has_dmc_images(config) and mode != "full" else ""


def renderer_description(config: dict) -> str:
    """Return what draws the images of DeepMind Control, or an empty string for a run without them.

    MUJOCO_GL is known after the environments are made.
    """
    if not has_dmc_images(config):
        return ""
    mode = config["env"]["render"]
    if mode == "ray":
        return "env.render ray: MuJoCo casts rays on the processor, without OpenGL"
    return f"env.render {mode}: OpenGL, MUJOCO_GL={os.environ.get('MUJOCO_GL', 'not chosen')}"


def render_mode_warning(mode: str) -> str:
    """Return a warning for what `nonstandard_render_mode` returns."""
    return f"Images are drawn with env.render {mode}: do not compare the scores with published ones."
