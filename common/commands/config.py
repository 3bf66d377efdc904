"""`config`: print the resolved config of a command line as YAML. Nothing is run or written."""

from common.config.config import dump

EXAMPLES = (
    "config --algo v3",
    "config --algo v2 --configs atari --task atari_pong",
    "config --algo v3 --configs dmc_vision size12m --features retnorm=v2",
)


def show(config: dict) -> None:
    """Print every key with the value that training would use."""
    print(dump(config), end="")
