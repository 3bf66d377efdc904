"""Environments and parts that a Python program gives as objects: their names in configs, and the object of a name.

An object of a module is named MODULE:NAME, as on the command line, and every process can import it. Any other, such as
a class of a notebook, a local function or a lambda, is named python-object:NAME: only this process has it.
"""

import importlib.util
import re
import sys
from typing import Any

from common.errors import UserError

PREFIX = "python-object:"
ENVIRONMENT = "env"  # kind of an object; that of a part is its seam

_objects: dict[tuple[str, str], Any] = {}  # kind and name -> object of this process


def name_of(kind: str, given: Any) -> str:
    """Return the name of an object in configs; an object that cannot be imported is kept for `find`."""
    module, name = getattr(given, "__module__", None), getattr(given, "__qualname__", type(given).__name__)
    if _is_importable(module, name, given):
        return f"{module}:{name}"
    last = re.sub(r"\W", "", name.rpartition(".")[2]) or kind
    _objects[kind, PREFIX + last] = given
    return PREFIX + last


def import_path(kind: str, given: Any, use: str) -> str:
    """Return MODULE:NAME. Raises UserError for an object of this process; `use` says why that does not work."""
    name = name_of(kind, given)
    if is_local(name):
        raise UserError(f"{use}, which cannot import {name.removeprefix(PREFIX)}. {_advice(kind, name)}")
    return name


def is_local(name: str) -> bool:
    """Return whether a name is that of an object which only the process that gave it has."""
    return name.startswith(PREFIX)


def note(name: str) -> str:
    """Return what a local name means for the run that has it."""
    return f"{name} cannot be imported, so this run is resumed and evaluated from Python only, with the same object."


def find(kind: str, name: str) -> Any:
    """Return the object of a local name. Raises UserError if it was not given in this process."""
    if (kind, name) in _objects:
        return _objects[kind, name]
    what = "environment" if kind == ENVIRONMENT else f"part at {kind!r}"
    again = f"env={name.removeprefix(PREFIX)}"
    if kind != ENVIRONMENT:
        again = f'parts={{"{kind}": {name.removeprefix(PREFIX)}}}'
    raise UserError(
        f"{name} is the {what} of a Python program, and it is not importable: only that program has it. "
        f"Continue there: dreamer.train(..., {again}), or evaluate. {_advice(kind, name)}"
    )


def _advice(kind: str, name: str) -> str:
    return f"For the command line, write {name.removeprefix(PREFIX)} in a module of its own and import it from there."


def _is_importable(module: str | None, name: str, given: Any) -> bool:
    """Return whether another process finds `given` as an attribute of a module that it can import."""
    if module in (None, "__main__") or getattr(sys.modules.get(str(module)), name, None) is not given:
        return False
    try:
        return importlib.util.find_spec(str(module)) is not None
    except (ImportError, ValueError):
        return False
