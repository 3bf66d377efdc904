"""Reader of files that `torch.save` wrote: tensors and plain containers only."""

import pickle
import re
from pathlib import Path
from typing import Any

import torch

from common.errors import UserError


def read_torch(path: Path) -> Any:
    """Return the content of a file of `torch.save`, on the CPU. Nothing in it is executed.

    Raises UserError, which names it, if the file holds anything but tensors, numbers, texts and plain containers; also
    if it is damaged or cannot be read.
    """
    try:
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
