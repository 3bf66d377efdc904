"""`variables.pkl` of danijar/dreamer and danijar/dreamerv2: a list of arrays without names, in TensorFlow's order.

TensorFlow lists a module's own variables first, then its parts by name. So the settings give the names.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.foreign.safe_pickle import read_pickle

FILE = "variables.pkl"


def read_variables(path: Path) -> tuple[Path, list[np.ndarray]]:
    """Return the path of the file and its arrays. `path` is the file or its folder."""
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"There is no {FILE} in {path}. Give that file or the logdir with it.")
    values = read_pickle(file)
    if not isinstance(values, list | tuple) or not all(isinstance(x, np.ndarray | np.generic) for x in values):
        raise UserError(f"{file} is not a list of arrays. Give a {FILE} that danijar/dreamer or dreamerv2 wrote.")
    return file, [np.asarray(value) for value in values]


def layers(names: Iterable[str]) -> Iterator[str]:
    """Yield kernel and bias of each layer."""
    for name in names:
        yield from (f"{name}/kernel", f"{name}/bias")


def chain_fits(names: Sequence[str], arrays: Sequence[np.ndarray]) -> bool:
    """Whether every kernel has 2 or 4 axes, and every bias the width of its kernel."""
    shapes = dict(zip(names, (x.shape for x in arrays), strict=True))
    for name, shape in shapes.items():
        kernel = shapes.get(name.removesuffix("bias") + "kernel", ())
        if name.endswith("/kernel") and len(shape) not in (2, 4):
            return False
        if name.endswith("/bias") and (not shape or shape[-1] not in kernel):
            return False
    return True
