"""How the images of a run are drawn, where that is not as in the published ones."""


def drawn(config: dict) -> str:
    """`fast` or `ray` for images of DeepMind Control that are not drawn in full; "" for all others."""
    env = config.get("env", {})
    images = str(config.get("task")).startswith("dmc_") and env.get("obs") != "vector"
    render = env.get("render", "full")
    return render if images and render != "full" else ""


def beware(how: str) -> str:
    """A warning in one sentence for what `drawn` says."""
    return f"Images are drawn with env.render {how}: not to be compared with published scores."
