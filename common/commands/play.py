"""`play`: shows an environment for a person to play, on a page or in a film.

The page and --record work as those of `dream`, without an agent.
"""

from common.commands.dream import PAGE_OPTIONS
from common.config.arguments import Option, Options, with_help
from common.config.request import Request
from common.errors import UserError

OPTIONS: Options = with_help(
    PAGE_OPTIONS,
    key="image to show (default: the first one), or none",
)
#: Flag for runs -> what it is here.
RUN_FLAG_HELP = {
    "algo": Option("", "version whose environment settings to use; v3 if omitted", "VERSION"),
    "task": Option("", "such as atari_pong, or module:Class for your own (needed)", "TASK"),
    "seed": Option(0, "seed of the environment", "N"),
}
EXAMPLES = (
    "play --task atari_pong",
    "play --task dmc_cartpole_swingup --configs dmc_vision --env.render ray",
    "play --task gym_CartPole-v1 --record play.gif --steps 50",
)


def play(request: Request) -> None:
    """Show an environment. Raises UserError for an unknown task or a missing package."""
    from common.viewer.environment import Environment  # not earlier: the help needs no torch
    from common.viewer.show import check_options, show

    if request.positionals or "task" not in request.flags:
        words = " ".join(request.positionals) or "atari_pong"
        raise UserError(f"play needs a task: --task {words}.")
    check_options(request.options)
    config = request.config(request.algo or request.default_algo)
    show(Environment(config), (), request.options, config)
