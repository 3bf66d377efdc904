"""Reader of files that `torch.save` wrote: tensors and plain containers only."""

import pickle
import re
from pathlib import Path
from typing import Any

import torch

from common.errors import UserError


class _Unread:
    """Stand-in for an object of a class that is not read: it takes any content and keeps nothing."""

    def __new__(cls, *args: Any, **options: Any) -> "_Unread":
        return super().__new__(cls)

    def __init__(self, *args: Any, **options: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass


#: Modules whose objects a file may hold within an object that is not read.
_INNER = ("numpy.", "pathlib.", "_codecs.")


def _stand_ins(path: Path, module: str) -> list[Any]:
    """Return what replaces the classes and functions of `module` in a file, and of what their objects hold."""
    named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    return [(_Unread, name) for name in named if name.startswith((module, *_INNER))]


def read_torch(path: Path, unread: str = "") -> Any:
    """Return the content of a file of `torch.save`, on the CPU. Nothing in it is executed.

    unread: objects of classes whose full name begins with it are left out, instead of an error.

    Raises UserError, which names it, if the file holds anything but tensors, numbers, texts and plain containers; also
    if it is damaged or cannot be read.
    """
    try:
        with torch.serialization.safe_globals(_stand_ins(path, unread) if unread else []):
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}. Check the path.") from error
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = found.group(1) if found else str(error).splitlines()[0][:200]
        raise UserError(
            f"{path} is not a file of tensors: it holds {what}. Only tensors, numbers and plain containers are read; "
            "nothing in it was executed. Save the state_dict alone, then import that file."
        ) from error
    except Exception as error:  # damaged archives raise almost any type
        why = f"{type(error).__name__}: {str(error)[:200]}"
        raise UserError(f"{path} is not a file of torch.save, or a damaged one ({why}). Copy it again.") from error
