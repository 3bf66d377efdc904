"""The Optuna study of a search: one SQLite file that holds all trials, also those in progress."""

import json
import warnings
from pathlib import Path
from typing import Any

from common.config.arguments import Option
from common.errors import UserError, error_text
from common.experiments.search.measure import RUNGS
from common.experiments.search.space import Dimension
from common.storage.logdir import join_lines

STUDY_FILE, STUDY_NAME = "study.db", "sweep"
RUNNING, DONE, PRUNED, FAILED = "running", "done", "pruned", "failed"  # states of trials
OPTIONS = {
    "startup": Option(10, "random trials before the search uses earlier ones", "N", group="search"),
    "prune": Option(
        True, "stop a trial that is worse than the median at the same frames", "true|false", group="search"
    ),
    "warmup": Option(0.3, "share of a run in which no trial is pruned", "SHARE", group="search"),
    "sampler-seed": Option(0, "seed of the search itself", "N", group="search"),
}


def require_optuna() -> Any:
    """Return the package. Raises UserError if it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise UserError(f"sweep needs another package. Type: pip install optuna ({error_text(error)}).") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


class Study:
    """The trials of a search. Raises UserError if the file holds a search with other `settings`, or is not one.

    settings: what must not change between two commands, as name -> text.
    """

    def __init__(self, folder: Path, direction: str, options: dict[str, Any], settings: dict[str, str]):
        self.optuna, self.path, self.options = require_optuna(), folder / STUDY_FILE, options
        is_new = not self.path.exists()
        try:
            self.study = self.optuna.create_study(
                study_name=STUDY_NAME,
                storage=f"sqlite:///{self.path.absolute()}",
                load_if_exists=True,
                direction=direction,
                pruner=self._pruner(),
            )
            stored = self.study.user_attrs.get("settings", {})
        except Exception as error:  # of SQLAlchemy or Optuna
            text = error_text(error).splitlines()[0]
            raise UserError(f"{self.path} is not the file of a sweep: {text}. Choose another --logdir.") from error
        if is_new or not stored:
            self.study.set_user_attr("settings", settings)
        elif changed := [
            f"{key}: {stored[key]} -> {text}" for key, text in settings.items() if stored.get(key, text) != text
        ]:  # a key that the program did not have at that time does not differ
            raise UserError(
                f"{folder} contains another sweep (stored -> given):\n  {join_lines(changed)}\n"
                "Use the stored values to continue it; you may raise --trials. Or choose another --logdir."
            )
        self.study.sampler = self._sampler()

    def _pruner(self) -> Any:
        if not self.options["prune"]:
            return self.optuna.pruners.NopPruner()
        startup, warmup = self.options["startup"], int(self.options["warmup"] * RUNGS)
        return self.optuna.pruners.MedianPruner(n_startup_trials=min(5, startup), n_warmup_steps=warmup)

    def _sampler(self) -> Any:
        """Return the sampler. A resumed search needs another seed than before: it would draw the same values again."""
        seed = self.options["sampler-seed"] + 1000 * len(self.study.trials)
        with warnings.catch_warnings(action="ignore"):  # `constant_liar` is experimental
            return self.optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=self.options["startup"], constant_liar=True
            )

    def ask(self, space: list[Dimension]) -> Any:
        """Return a new trial of Optuna, with values."""
        return self.study.ask({one.key: self._distribution(one) for one in space})

    def unfinished(self) -> list[Any]:
        """Return the trials that were in progress when the last process ended."""
        return [
            self.optuna.trial.Trial(self.study, frozen._trial_id)
            for frozen in self.study.get_trials(deepcopy=False)
            if not frozen.state.is_finished()
        ]

    def end_trial(self, trial: Any, state: str, value: float | None = None, error: str = "") -> None:
        """End a trial. value: its result, for a trial that is done."""
        states = self.optuna.trial.TrialState
        if error:
            trial.set_user_attr("error", error)
        state = {DONE: states.COMPLETE, PRUNED: states.PRUNED, FAILED: states.FAIL}[state]
        self.study.tell(trial.number, value, state=state)

    def rows(self) -> list[dict[str, Any]]:
        """Return all trials in order: number, state, value, params, rungs (rung -> value) and error."""
        states = self.optuna.trial.TrialState
        names = {states.COMPLETE: DONE, states.PRUNED: PRUNED, states.FAIL: FAILED}
        return [
            {
                "number": one.number,
                "state": names.get(one.state, RUNNING),
                "value": one.value,
                "params": one.params,
                "rungs": one.intermediate_values,
                "error": one.user_attrs.get("error", ""),
            }
            for one in self.study.get_trials(deepcopy=False)
        ]

    def importances(self) -> dict[str, float]:
        """Return key -> importance, the largest first; {} while there are too few different results."""
        try:
            with warnings.catch_warnings(action="ignore"):
                evaluator = self.optuna.importance.PedAnovaImportanceEvaluator()
                found = self.optuna.importance.get_param_importances(self.study, evaluator=evaluator)
        except (RuntimeError, ValueError):
            return {}
        return {key: float(value) for key, value in found.items()}

    def _distribution(self, one: Dimension) -> Any:
        kinds = self.optuna.distributions
        if one.choices:
            return kinds.CategoricalDistribution(one.choices)
        if one.whole:
            return kinds.IntDistribution(int(one.low), int(one.high), log=one.log, step=int(one.step) or 1)
        return kinds.FloatDistribution(one.low, one.high, log=one.log, step=one.step or None)


def as_settings(values: dict[str, Any]) -> dict[str, str]:
    """Return values as texts that can be compared."""
    return {
        key: value if isinstance(value, str) else json.dumps(value, sort_keys=True) for key, value in values.items()
    }
