"""Functions of a Python program that a run calls when it logs, evaluates and saves.

`on_log(metrics, counters)`: a line of metrics, name -> number. `on_eval(result, counters)`: mean, std, scores, lengths
of an evaluation. `on_checkpoint(path, counters)`: the file of a new checkpoint. counters: frames, agent_steps, updates,
episodes and wall (seconds) of the run. A function that returns True asks the run to stop.
"""

from collections.abc import Callable, Mapping
from typing import Any

from common.config.config import unknown_name
from common.errors import UserError

EVENTS = ("on_log", "on_eval", "on_checkpoint")


class CallbackError(Exception):
    """A callback raised `error`. The run is saved before the caller gets it."""

    def __init__(self, error: Exception):
        super().__init__(f"{type(error).__name__} in a callback")
        self.error = error


class Callbacks:
    """The functions for each event, called in the order in which they are given.

    given: an object with one or more of the methods, a mapping from their names to functions, or a list of these.
    Raises UserError for anything else.
    """

    def __init__(self, given: Any = ()):
        several = given if isinstance(given, list | tuple) else [given]
        found = [functions_of(each) for each in several]
        self.functions = {event: [own[event] for own in found if event in own] for event in EVENTS}

    def call(self, event: str, value: Any, counters: dict[str, float]) -> bool:
        """Call the functions of an event. Return whether one of them asks the run to stop.

        Raises CallbackError for an exception of a function.
        """
        stop = False
        for function in self.functions[event]:
            try:
                stop |= function(value, dict(counters)) is True
            except Exception as error:
                raise CallbackError(error) from error
        return stop


def functions_of(given: Any) -> dict[str, Callable]:
    """Return event -> function of one callback. Raises UserError if it has none, or others."""
    if isinstance(given, Mapping):
        if unknown := [name for name in given if name not in EVENTS]:
            raise UserError(unknown_name("callback", str(unknown[0]), EVENTS))
        found = dict(given)
    else:
        found = {event: getattr(given, event) for event in EVENTS if hasattr(given, event)}
    wrong = [event for event, function in found.items() if not callable(function)]
    if wrong or not found:
        what = f"{wrong[0]} of it is not a function" if wrong else "it has none of them"
        raise UserError(f"A callback has functions named {', '.join(EVENTS)}; {what}: {given!r:.60}.")
    return found
