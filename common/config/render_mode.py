"""How the images of a run of DeepMind Control are drawn, and where that is not as in the published ones."""

import os


def has_dmc_images(config: dict) -> bool:
    """Whether the run has images of DeepMind Control."""
    return str(config.get("task")).startswith("dmc_") and config.get("env", {}).get("obs") != "vector"


def nonstandard_render_mode(config: dict) -> str:
    """`fast` or `ray` for images of DeepMind Control that are not drawn in full; "" for all others."""
    render = config.get("env", {}).get("render", "full")
    return render if has_dmc_images(config) and render != "full" else ""


def renderer_description(config: dict) -> str:
    """Who draws the images of DeepMind Control, once its environments chose it; "" without such images."""
    if not has_dmc_images(config):
        return ""
    render = config["env"]["render"]
    if render == "ray":
        return "env.render ray: MuJoCo casts rays on the processor, without OpenGL"
    return f"env.render {render}: OpenGL, MUJOCO_GL={os.environ.get('MUJOCO_GL', 'not chosen')}"


def render_mode_warning(how: str) -> str:
    """A warning in one sentence for what `drawn` says."""
    return f"Images are drawn with env.render {how}: not to be compared with published scores."
