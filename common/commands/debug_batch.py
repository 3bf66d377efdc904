"""`debug-batch FILE`: repeats an update or action that was not finite, and shows where NaN or infinity begins.

FILE is in the folder `nonfinite` of a run directory. It contains the agent; no environment is needed.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from rich.console import RenderableType

from common.agent.agent import Agent
from common.config.arguments import Options
from common.config.request import Request
from common.config.tables import listing, show, table
from common.errors import UserError
from common.nn import rng
from common.profiling.nonfinite_probe import NonFiniteProbe
from common.safe_io import expand_path
from common.storage import nonfinite_dump
from common.storage.saved_agent import MALFORMED_ERRORS, load_weights
from common.storage.spaces import decode_space

OPTIONS: Options = {}
EXAMPLES = (
    "debug-batch logs/walker/nonfinite/first.pt",
    "debug-batch logs/walker/nonfinite/last.pt",
    "debug-batch first.pt --debug",
)
MAX_PARAMETERS_SHOWN = 3  # parameters named for each gradient


def debug(request: Request) -> None:
    """Print the page. Raises UserError if the file cannot be used."""
    if len(request.positionals) != 1 or request.given_flags():
        raise UserError("debug-batch takes one file and nothing else: debug-batch LOGDIR/nonfinite/first.pt")
    path = expand_path(request.positionals[0])
    state = nonfinite_dump.load(path)
    try:
        blocks = [block for block in sections(state) if block is not None]
    except (UserError, *MALFORMED_ERRORS) as error:
        raise UserError(
            f"{path} was not written by a run of this version ({type(error).__name__}: {str(error)[:500]}). Try the "
            "other file in that folder."
        ) from error
    show(*blocks)


def sections(state: dict) -> Iterator[RenderableType | None]:
    """Yield the sections of the page: summary, inputs, losses, gradients."""
    probe, where = NonFiniteProbe(build_agent(state)), state["config"]["run"]["device"]
    acted, mode = "record" in state, state.get("mode", "train")
    doing = ("evaluating" if mode == "eval" else "acting") if acted else "updating"
    if acted:
        again = probe.act(state["record"], state["acting"], state["step"], mode)
    else:
        rng.set_state(state["rng"])
        again = probe.update(state["batch"], state["step"])
    yield listing([
        ("run", f"{state['config']['algo']}, task {state['config']['task']}, seed {state['config']['seed']}"),
        ("when", f"frame {state['frames']:,}, after {state['updates']:,} updates, {doing}"),
        ("not finite then", ", ".join(state["names"])),
        ("not finite now", (", ".join(again) or "nothing") + f" (on {probe.agent.device}; run.device was {where})"),
        ("begins in", first_module(probe)),
        ("weights", ", ".join(probe.weights()[:MAX_PARAMETERS_SHOWN]) + " not finite"
            if probe.weights() else "all finite"),
    ])  # fmt: skip
    yield inputs_table(state["record"] if acted else state["batch"])
    yield losses_table(probe)
    yield gradients_table(probe)


def build_agent(state: dict) -> Agent:
    """Build the agent as it was, uncompiled; on a GPU if it was on one and one is available."""
    obs_space, act_space = map(decode_space, state["spaces"])
    device = "cuda" if state["config"]["run"]["device"] != "cpu" and torch.cuda.is_available() else "cpu"
    agent = Agent(obs_space, act_space, state["config"], device)
    load_weights(agent, state["agent"], Path("the file"))
    return agent


def first_module(probe: NonFiniteProbe) -> str:
    """Describe the first module with a non-finite output."""
    if probe.first is None:
        return "no module: every output was finite, so look at the losses, then at the gradients"
    return f"{probe.first.name}, whose inputs were {'finite' if probe.first.finite_inputs else 'not finite either'}"


def inputs_table(arrays: dict) -> RenderableType:
    """Return a table of the range of every input."""
    rows = [("input", "shape", "least", "greatest", "not finite")]
    for key, x in sorted((key, np.asarray(x)) for key, x in arrays.items()):
        sound = x[np.isfinite(x)] if x.dtype.kind == "f" else x
        least, greatest = (f"{float(f(sound)):.4g}" if sound.size else "" for f in (np.min, np.max))
        rows.append((key, str(x.shape), least, greatest, ratio_text(x.size - sound.size, x.size)))
    return table(rows)


def losses_table(probe: NonFiniteProbe) -> RenderableType | None:
    """Return a table of the losses, with the first row and step of the batch that is not finite."""
    rows = [("loss", "mean", "scale", "not finite", "first at")]
    for term in probe.losses:
        scale = f"{probe.agent.scales[term.name]:g}"
        place = str(term.place) if term.place else ""
        rows.append((term.name, f"{term.mean:.4g}", scale, ratio_text(term.bad, term.size), place))
    return table(rows) if probe.losses else None


def gradients_table(probe: NonFiniteProbe) -> RenderableType | None:
    """Return a table of the gradients of each loss in each group, with their non-finite parameters."""
    rows = [("gradient of", "in group", "norm", "parameters where it is not finite")]
    for slope in probe.gradients:
        more = f" and {len(slope.bad) - MAX_PARAMETERS_SHOWN} more" if len(slope.bad) > MAX_PARAMETERS_SHOWN else ""
        rows.append((slope.loss, slope.group, f"{slope.norm:.4g}", ", ".join(slope.bad[:MAX_PARAMETERS_SHOWN]) + more))
    return table(rows) if probe.gradients else None


def ratio_text(bad: int, size: int) -> str:
    """Return '3 of 40', or 'none'."""
    return f"{bad:,} of {size:,}" if bad else "none"
