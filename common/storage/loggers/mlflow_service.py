"""MLflow. MLFLOW_TRACKING_URI names its server or database; without it, mlflow.db in the current folder."""

import re
from pathlib import Path
from typing import Any

from common.config.config import dump, flatten
from common.storage.loggers.run_logger import FINISHED, STOPPED, RunFacts

MOST_PARAMETERS = 100  # of one call
MOST_LETTERS = 6000  # of the value of a parameter
STATUS = {FINISHED: "FINISHED", STOPPED: "KILLED"}


class MlflowService:
    """A run in MLflow. The project is an experiment, the group a tag, the entity the user."""

    name, title = "mlflow", "MLflow"
    advice = "metrics.jsonl has all numbers."

    def __init__(self, mlflow: Any, logdir: Path) -> None:
        self.mlflow, self.run_id = mlflow, ""
        self.client = mlflow.MlflowClient(tracking_uri=absolute(mlflow.get_tracking_uri()))

    def open(self, facts: RunFacts, run_id: str | None) -> str:
        """Create a run with the config as parameters, or set the status of an earlier one to running."""
        self.run_id = run_id or self.run_id
        if self.run_id:
            self.client.update_run(self.run_id, status="RUNNING")
        else:
            self.run_id = self._create(facts)
        self.client.log_text(self.run_id, dump(facts.config), "config.yaml")  # parameters cannot change, a file can
        return self.run_id

    def scalars(self, values: dict[str, float], frames: int, wall: float) -> None:
        """Send metrics in one call."""
        metric, moment = self.mlflow.entities.Metric, int(wall * 1000)
        points = [metric(metric_name(name), value, moment, frames) for name, value in values.items()]
        self.client.log_batch(self.run_id, metrics=points)

    def film(self, name: str, path: Path, frames: int) -> None:
        """Send a film, as an artifact."""
        self.client.log_artifact(self.run_id, str(path), "film")

    def close(self, end: str) -> None:
        """Set the status of the run."""
        self.client.set_terminated(self.run_id, STATUS.get(end, "FAILED"))

    def _create(self, facts: RunFacts) -> str:
        found = self.client.get_experiment_by_name(facts.project)
        experiment = found.experiment_id if found else self.client.create_experiment(facts.project)
        tags = {"group": facts.group, "mlflow.source.name": "dreamer.py", "mlflow.user": facts.entity}
        tags |= {"mlflow.source.git.commit": facts.config["program"]["git"] or ""}
        tags = {name: text for name, text in tags.items() if text}
        run_id = self.client.create_run(experiment, run_name=facts.name, tags=tags).info.run_id
        self.run_id = run_id  # another attempt after an error continues it
        parameter = self.mlflow.entities.Param
        all_of_them = [parameter(key, str(value)[:MOST_LETTERS]) for key, value in flatten(facts.config).items()]
        for start in range(0, len(all_of_them), MOST_PARAMETERS):
            self.client.log_batch(run_id, params=all_of_them[start : start + MOST_PARAMETERS])
        return run_id


def absolute(uri: str) -> str:
    """Return the address of a database file as one that holds also after a change of the folder."""
    head, mark, path = uri.partition("sqlite:///")
    return f"{mark}{Path(path).absolute()}" if mark and not head else uri


def metric_name(name: str) -> str:
    """Return a name of only those characters that MLflow takes."""
    return re.sub(r"[^\w\-. /]", "_", name)
