"""A published agent: a folder with weights, config, spaces and scores, read without running code from it.

It has the files of a run directory that others need, and no optimiser, replay or log. Nothing is written to it.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from common.errors import UserError
from common.safe_io import MIB, parse_json

WEIGHTS_FILE = "model.safetensors"
CARD_FILE, CURVE_FILE = "README.md", "curve.png"
#: The files of a published agent, and the most bytes of each.
MAX_BYTES = {
    WEIGHTS_FILE: 16 * 1024 * MIB,
    CARD_FILE: MIB,
    "config.yaml": 100_000,
    "spaces.json": 64 * MIB,
    "run.json": MIB,
    "eval.json": 16 * MIB,
    "scores.jsonl": 256 * MIB,
    CURVE_FILE: 16 * MIB,
}
REQUIRED = (WEIGHTS_FILE, "config.yaml", "spaces.json")
FORMAT = "dreamer-hub-1"
TRAINING_STATE = "_extra_state"  # end of the names of optimiser moments and update counters, which are not published
FLOATS = (torch.float16, torch.bfloat16, torch.float32)
DTYPES = (*FLOATS, torch.float64, torch.uint8, torch.int32, torch.int64, torch.bool)
LAYER_COUNTS = re.compile(r"(.*[._])?(layers|ensemble|models)")


def is_published(folder: Path) -> bool:
    """Whether `folder` is a published agent."""
    return (folder / WEIGHTS_FILE).is_file()


def refuse_to_write(folder: Path) -> None:
    """Raise UserError if `folder` is a published agent: training in it would mix it with a run."""
    if is_published(folder):
        raise UserError(
            f"{folder} is a published agent. It has no optimiser and no replay, so it cannot be resumed. Start a new "
            f"run with its weights: another --logdir, and --run.init {folder} --run.init_parts all."
        )


def write_weights(path: Path, weights: Mapping[str, Any], half: bool = False, **facts: int | float) -> None:
    """Write the tensors of an agent's state, without training state. half: floats take 16 bits instead of 32.

    facts: numbers for the header, such as frames; it also gets the checksum of the tensors. Raises UserError for a
    number that 16 bits cannot hold.
    """
    from safetensors.torch import save_file  # not earlier: commands without published agents start faster

    kept = {key: value for key, value in weights.items() if not key.endswith(TRAINING_STATE)}
    narrow = lambda x: x.half() if half and x.dtype == torch.float32 else x
    tensors = {key: narrow(value.detach().cpu()).contiguous().clone() for key, value in kept.items()}
    if bad := next((key for key, x in tensors.items() if x.is_floating_point() and not x.isfinite().all()), None):
        advice = " Omit --half." if half else " The run has diverged: publish an earlier checkpoint."
        raise UserError(f"{bad} has a number that is not finite or that its type cannot hold.{advice}")
    header = json.dumps({**facts, "sha256": checksum(tensors.items())})
    save_file(tensors, path, {FORMAT: header})  # of several entries, the order would be random


def checksum(tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    """Return the SHA-256 of names, types, shapes and bytes of tensors on the CPU, independent of their order."""
    lines = []
    for name, value in tensors:
        data = value.contiguous().flatten().view(torch.uint8).numpy().data
        lines.append(f"{name} {value.dtype} {list(value.shape)} {hashlib.sha256(data).hexdigest()}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def read_state(folder: Path) -> dict[str, Any]:
    """Return the state of a published agent: `agent`, `frames`, perhaps `wall` (seconds); floats are float32.

    Raises UserError if the file is not one that `write_weights` wrote, was changed, or has a number that is not finite.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / WEIGHTS_FILE
    try:
        if path.stat().st_size > MAX_BYTES[WEIGHTS_FILE]:
            raise ValueError(f"it has more than {MAX_BYTES[WEIGHTS_FILE]:,} bytes")
        with safe_open(path, framework="pt", device="cpu") as file:
            header = file.metadata() or {}
            if FORMAT not in header:
                raise ValueError(f"its header has no {FORMAT}: `push` of this program did not write it")
            facts = parse_json(header[FORMAT])
            if "sha256" not in facts:
                raise ValueError("its header has no sha256: push the run again with this version of the program")
            numbers = {key: facts[key] for key in ("frames", "wall") if key in facts}
            stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
            weights = {key: _checked(key, value) for key, value in stored.items()}
            if checksum(stored.items()) != facts["sha256"]:
                raise ValueError("its weights do not have the checksum that its header names: the file is damaged")
    except (OSError, SafetensorError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}). Download or copy the agent again.") from error
    return {"agent": weights, **numbers}


def _checked(name: str, value: torch.Tensor) -> torch.Tensor:
    """Return a tensor with floats as float32. Raises ValueError for an unexpected type and for NaN and infinity."""
    if value.dtype not in DTYPES:
        raise ValueError(f"{name} is {value.dtype}")
    if value.is_floating_point() and not value.isfinite().all():
        raise ValueError(f"{name} has a number that is not finite")
    value = value.float() if value.dtype in FLOATS else value
    return value.clone()  # aligned as torch allocates it: elsewhere in memory, sums may be rounded differently


def with_training_state(weights: dict[str, Any], own: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """Return the weights found at `source` with the training state `own` of a new agent, if they are published."""
    if not is_published(source):
        return weights
    return {key: value for key, value in own.items() if key.endswith(TRAINING_STATE)} | weights


def check_layers(config: Mapping[str, Any], weights: Mapping[str, Any], source: Path) -> None:
    """Raise UserError if a config has more layers than weights: building them would take indefinitely long.

    config: flat. weights: those found at `source`.
    """
    for key, value in config.items():
        if LAYER_COUNTS.fullmatch(key) and not (isinstance(value, int) and value <= len(weights)):
            raise UserError(f"The config of {source} does not fit its weights: {key} is {value}.")
