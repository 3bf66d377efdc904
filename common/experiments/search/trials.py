"""Trials and their runs."""

import dataclasses
from pathlib import Path
from typing import Any

from common.config.request import Request
from common.experiments.grid.experiment import in_services
from common.experiments.grid.runner import ScheduledJob
from common.experiments.search.measure import common_rungs, rung_values
from common.experiments.search.space import with_values
from common.experiments.search.study import RUNNING
from common.storage.grid_file import Job, JobState


@dataclasses.dataclass
class SearchTrial:
    """One choice of values with a run for each seed. state: RUNNING, DONE, PRUNED or FAILED.

    live: the trial of Optuna, None if it has ended before this process. reported: rungs that Optuna knows.
    """

    number: int
    jobs: list["TrialJob"] = dataclasses.field(default_factory=list)
    state: str = RUNNING
    live: Any = None
    error: str = ""
    reported: set[int] = dataclasses.field(default_factory=set)

    @property
    def name(self) -> str:
        """Name of its variant."""
        return f"trial {self.number}"

    def rungs(self, metric: str) -> dict[int, float]:
        """Return rung -> mean over its seeds, for the rungs that every run has completed."""
        return common_rungs([rung_values(job.logdir, metric, job.job.config["steps"]) for job in self.jobs])


class TrialJob(ScheduledJob):
    """A run of a trial. It has nothing to do once its trial has ended."""

    def __init__(self, job: Job, logdir: Path, trial: SearchTrial):
        super().__init__(job, logdir, episodes=0)
        self.trial = trial

    def reset(self) -> None:
        """Set the state of a run without a process: that of its trial if it has ended."""
        if self.trial.state == RUNNING:
            super().reset()
        else:
            self.process, self.state = None, JobState(self.trial.state, self.trial.error or None)


def make_jobs(
    trial: SearchTrial, request: Request, values: dict[str, Any], seeds: range, folder: Path
) -> list[TrialJob]:
    """Return the runs of a trial, one for each seed."""
    request, jobs = with_values(request, values), []
    for seed in seeds:
        config = request.config(str(request.algo), seed=seed)
        job = in_services(Job(trial.name, config["task"], seed, request.train_arguments(seed=seed), config), folder)
        jobs.append(TrialJob(job, folder / job.logdir, trial))
    return jobs
