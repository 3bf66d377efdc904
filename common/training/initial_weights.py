"""Starting a run with weights of another one: `--run.init LOGDIR` takes its world model, or all of its networks."""

from torch import nn

from common.errors import UserError
from common.safe_io import path_of
from common.storage.checkpoints import mismatch
from common.storage.logdir import stored_config
from common.storage.saved_agent import trained

#: run.init_parts -> beginnings of the names of what is taken; never the optimiser's state.
PARTS = {"world_model": ("world.",), "all": ("world.", "behavior.")}


def take(agent: nn.Module, config: dict) -> str:
    """Copies the weights that `run.init` and `run.init_parts` name into a new agent; returns a line about it.

    Raises UserError where there is no such run, or its networks have other shapes.
    """
    folder, parts = path_of(config["run"]["init"]), config["run"]["init_parts"]
    source, state = stored_config(folder), trained(folder)
    chosen = lambda weights: {key: value for key, value in weights.items() if key.startswith(PARTS[parts])}
    given = chosen(state["agent"])
    wrong = mismatch(given, chosen(agent.state_dict()))
    what = parts.replace("_", " ")
    if wrong:
        raise UserError(
            f"Of the networks in {folder}, those of run.init_parts {parts} do not fit this run (there -> here):\n  "
            f"{wrong}\nTake the version, sizes and observations of that run: `python dreamer.py explain {folder}`."
        )
    agent.load_state_dict(given, strict=False)
    return f"Started with {what} of {folder}: {source['algo']} on {source['task']}, frame {state['frames']:,}."
