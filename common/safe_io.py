"""Size-limited readers of files that others may have written or damaged: paths, text, JSON, arrays.

Every reader raises OSError if the file cannot be read, and ValueError if its content is malformed or too large.
"""

import gzip
import io
import json
import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from common.errors import UserError

MIB = 2**20
MAX_FILE_BYTES = 256 * MIB  # of a file as read, and of what it decompresses to
MAX_INTEGER_DIGITS = 300  # a longer integer does not fit into a float
MAX_ARRAY_BYTES = 2**32


def expand_path(word: str | Path) -> Path:
    """Return the path that a user typed, with `~` expanded. Raises UserError if it cannot be a path."""
    try:
        if "\0" in str(word):
            raise RuntimeError("it contains a NUL character")
        return Path(word).expanduser()
    except RuntimeError as error:
        raise UserError(f"The path {str(word)!r} cannot be used: {error}. A folder called ~name is ./~name.") from error


def read_bytes(path: Path, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Return the content of a file."""
    with path.open("rb") as file:
        return _read(file, max_bytes)


def decompress_gzip(data: bytes, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Return `data`, decompressed if it has gzip's format."""
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            return _read(file, max_bytes)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"its compression is damaged: {error}") from error


def _read(file: IO[bytes] | gzip.GzipFile, max_bytes: int) -> bytes:
    data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"it has more than {max_bytes:,} bytes")
    return data


def parse_json(text: str | bytes) -> Any:
    """Return the value of JSON text."""
    try:
        return json.loads(text, parse_int=_parse_integer)
    except (RecursionError, MemoryError) as error:
        raise ValueError("it is too deeply nested or too large") from error


def _parse_integer(text: str) -> int:
    if len(text) > MAX_INTEGER_DIGITS:
        raise ValueError(f"it has a number of more than {MAX_INTEGER_DIGITS} digits")
    return int(text)


def read_json(path: Path, max_bytes: int = MAX_FILE_BYTES) -> Any:
    """Return the value in a JSON file."""
    return parse_json(read_bytes(path, max_bytes))


def read_arrays(path: Path, keys: list[str] | None = None) -> dict[str, np.ndarray]:
    """Return the arrays of an npz file: those named in `keys`, or all. Raises KeyError if one is missing."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = keys if keys is not None else [name.removesuffix(".npy") for name in archive.namelist()]
            return {name: _read_array(archive, f"{name}.npy") for name in names}
    except (OSError, KeyError):
        raise
    except Exception as error:  # zipfile, zlib, NumPy and the tokenizer of its headers raise over a dozen types
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Return one array. Its header must not announce more data than the archive has."""
    info = archive.getinfo(name)
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or size != info.file_size - file.tell() or size > MAX_ARRAY_BYTES:
            raise ValueError(f"{name} announces {size:,} bytes of {dtype}")
    with archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def is_finite_number(value: Any) -> bool:
    """Whether `value` is a number that a finite float can hold."""
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:
        return False
