"""What a replay directory says about itself, and the clear word when it is not what the run expects."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from common.files import write_text
from common.replay.ring import LATENTS
from common.safe_io import read_json

FORMAT_VERSION = 1
FLAG_KEYS = ("is_first", "is_last", "is_terminal")


def spec_as_json(spec: dict) -> dict:
    """A spec {key: (shape, dtype)} as JSON has it."""
    return {key: [list(shape), np.dtype(dtype).name] for key, (shape, dtype) in spec.items()}


def make_directory(directory: Path) -> None:
    """Creates `directory` with its parents; raises UserError where that is impossible."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"Cannot create {directory}: {error.strerror}. Choose a --logdir that you may write to."
        ) from error


def write(path: Path, **content) -> None:
    """Writes a description as JSON, all or nothing."""
    write_text(path, json.dumps({"format": FORMAT_VERSION, **content}, indent=1))


def read(path: Path, **expected) -> dict:
    """Reads a description and checks the values in `expected`.

    Raises:
      UserError: missing, damaged, or of another run; the message names the file.
    """
    expected = {"format": FORMAT_VERSION, **expected}
    try:
        content = read_json(path)
        found = {key: content[key] for key in expected}
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing, so no replay can be read there. Restore it, or start in a new --logdir."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({error!r}). Restore it from a copy, or start in a new --logdir."
        ) from error
    for key, value in expected.items():
        if found[key] != value:
            raise UserError(
                f"{path} belongs to another run or setting: its {key} is {found[key]}, expected is {value}. "
                "Resume with the settings it was written with, or start in a new --logdir."
            )
    return content


def missing_latents(path: Path, stored: Any, spec: dict) -> list:
    """Compares a stored description with the spec wanted; returns the latents that cannot be read.

    Raises:
      UserError: another key is not stored, or with another shape or dtype; it is no description.
    """
    wanted = spec_as_json(spec)
    if not isinstance(stored, dict):
        raise UserError(f"{path} is damaged (keys {stored!r}). Restore it from a copy, or start in a new --logdir.")
    differ = [key for key in wanted if stored.get(key) != wanted[key]]
    for key in differ:
        if key not in LATENTS:
            raise UserError(
                f"{path} does not fit this task: key {key!r} should be {wanted[key]} and is "
                f"{stored.get(key, 'not stored')}. Start in a new --logdir."
            )
    return differ


def check_spec(spec: dict, context: int, force_first: bool) -> None:
    """Refuses specs without the keys that every record has, and options that contradict each other."""
    absent = [key for key in ("action", "reward", *FLAG_KEYS) if key not in spec]
    if absent:
        raise UserError(f"A replay needs the keys {absent}, the spec has {sorted(spec)}.")
    for key in FLAG_KEYS:
        if (tuple(spec[key][0]), np.dtype(spec[key][1])) != ((), np.dtype(bool)):
            raise UserError(f"{key} must be one bool per record, got {spec[key]}.")
    if context not in (0, 1):
        raise UserError(f"replay.context must be 0 or 1, got {context}.")
    if context and force_first:
        raise UserError("replay.context 1 starts windows from stored latents; it excludes replay.force_first True.")
    if context and not set(LATENTS) <= set(spec):
        raise UserError(f"replay.context 1 needs an agent that stores {' and '.join(LATENTS)}. Use --replay.context 0.")
