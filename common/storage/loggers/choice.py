"""The loggers that `run.logger` chooses, built when a run is built."""

import importlib
import logging
from collections.abc import Callable
from pathlib import Path

from common.config.loggers import logger_names, service_names
from common.errors import UserError, error_text
from common.storage.loggers.csv_file import CsvFile
from common.storage.loggers.mlflow_service import MlflowService
from common.storage.loggers.run_logger import RunLogger
from common.storage.loggers.service import Service, ServiceLogger
from common.storage.loggers.trackio_service import TrackioService
from common.storage.loggers.wandb_service import WandbService
from common.storage.outputs import TensorBoard

SERVICES: dict[str, Callable[..., Service]] = {
    "wandb": WandbService,
    "mlflow": MlflowService,
    "trackio": TrackioService,
}


def make_service(name: str, logdir: Path) -> Service:
    """Return the client of a service. Raises UserError if its package is missing or it cannot be used as it is set."""
    try:
        package = importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"The logger {name} needs another package. Type: pip install {name} ({error_text(error)})."
        ) from error
    try:
        return SERVICES[name](package, logdir)
    except UserError:
        raise
    except Exception as error:  # foreign code may raise anything, for example for a wrong environment variable
        raise UserError(
            f"The logger {name} cannot be used as it is set: {error_text(error)}\nChange that, or omit it in --logger."
        ) from error


def check_loggers(config: dict) -> None:
    """Raise UserError if a logger of a resolved config cannot be used. Nothing is written or sent."""
    for name in service_names(config):
        make_service(name, Path(config.get("logdir") or "."))


def make_loggers(config: dict, logdir: Path, frames: int, report: Callable[[str], None]) -> list[RunLogger]:
    """Return the loggers of a run, except the terminal and metrics.jsonl, which every run writes.

    frames: at which the run starts. report: prints a notice.
    """
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    found: list[RunLogger] = []
    for name in logger_names(config["run"]["logger"]):
        if name == "tensorboard":
            found.append(TensorBoard(logdir, frames))
        elif name == "csv":
            found.append(CsvFile(logdir / "metrics.csv", logdir / "metrics.jsonl"))
        elif name in SERVICES:
            found.append(ServiceLogger(make_service(name, logdir), logdir, report))
    return found
