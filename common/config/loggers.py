"""Names of the loggers that `run.logger` may list."""

import difflib

from common.errors import UserError

FILES = ("terminal", "jsonl", "tensorboard", "csv")  # loggers of this program
SERVICES = ("wandb", "mlflow", "trackio")  # loggers that send to another program; each needs an extra
DEFAULT = "terminal,jsonl,tensorboard"


def logger_names(text: str) -> list[str]:
    """Return the loggers in a list with commas, each once. Raises UserError for an unknown name."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in FILES + SERVICES:
            near = difflib.get_close_matches(name, FILES + SERVICES, 1)
            hint = f"Did you mean {near[0]}?" if near else f"Loggers are {', '.join(FILES + SERVICES)}."
            raise UserError(f"run.logger: unknown logger {name!r}. {hint}")
    return names


def service_names(config: dict) -> list[str]:
    """Return the services among the loggers of a resolved config."""
    return [name for name in logger_names(config["run"]["logger"]) if name in SERVICES]
