"""`config`: prints the resolved config of a command line as YAML; nothing is run or written."""

from common.config.config import dump


def show(config: dict) -> None:
    """Prints every key with the value that training would use."""
    print(dump(config), end="")
