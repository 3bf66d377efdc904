"""Rewards and flags of any type as one number or one bool, where their meaning is plain.

Plain are numbers, bools, and arrays, tensors or lists that hold exactly one of them. Python's truth and operators
would also accept other answers, with another meaning: the string "False" is true, and so is the list [False, False].
"""

import numbers
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import numpy as np

REAL_NUMBERS = numbers.Real | Decimal | np.bool_
MAX_SHOWN = 80  # characters of an answer in an error message


def one_number(value: Any, name: str) -> Any:
    """Return a number, or the only number in an array, tensor or list, as a Python or NumPy number.

    Raises:
        TypeError, ValueError: it is not one real number; the message has its `name` and the value.
    """
    if value is None:
        raise TypeError(f"The {name} is None, not a number. Return 0.0 for no {name}.")
    found = only_element(value)
    if not isinstance(found, REAL_NUMBERS):
        raise ValueError(f"The {name} must be one number, got {shown(value)}. Return one float for each step.")
    return found if isinstance(found, int | float | np.generic) else float(found)


def one_flag(value: Any, name: str) -> bool:
    """Return a bool, a 0 or 1, or the only one in an array, tensor or list, as a bool.

    Raises:
        TypeError: it is not one bool; the message has its `name` and the value.
    """
    found = only_element(value)
    if not isinstance(found, REAL_NUMBERS) or found not in (0, 1):
        raise TypeError(f"{name} must be one bool, got {shown(value)}. Return True or False for each step.")
    return bool(found)


def only_element(value: Any) -> Any:
    """Return the only element of an array, tensor, list or tuple, else the value itself; None if it has several.

    Also None for an element that a masked array hides.
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any():
        return None
    if isinstance(value, np.ndarray):
        return only_element(value.reshape(-1)[0]) if value.size == 1 else None
    if isinstance(value, np.generic):
        return value
    if isinstance(value, list | tuple):
        return only_element(value[0]) if len(value) == 1 else None
    if isinstance(value, str | bytes | Mapping | REAL_NUMBERS):
        return value
    if hasattr(value, "__array__") or callable(getattr(value, "item", None)):
        return element_of_tensor(value)
    return value


def element_of_tensor(value: Any) -> Any:
    """Return the only element of another library's array or tensor, which may need a gradient or be on a GPU."""
    try:
        return value.item() if hasattr(value, "item") else only_element(np.asarray(value))
    except (TypeError, ValueError, RuntimeError):
        return None


def as_array(value: Any) -> np.ndarray:
    """Return an observation as an array. Tensors that need a gradient or are on a GPU are copied from there."""
    if callable(getattr(value, "detach", None)):
        value = value.detach().cpu()
    return np.asarray(value)


def shown(value: Any) -> str:
    """Return a value as one line of at most MAX_SHOWN characters."""
    text = " ".join(safe_text(value, repr).split())
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def safe_text(value: Any, to_text: Callable[[Any], str] = str) -> str:
    """Return a value as text; the name of its type if its own code for that fails."""
    try:
        return to_text(value)
    except Exception:
        return f"a {type(value).__name__}"
