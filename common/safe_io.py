"""Reading what others may have written, or harmed: paths, text, JSON and arrays, within limits of size.

Every function here raises OSError where a file cannot be read, and ValueError for whatever is wrong with its content,
however deep or large that is.
"""

import gzip
import io
import json
import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from common.errors import UserError

MIB = 2**20
MAX_FILE_BYTES = 256 * MIB  # bytes of a JSON file, also of what a compressed one becomes
MAX_INTEGER_DIGITS = 300  # of a whole number: any more, and it is no float
MAX_ARRAY_BYTES = 2**32  # bytes of an array of a file


def expand_path(word: str | Path) -> Path:
    """The path that a person means, with `~` for a home. Raises UserError for one that cannot be."""
    try:
        if "\0" in str(word):
            raise RuntimeError("it holds a NUL character")
        return Path(word).expanduser()
    except RuntimeError as error:
        raise UserError(f"The path {str(word)!r} cannot be used: {error}. A folder called ~name is ./~name.") from error


def read_bytes(path: Path, largest: int = MAX_FILE_BYTES) -> bytes:
    """Content of a file."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > largest:
            raise ValueError(f"it has more than {largest:,} bytes")
        return _some(file, largest)


def decompress_gzip(data: bytes, largest: int = MAX_FILE_BYTES) -> bytes:
    """`data` as it is, or out of gzip's form."""
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            return _some(file, largest)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"its compression is damaged: {error}") from error


def parse_json(text: str | bytes) -> Any:
    """The value that JSON text stands for."""
    try:
        return json.loads(text, parse_int=_whole)
    except (RecursionError, MemoryError) as error:
        raise ValueError("it is too deeply nested or too large") from error


def read_json(path: Path, largest: int = MAX_FILE_BYTES) -> Any:
    """The value in a JSON file."""
    return parse_json(read_bytes(path, largest))


def read_arrays(path: Path, keys: list[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an npz file with these names, or all; KeyError, too, where one is not there."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = keys if keys is not None else [name.removesuffix(".npy") for name in archive.namelist()]
            return {name: _array(archive, f"{name}.npy") for name in names}
    except (OSError, KeyError):
        raise
    except Exception as error:  # zipfile, zlib, NumPy and the tokenizer of its headers raise more than a dozen kinds
        raise ValueError(f"{type(error).__name__}: {error}") from error


def is_finite_number(value: Any) -> bool:
    """Whether a value is a number, and one that a float can be."""
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:
        return False


def _some(file: IO[bytes] | gzip.GzipFile, largest: int) -> bytes:
    """All of a file whose size the system may not know."""
    data = file.read(largest + 1)
    if len(data) > largest:
        raise ValueError(f"it is larger than {largest:,} bytes")
    return data


def _whole(text: str) -> int:
    if len(text) > MAX_INTEGER_DIGITS:
        raise ValueError(f"it holds a number of more than {MAX_INTEGER_DIGITS} digits")
    return int(text)


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array, whose header must not promise more than there is."""
    about = archive.getinfo(name)
    with archive.open(about) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or size != about.file_size - file.tell() or size > MAX_ARRAY_BYTES:
            raise ValueError(f"{name} is said to hold {size:,} bytes of {dtype}")
    with archive.open(about) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
