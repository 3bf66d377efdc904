"""Reader of pickles that admits arrays and plain containers, and never executes code from the file.

A pickle names functions to call. This reader calls only the stand-ins in `_STAND_INS`, which build arrays of numbers
from bytes; every other name ends in an error that contains it. Not even NumPy's own functions for pickles are called.
"""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError

NUMBER_KINDS = "biufc"  # of a NumPy dtype


class _Kind:
    """Stand-in for a NumPy dtype: its text, and the byte order that follows later in the file."""

    def __init__(self, text: Any, *_: Any):
        self.dtype = np.dtype(text) if isinstance(text, str) else np.dtype(object)
        if self.dtype.kind not in NUMBER_KINDS or self.dtype.names:
            raise pickle.UnpicklingError(f"an array of {text!r:.40}, not of numbers")

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
        self.dtype = self.dtype.newbyteorder(">" if order == ">" else "<" if order == "<" else "=")


class _Array:
    """Stand-in for an array whose content follows later in the file."""

    value: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        self.value = _from_bytes(data, kind, shape, "F" if fortran else "C").value


def _from_bytes(data: Any, kind: Any, shape: Any, order: Any) -> _Array:
    """Build an array from its bytes, and check that they fit."""
    if not isinstance(kind, _Kind) or not isinstance(data, bytes | bytearray) or order not in ("C", "F"):
        raise pickle.UnpicklingError("an array that is not made of bytes")
    made = _Array()
    made.value = np.frombuffer(data, kind.dtype).reshape(shape, order=order).copy()
    return made


def _scalar(kind: Any, data: Any = b"") -> Any:
    return _from_bytes(data, kind, (), "C").value[()]  # type: ignore[index]


def _encode(text: str, encoding: str = "") -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"a text in {encoding!r:.20}")
    return text.encode(encoding)


_NUMPY = ("numpy.core", "numpy._core")
_BUILTINS = ("builtins", "__builtin__")
_STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    **{(f"{room}.multiarray", "_reconstruct"): lambda *_: _Array() for room in _NUMPY},
    **{(f"{room}.multiarray", "scalar"): _scalar for room in _NUMPY},
    **{(f"{room}.numeric", "_frombuffer"): _from_bytes for room in _NUMPY},
    ("numpy", "dtype"): _Kind,
    ("numpy", "ndarray"): lambda *_: _Array(),
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): lambda items=(): dict(items),
    **{(room, kind.__name__): kind for room in _BUILTINS for kind in (set, frozenset)},
    **{(room, "bytes"): lambda: b"" for room in _BUILTINS},
}  # fmt: skip


class _Record(tuple):
    """Stand-in for the named tuples in which optax keeps the state of an optimiser: only their values."""

    def __new__(cls, *values: Any) -> "_Record":
        return super().__new__(cls, values)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a name in the file. Raises UnpicklingError, with the name, if there is none."""
        if module.split(".")[0] == "optax" and name.endswith("State"):
            return _Record
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return _STAND_INS[module, name]


def read_pickle(path: Path) -> Any:
    """Return the content of a pickle of numbers, texts, arrays, lists, tuples, sets and dicts.

    Raises UserError if the file holds anything else, is damaged or cannot be read. Nothing in it is executed.
    """
    try:
        with path.open("rb") as file:
            return _plain(_Unpickler(file).load(), {})
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}. Check the path.") from error
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is not a file of arrays: it holds {error}. Only numbers, arrays and plain containers are read; "
            "nothing in it was executed."
        ) from error
    except Exception as error:  # malformed pickles raise almost any type
        why = f"{type(error).__name__}: {str(error)[:200]}"
        raise UserError(f"{path} is not a pickle, or a damaged one ({why}). Copy it again.") from error


def _plain(tree: Any, done: dict[int, Any]) -> Any:
    """Return `tree` with arrays in place of their stand-ins. done: converted containers by identity."""
    if isinstance(tree, _Array):
        if tree.value is None:
            raise pickle.UnpicklingError("an array without content")
        return tree.value
    if isinstance(tree, _Kind):
        return str(tree.dtype)
    if not isinstance(tree, dict | list | tuple | set | frozenset):
        return tree
    if id(tree) not in done:
        if isinstance(tree, dict):
            done[id(tree)] = {_plain(key, done): _plain(value, done) for key, value in tree.items()}
        else:
            kind = tuple if isinstance(tree, _Record) else type(tree)
            done[id(tree)] = kind([_plain(value, done) for value in tree])
    return done[id(tree)]
