"""Files that are either whole or absent, whatever happens while they are written."""

import contextlib
import io
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from common.errors import UserError

#: Folders inside a logdir that a run, an evaluation or a report writes files to.
RUN_SUBFOLDERS = ("checkpoints", "replay", "nonfinite", "videos", "report_figures")


class _Noted(io.FileIO):
    """A file that keeps the error that ended its writing: what writes through it may raise something else."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.error = self.error or error
            raise


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Opens a temporary file that takes the place of `path` once it is complete and on disk.

    Raises UserError where the folder cannot be written or the disk is full; `path` is then as it was before.
    """
    temp, raw = None, None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        temp, raw = Path(name), _Noted(descriptor, "w+b")
        with io.BufferedRandom(raw) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temp.chmod(0o666 & ~_umask())
        temp.replace(path)
        sync_folder(path.parent)
    except Exception as failure:
        error = failure if isinstance(failure, OSError) else raw.error if raw else None
        if error is None:
            raise
        raise UserError(f"Cannot write {path}: {error.strerror or error}. Free the disk or fix permissions.") from error
    finally:
        if temp is not None:
            temp.unlink(missing_ok=True)


def make_output_folder(folder: Path) -> None:
    """Makes the folder that --out writes to. Raises UserError where there cannot be one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write to {folder}: {error.strerror}. Choose another --out.") from error


def write_text(path: Path, text: str) -> None:
    """Replaces the content of `path` by `text`, all or nothing."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Replaces the content of `path` by `data`, all or nothing."""
    with atomic_write(path) as file:
        file.write(data)


def slug(name: str) -> str:
    """`name` as that of a folder: only letters, digits, `_`, `.` and `-`, and no dot in front."""
    return re.sub(r"[^A-Za-z0-9_.-]+|^\.", "_", name)


def remove_temporary_files(*folders: Path) -> None:
    """Removes what a killed process left half written in folders and their `INNER` ones.

    Only for folders that no other process writes to.
    """
    for place in [place for folder in folders for place in (folder, *(folder / name for name in RUN_SUBFOLDERS))]:
        for path in place.glob(".*.tmp"):
            path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes renames inside `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
