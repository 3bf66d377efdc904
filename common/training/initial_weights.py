"""Starting a run with weights of another one: `--run.init LOGDIR` takes its world model, or all of its networks."""

from torch import nn

from common.errors import UserError
from common.safe_io import expand_path
from common.storage.checkpoints import describe_mismatch
from common.storage.logdir import stored_config
from common.storage.saved_agent import load_saved_agent

#: run.init_parts -> beginnings of the names of what is taken; never the optimiser's state.
WEIGHT_PREFIXES = {"world_model": ("world.",), "all": ("world.", "behavior.")}


def load_initial_weights(agent: nn.Module, config: dict) -> str:
    """Copies the weights that `run.init` and `run.init_parts` name into a new agent; returns a line about it.

    Raises UserError where there is no such run, or its networks have other shapes.
    """
    folder, parts = expand_path(config["run"]["init"]), config["run"]["init_parts"]
    source, state = stored_config(folder), load_saved_agent(folder)
    chosen = lambda weights: {key: value for key, value in weights.items() if key.startswith(WEIGHT_PREFIXES[parts])}
    given = chosen(state["agent"])
    wrong = describe_mismatch(given, chosen(agent.state_dict()))
    what = parts.replace("_", " ")
    if wrong:
        raise UserError(
            f"Of the networks in {folder}, those of run.init_parts {parts} do not fit this run (there -> here):\n  "
            f"{wrong}\nTake the version, sizes and observations of that run: `python dreamer.py explain {folder}`."
        )
    agent.load_state_dict(given, strict=False)
    return f"Started with {what} of {folder}: {source['algo']} on {source['task']}, frame {state['frames']:,}."
