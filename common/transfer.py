"""Starting a run with weights of another one: `--run.init LOGDIR` takes its world model, or all of its networks."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from common.checkpoint import newest
from common.errors import UserError
from common.logdir import stored_config

#: run.init_parts -> beginnings of the names of what is taken; never the optimiser's state.
PARTS = {"world_model": ("world.",), "all": ("world.", "behavior.")}
LISTED = 8  # differences shown


def take(agent: nn.Module, config: dict) -> str:
    """Copies the weights that `run.init` and `run.init_parts` name into a new agent; returns a line about it.

    Raises UserError where there is no such run, or its networks have other shapes.
    """
    folder, parts = Path(config["run"]["init"]).expanduser(), config["run"]["init_parts"]
    source, state = stored_config(folder), newest(folder)
    chosen = lambda weights: {key: value for key, value in weights.items() if key.startswith(PARTS[parts])}
    given = chosen(state["agent"])
    wrong = differences(given, chosen(agent.state_dict()))
    what = parts.replace("_", " ")
    if wrong:
        more = f"\n  ... and {len(wrong) - LISTED} more" if len(wrong) > LISTED else ""
        raise UserError(
            f"Of the networks in {folder}, those of run.init_parts {parts} do not fit this run (there -> here):\n  "
            + "\n  ".join(wrong[:LISTED])
            + f"{more}\nTake the version, sizes and observations of that run: `python dreamer.py explain {folder}`."
        )
    agent.load_state_dict(given, strict=False)
    return f"Started with {what} of {folder}: {source['algo']} on {source['task']}, frame {state['frames']:,}."


def differences(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """A line for every entry that only one of two states has, or that has another shape."""
    shapes = [{key: shape(value) for key, value in state.items()} for state in (there, here)]
    keys = [key for key in {**shapes[0], **shapes[1]} if shapes[0].get(key) != shapes[1].get(key)]
    return [f"{key}: {shapes[0].get(key, 'absent')} -> {shapes[1].get(key, 'absent')}" for key in keys]


def shape(value: Any) -> str:
    """Shape of a tensor in words; other state has none."""
    if not isinstance(value, Tensor):
        return "state"
    return " x ".join(map(str, value.shape)) or "a number"
