"""`debug-batch FILE`: computes again what a run skipped because it was not finite, and says where it begins.

FILE lies in the folder `nonfinite` of a logdir. The agent of that moment is built from it; no environment is needed.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from common.agent.agent import Agent
from common.config.request import Request
from common.errors import UserError
from common.nn import rng
from common.profiling.nonfinite_probe import Probe
from common.profiling.speed_table import listing, table
from common.safe_io import path_of
from common.storage import nonfinite_dump
from common.storage.checkpoint_schema import block
from common.storage.saved_agent import fill
from common.storage.spaces import decode
from common.training.training_errors import MISMATCH

OPTIONS: dict = {}
SHOWN = 3  # parameters named for each gradient


def debug(request: Request) -> None:
    """Prints the page. Raises UserError where the file cannot be used."""
    if len(request.words) != 1 or request.given():
        raise UserError("debug-batch takes one file and nothing else: debug-batch LOGDIR/nonfinite/first.pt")
    path = path_of(request.words[0])
    state = nonfinite_dump.load(path)
    try:
        text = "\n\n".join(filter(None, page(state)))
    except (UserError, *MISMATCH) as error:
        raise UserError(
            f"{path} is whole, but not what a run of this version keeps there "
            f"({type(error).__name__}: {str(error)[:500]}). Take the other file of that folder."
        ) from error
    print(text)


def page(state: dict) -> Iterator[str]:
    """What happened, inputs, losses, gradients, and what to look at first."""
    probe, where = Probe(agent_of(state)), state["config"]["run"]["device"]
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
        ("begins in", beginning(probe)),
        ("weights", ", ".join(probe.weights()[:SHOWN]) + " not finite" if probe.weights() else "all finite"),
    ])  # fmt: skip
    yield inputs(state["record"] if acted else state["batch"])
    yield losses(probe)
    yield gradients(probe)


def agent_of(state: dict) -> Agent:
    """The agent as it was, on the GPU if it was there and there is one, uncompiled."""
    obs_space, act_space = map(decode, state["spaces"])
    device = "cuda" if state["config"]["run"]["device"] != "cpu" and torch.cuda.is_available() else "cpu"
    agent = Agent(obs_space, act_space, state["config"], device)
    if not block(state["agent"]):
        raise TypeError("its agent is none")
    fill(agent, state["agent"], Path("the file"))
    return agent


def beginning(probe: Probe) -> str:
    """The first module that made something not finite, in words."""
    if probe.first is None:
        return "no module: every output was finite, so look at the losses, then at the gradients"
    return f"{probe.first.name}, whose inputs were {'finite' if probe.first.sound_inputs else 'not finite either'}"


def inputs(arrays: dict) -> str:
    """Range of everything that went in."""
    rows = [("input", "shape", "least", "greatest", "not finite")]
    for key, x in sorted((key, np.asarray(x)) for key, x in arrays.items()):
        sound = x[np.isfinite(x)] if x.dtype.kind == "f" else x
        least, greatest = (f"{float(f(sound)):.4g}" if sound.size else "" for f in (np.min, np.max))
        rows.append((key, str(x.shape), least, greatest, count(x.size - sound.size, x.size)))
    return table(rows)


def losses(probe: Probe) -> str:
    """Losses as they were, with the first row and step of the batch where one is not finite."""
    rows = [("loss", "mean", "scale", "not finite", "first at")]
    for term in probe.terms:
        scale = f"{probe.agent.scales[term.name]:g}"
        place = str(term.place) if term.place else ""
        rows.append((term.name, f"{term.mean:.4g}", scale, count(term.bad, term.size), place))
    return table(rows) if probe.terms else ""


def gradients(probe: Probe) -> str:
    """What each loss sends to each group, and in which parameters it is not finite."""
    rows = [("gradient of", "in group", "norm", "parameters where it is not finite")]
    for slope in probe.slopes:
        more = f" and {len(slope.bad) - SHOWN} more" if len(slope.bad) > SHOWN else ""
        rows.append((slope.loss, slope.group, f"{slope.norm:.4g}", ", ".join(slope.bad[:SHOWN]) + more))
    return table(rows) if probe.slopes else ""


def count(bad: int, size: int) -> str:
    """'3 of 40', or 'none'."""
    return f"{bad:,} of {size:,}" if bad else "none"
