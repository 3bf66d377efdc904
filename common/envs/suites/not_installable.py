"""Suites of published results whose packages do not install on every supported Python: what each task needs."""

from common.errors import UserError

#: Prefix -> sentences, with the task's name as {name}.
NEEDS = {
    "procgen": (
        "ProcGen has no package for Python 3.11 and 3.12. With Python 3.13: pip install procgen-gym, then "
        "--task gym_procgen_gym:procgen_gym/procgen-{name}-v0."
    ),
    "dmlab": (
        "DMLab has no package to install: compile its module deepmind_lab from source with Bazel, then give a class "
        "that makes {name}: --task my_env:MyEnv (docs/custom_env.md)."
    ),
    "minecraft": (
        "Minecraft has no package that installs here: MineRL 0.4.4 compiles the game with Gradle, which fails, and "
        "MineDojo needs an old gym that cannot be built. A smaller game of the same kind: pip install crafter, then "
        "--task crafter_reward."
    ),
}
EXAMPLES = {"procgen": "coinrun", "dmlab": "explore_goal_locations_small", "minecraft": "diamond"}


def needs_error(prefix: str, name: str) -> UserError:
    """Return the error for a task of such a suite."""
    return UserError(f"Task '{prefix}_{name}': {requirement(prefix, name)}")


def requirement(prefix: str, name: str = "") -> str:
    """Return what a task needs; without a name, what the suite's example needs."""
    return NEEDS[prefix].format(name=name or EXAMPLES[prefix])
