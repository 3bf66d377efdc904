"""Files that are written completely or not at all."""

import contextlib
import io
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from common.errors import UserError

#: Folders inside a run directory that a run, an evaluation or a report writes files to.
RUN_SUBFOLDERS = ("checkpoints", "replay", "nonfinite", "videos", "report_figures")


class _ErrorKeepingFile(io.FileIO):
    """A file that keeps its first write error, which torch.save and np.savez replace by another one."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.error = self.error or error
            raise


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` once it is complete and on disk.

    Raises UserError if the folder is not writable or the disk is full; `path` then stays as it was.
    """
    temp, raw = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp", None
    try:
        raw = _ErrorKeepingFile(temp, "x+b")
        with io.BufferedRandom(raw) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temp.replace(path)
        _sync_folder(path.parent)
    except Exception as failure:
        error = failure if isinstance(failure, OSError) else raw.error if raw else None
        if error is None:
            raise
        raise UserError(f"Cannot write {path}: {error.strerror or error}. Free the disk or fix permissions.") from error
    finally:
        if raw is not None:
            temp.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace the content of `path` atomically."""
    with atomic_write(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Replace the content of `path` atomically."""
    write_bytes(path, text.encode())


def make_output_folder(folder: Path, flag: str = "--out") -> None:
    """Create the folder that `flag` names, with its parents. Raises UserError if that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write to {folder}: {error.strerror}. Choose another {flag}.") from error


def slug(name: str) -> str:
    """Return `name` as a folder name: only letters, digits, `_`, `.` and `-`, without a leading dot."""
    return re.sub(r"[^A-Za-z0-9_.-]+|^\.", "_", name)


def remove_temporary_files(*folders: Path) -> None:
    """Delete what a killed process left half written in `folders` and their `RUN_SUBFOLDERS`.

    No other process may be writing there.
    """
    for folder in folders:
        for place in (folder, *(folder / name for name in RUN_SUBFOLDERS)):
            for path in place.glob(".*.tmp"):
                path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
