"""The places that `push` writes to: a folder, a .zip file or a repository on the hub, each completely or not at all."""

import os
import secrets
import shutil
import zipfile
from pathlib import Path

from common.errors import UserError
from common.files import atomic_write, make_output_folder
from common.safe_io import expand_path
from common.storage import hub
from common.storage.publication import MAX_BYTES, is_published

ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # of every file, so that equal agents make equal archives


def check_destination(dest: str, overwrite: bool) -> None:
    """Raise UserError for a destination that cannot be written, before anything is made."""
    if dest.startswith(hub.SCHEME):
        hub.repository(dest)
        hub.require_package()
        return
    path = expand_path(dest)
    if path.suffix == ".zip":
        if path.exists() and not (path.is_file() and overwrite):
            raise UserError(f"{path} exists. Add --overwrite to replace it, or choose another name.")
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        other = [one.name for one in path.iterdir() if one.name not in MAX_BYTES] if path.is_dir() else [path.name]
        if other or not is_published(path):
            raise UserError(f"{path} exists and is not a published agent. Choose a new folder.")
        if not overwrite:
            raise UserError(f"{path} exists. Add --overwrite to replace it, or choose another folder.")
    make_output_folder(path.absolute().parent, "destination")


def publish(folder: Path, dest: str, overwrite: bool = False, private: bool = False) -> str:
    """Put the files of `folder` at a destination and return where they are. Raises UserError if that is impossible."""
    if dest.startswith(hub.SCHEME):
        return hub.upload(folder, dest, overwrite, private)
    path = expand_path(dest).absolute()
    check_destination(dest, overwrite)
    if path.suffix == ".zip":
        write_zip(folder, path)
    else:
        replace_folder(folder, path)
    return str(path)


def write_zip(folder: Path, path: Path) -> None:
    """Write an archive of the files in one folder, which has the name of the archive."""
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(f"{path.stem}/{one.name}", ZIP_TIME)
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, one.read_bytes())


def replace_folder(folder: Path, path: Path) -> None:
    """Copy a folder to a new name next to `path`, then give it that name; an old folder there is removed at the end."""
    made, old = (path.parent / f".{path.name}.{secrets.token_hex(4)}.{end}" for end in ("tmp", "old"))
    try:
        shutil.copytree(folder, made, copy_function=shutil.copyfile)
        if path.exists():
            path.rename(old)
        os.replace(made, path)
    except OSError as error:
        if old.exists() and not path.exists():
            old.rename(path)
        raise UserError(f"Cannot write {path}: {error.strerror or error}. Choose another folder.") from error
    finally:
        for rest in (made, old):
            shutil.rmtree(rest, ignore_errors=True)
