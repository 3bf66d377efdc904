"""Weights of another run as the start of a new one: `--run.init LOGDIR` takes its world model or all networks."""

from typing import Any

from common.agent.agent import Agent
from common.errors import UserError
from common.storage.checkpoints import describe_mismatch
from common.storage.logdir import stored_config
from common.storage.publication import with_training_state
from common.storage.run_source import find_run
from common.storage.saved_agent import load_saved_agent, refuse_malformed

#: run.init_parts -> prefixes of the names that are copied; the optimiser's state never is. With "all", the networks of
#: exploration are too, if both runs have them.
WEIGHT_PREFIXES = {"world_model": ("world.",), "all": ("world.", "behavior.")}

EXPLORATION = "explore."


def load_initial_weights(agent: Agent, config: dict[str, Any]) -> str:
    """Copy the weights that `run.init` and `run.init_parts` name into a new agent; return a line about it.

    Raises UserError if there is no such run, or its networks have other shapes.
    """
    logdir, parts = find_run(config["run"]["init"]), config["run"]["init_parts"]
    source, state = stored_config(logdir), load_saved_agent(logdir)
    with refuse_malformed(logdir):
        prefixes = weight_prefixes(parts, state["agent"], agent.state_dict())
        chosen = lambda weights: {key: value for key, value in weights.items() if key.startswith(prefixes)}
        weights = chosen(with_training_state(state["agent"], agent.state_dict(), logdir))
        if differences := describe_mismatch(weights, chosen(agent.state_dict())):
            raise UserError(
                f"The networks of run.init_parts {parts} in {logdir} do not fit this run (there -> here):\n  "
                f"{differences}\nUse the version, sizes and observations of that run: "
                f"`python dreamer.py explain {logdir}`."
            )
        agent.load_state_dict(weights, strict=False)
    what = parts.replace("_", " ")
    return f"Started with {what} of {logdir}: {source['algo']} on {source['task']}, frame {state['frames']:,}."


def weight_prefixes(parts: str, *states: dict[str, Any]) -> tuple[str, ...]:
    """Return the prefixes of the names to copy between agents with these states."""
    explore = all(any(name.startswith(EXPLORATION) for name in state) for state in states)
    return WEIGHT_PREFIXES[parts] + ((EXPLORATION,) if parts == "all" and explore else ())
