"""Run the trials of a search: ask for values, watch the metrics, prune, report the results to Optuna."""

import signal
import time
from pathlib import Path

from common.config.request import Request
from common.errors import UserError
from common.experiments.grid.launcher import LocalLauncher
from common.experiments.grid.runner import GridRunner
from common.experiments.search.measure import final_value
from common.experiments.search.space import Dimension
from common.experiments.search.study import DONE, FAILED, PRUNED, RUNNING, Study
from common.experiments.search.trials import SearchTrial, TrialJob, make_jobs
from common.storage.grid_file import Grid
from common.training.stop import Stop

LOOK_SECONDS = 2.0  # between two looks at the metrics
MOST_FIRST_FAILURES = 5  # trials; if all of the first ones fail, so will the others


class SearchRunner(GridRunner):
    """Starts and watches the runs of all trials. metric: its name in metrics.jsonl. trials: how many in all."""

    jobs: list[TrialJob]  # type: ignore[assignment]

    def __init__(
        self, folder: Path, grid: Grid, parallel: int, stop: Stop, *,
        request: Request, space: list[Dimension], study: Study, metric: str, seeds: range, trials: int,
    ) -> None:  # fmt: skip
        super().__init__(folder, grid, [], parallel, stop, "", LocalLauncher())
        self.request, self.space, self.study, self.metric = request, space, study, metric
        self.seeds, self.most_trials, self.trials = seeds, trials, list[SearchTrial]()
        self._looked = -LOOK_SECONDS
        live = {trial.number: trial for trial in study.unfinished()}
        for row in study.rows():
            trial = SearchTrial(row["number"], state=row["state"], error=row["error"], live=live.get(row["number"]))
            trial.reported = set(row["rungs"])
            self._add(trial, row["params"])

    def advance(self) -> bool:
        """Report what is new to Optuna, and ask for more trials while places are free."""
        ended = self._look()
        started = False
        while self._may_ask():
            live = self.study.ask(self.space)
            self._add(SearchTrial(live.number, live=live), live.params)
            started = True
        return ended or started

    def _add(self, trial: SearchTrial, values: dict) -> None:
        trial.jobs = make_jobs(trial, self.request, values, self.seeds, self.folder)
        self.trials.append(trial)
        self.jobs += trial.jobs
        self.grid.variants.append(trial.name)
        for job in trial.jobs:
            job.reset()

    def _may_ask(self) -> bool:
        failed = [trial.state == FAILED for trial in self.trials[:MOST_FIRST_FAILURES]]
        if len(failed) == MOST_FIRST_FAILURES and all(failed):
            return False
        busy = len(self.with_status("waiting", "running"))
        return busy < self.parallel and len(self.trials) < self.most_trials

    def _look(self) -> bool:
        """Return whether a trial has ended."""
        due = time.monotonic() - self._looked >= LOOK_SECONDS
        ended = False
        for trial in self.trials:
            quiet = all(job.process is None for job in trial.jobs)
            if trial.state == RUNNING and (due or quiet):
                self._judge(trial)
                ended |= trial.state != RUNNING
        if due:
            self._looked = time.monotonic()
        return ended

    def _judge(self, trial: SearchTrial) -> None:
        """Report new values of a trial, and end it if it has failed, is done, or is worse than the median."""
        failed = [job for job in trial.jobs if job.state.status == "failed"]
        if failed:
            self._end(trial, FAILED, error=failed[0].state.error or "")
            return
        for rung, value in trial.rungs(self.metric).items():
            if rung not in trial.reported:
                trial.live.report(value, rung)
                trial.reported.add(rung)
        if all(job.state.status == "done" for job in trial.jobs):
            self._finish(trial)
        elif trial.reported and trial.live.should_prune():
            self._end(trial, PRUNED)

    def _finish(self, trial: SearchTrial) -> None:
        try:
            values = [final_value(job.logdir, self.metric, job.job.config["steps"]) for job in trial.jobs]
        except UserError as error:
            self._end(trial, FAILED, error=str(error))
        else:
            self._end(trial, DONE, sum(values) / len(values))

    def _end(self, trial: SearchTrial, state: str, value: float | None = None, error: str = "") -> None:
        """End a trial and the runs of it that are still in progress."""
        self.study.end_trial(trial.live, state, value, error)
        trial.state, trial.error = state, error
        running = [job.process for job in trial.jobs if job.process is not None]
        for process in running:
            process.send(signal.SIGTERM)
        for process in running:
            process.wait()
        for job in trial.jobs:
            job.reset()
