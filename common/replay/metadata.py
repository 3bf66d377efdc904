"""The JSON files that describe a replay directory, and the checks of a replay's spec."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from common.files import write_text
from common.replay.ring import LATENTS, Spec
from common.safe_io import read_json

FORMAT_VERSION = 1
FLAG_KEYS = ("is_first", "is_last", "is_terminal")
DESCRIPTIONS = {"chunks": "chunks.json", "ring": "ring.json"}  # kind of a replay -> file that describes it
RESTORE = "Restore it from a copy, or start in a new --logdir."


def spec_as_json(spec: Spec) -> dict[str, list]:
    """Return a spec as JSON values, {key: [shape, name of the dtype]}."""
    return {key: [list(shape), np.dtype(dtype).name] for key, (shape, dtype) in spec.items()}


def write(path: Path, **content: Any) -> None:
    """Write a description as JSON, atomically."""
    write_text(path, json.dumps({"format": FORMAT_VERSION, **content}, indent=1))


def read(path: Path, **expected: Any) -> dict[str, Any]:
    """Return a description whose values are those in `expected`.

    Raises:
      UserError: the file is missing or damaged, or belongs to another run; the message names it.
    """
    expected = {"format": FORMAT_VERSION, **expected}
    try:
        content = read_json(path)
        found = {key: content[key] for key in expected}
    except FileNotFoundError:
        raise UserError(f"{path} is missing, and the replay cannot be read without it. {RESTORE}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}). {RESTORE}") from error
    for key, value in expected.items():
        if found[key] != value:
            raise UserError(
                f"{path} belongs to another run or setting: its {key} is {found[key]}, expected is {value}. "
                "Resume with the settings it was written with, or start in a new --logdir."
            )
    return content


def stored_keys(directory: Path, state: dict[str, Any]) -> set[str]:
    """Return the keys of the files of the replay that `state` describes; nothing if they cannot be read.

    Reading the records reports what is wrong with the files.
    """
    try:
        return set(read_json(directory / DESCRIPTIONS[state["kind"]])["keys"])
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def missing_latents(path: Path, stored: Any, spec: Spec) -> list[str]:
    """Return the latents of `spec` that `stored`, the keys described in `path`, does not have in the same form.

    Raises:
      UserError: another key is missing or has another shape or dtype, or `stored` is malformed.
    """
    wanted = spec_as_json(spec)
    if not isinstance(stored, dict):
        raise UserError(f"{path} is damaged (keys {stored!r}). {RESTORE}")
    differing = [key for key in wanted if stored.get(key) != wanted[key]]
    for key in differing:
        if key not in LATENTS and key not in stored:
            others = ", ".join(sorted({*stored} - {*LATENTS, *FLAG_KEYS, "action", "reward"}))
            raise UserError(
                f"{path} has no key {key!r}: it is not stored, the run that wrote it read {others or 'no other'}. "
                "Select these with --encoder.keys and --decoder.keys, or start in a new --logdir."
            )
        if key not in LATENTS:
            raise UserError(
                f"{path} does not fit this task: key {key!r} should be {wanted[key]} and is "
                f"{stored[key]}. Start in a new --logdir."
            )
    return differing


def check_spec(spec: Spec, context: int, force_first: bool) -> None:
    """Raise UserError if `spec` lacks a key that every record has, or if the options contradict each other."""
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
