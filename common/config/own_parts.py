"""Parts of one's own: `--SEAM.use MODULE:CLASS`, such as `--kl.use my_kl:JeffreysKL`.

The module is installed or in the current directory; a name that starts with a dot, a slash or ~ is a file. A run stores
the name as typed, so that every command finds the part in a process of its own. In Python, the class itself may be
given: `parts={"kl": JeffreysKL}`.
"""

import functools
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from common.config import python_objects
from common.errors import UserError, error_text


def load(seam: str, name: str, protocol: type) -> type:
    """Return the class MODULE:CLASS, or one that a Python program gave as an object.

    Raises UserError if it does not exist or lacks methods of the protocol.
    """
    found = python_objects.find(seam, name) if python_objects.is_local(name) else _from_module(seam, name)
    needed = [key for key, value in vars(protocol).items() if callable(value) and not _is_private(key)]
    if absent := [key for key in needed if not any(key in vars(base) for base in found.__mro__)]:
        raise UserError(
            f"{seam}.use {name}: the class lacks {', '.join(absent)} of {protocol.__module__}.{protocol.__name__}. "
            "docs/add_a_part.md has an example."
        )
    return found


def _from_module(seam: str, name: str) -> type:
    path, _, attribute = name.partition(":")
    try:
        module = _import(path)
    except Exception as error:
        reason = f"{type(error).__name__}: {error_text(error)}"
        raise UserError(
            f"{seam}.use {name}: the module {path!r} could not be imported from {os.getcwd()}: {reason}. "
            "Run the command in the folder of the module, or install it."
        ) from error
    found = getattr(module, attribute, None)
    if not isinstance(found, type):
        classes = [key for key, value in vars(module).items() if isinstance(value, type) and not key.startswith("_")]
        raise UserError(f"{seam}.use {name}: {path} has no class {attribute!r}. Its classes: {', '.join(classes)}.")
    return found


def _is_private(name: str) -> bool:
    return name.startswith("_") and name != "__call__"


def _import(path: str) -> ModuleType:
    if path.startswith((".", "/", "~")):
        return _load_file(Path(path).expanduser().resolve())
    if os.getcwd() not in sys.path:  # after this program and Python's modules, which it must not shadow
        installed = [place for place, folder in enumerate(sys.path) if folder.endswith("-packages")]
        sys.path.insert(min(installed, default=len(sys.path)), os.getcwd())
    return importlib.import_module(path.removesuffix(".py").replace("/", "."))


@functools.cache
def _load_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"part {path}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"{path} is not a Python file")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # dataclasses look there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module
