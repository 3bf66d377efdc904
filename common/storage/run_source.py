"""The words that name an agent: a run directory, a published folder or .zip file, hf://USER/NAME, pretrained:NAME."""

import atexit
import functools
import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from common.errors import UserError
from common.safe_io import MIB, expand_path
from common.storage import hub
from common.storage.publication import MAX_BYTES, REQUIRED

PRETRAINED = "pretrained:"
PRETRAINED_FOLDER = Path(__file__).resolve().parents[2] / "pretrained"
MAX_ZIP_FACTOR = 20  # of the size of an archive to that of its files
ALWAYS_UNPACKED = 32 * MIB  # bytes that any archive may unpack to
MAX_ZIP_ENTRIES = 1000


def find_run(word: str | Path) -> Path:
    """Return the folder that a word names; archives are unpacked, and agents on the hub downloaded.

    A folder need not exist. Raises UserError if the agent cannot be found, downloaded or unpacked.
    """
    text = str(word)
    if text.startswith(hub.SCHEME):
        return _downloaded(text)
    if text.startswith(PRETRAINED):
        return pretrained(text)
    path = expand_path(word)
    if path.suffix == ".zip" and path.is_file():
        about = path.stat()
        return _unpacked(path.absolute(), about.st_mtime_ns, about.st_size)
    return path


def pretrained_names() -> dict[str, Path]:
    """Return the agents that come with the program: pretrained:VERSION-TASK -> folder."""
    folders = sorted(path.parent for path in PRETRAINED_FOLDER.glob("*/*/config.yaml"))
    return {f"{PRETRAINED}{folder.parent.name}-{folder.name}": folder for folder in folders}


def pretrained(name: str) -> Path:
    """Return the folder of pretrained:NAME. Raises UserError with all names if there is no such agent."""
    known = pretrained_names()
    if name not in known:
        raise UserError(f"There is no agent {name!r}. Those that come with this program: {', '.join(known) or 'none'}.")
    return known[name]


@functools.cache
def _scratch() -> Path:
    """Return a folder that is removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="dreamer-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def _downloaded(address: str) -> Path:
    """Return a folder with the files of an agent on the hub, whose path ends in USER/NAME."""
    folder = hub.download(address)
    place = Path(tempfile.mkdtemp(dir=_scratch())) / hub.repository(address).name
    place.parent.mkdir()
    place.symlink_to(folder, target_is_directory=True)
    return place


@functools.cache
def _unpacked(archive: Path, changed: int, size: int) -> Path:
    """Return a folder with the files of an archive, which has them at its top or in one folder.

    Raises UserError if the archive is damaged, misses a file, leads out of its folder or would become too large.
    """
    folder = Path(tempfile.mkdtemp(dir=_scratch())) / archive.stem
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as file:
            for name, entry in _entries(file, max(ALWAYS_UNPACKED, MAX_ZIP_FACTOR * size)).items():
                with file.open(entry) as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
    except (OSError, ValueError, RuntimeError, NotImplementedError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{archive} is not a published agent: {error}. Download or copy it again.") from error
    except Exception as error:  # of zlib, lzma and bz2
        raise UserError(
            f"{archive} is damaged ({type(error).__name__}: {error}). Download or copy it again."
        ) from error
    return folder


def _entries(file: zipfile.ZipFile, most: int) -> dict[str, zipfile.ZipInfo]:
    """Return the entries to unpack by the name of their file. Raises ValueError for an archive that is not safe."""
    entries = [entry for entry in file.infolist() if not entry.is_dir()]
    if len(entries) > MAX_ZIP_ENTRIES:
        raise ValueError(f"it has {len(entries):,} files")
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise ValueError(f"its file {entry.filename!r} leads out of the folder")
    paths = {PurePosixPath(entry.filename): entry for entry in entries}
    configs = sorted((path for path in paths if path.name == "config.yaml"), key=lambda path: len(path.parts))
    inside = {path.name: entry for path, entry in paths.items() if configs and path.parent == configs[0].parent}
    wanted = {name: inside[name] for name in MAX_BYTES if name in inside}
    if missing := [name for name in REQUIRED if name not in wanted]:
        raise ValueError(f"it has no {', '.join(missing)}")
    if large := [name for name, entry in wanted.items() if entry.file_size > MAX_BYTES[name]]:
        raise ValueError(f"its {large[0]} has {wanted[large[0]].file_size:,} bytes")
    if (total := sum(entry.file_size for entry in wanted.values())) > most:
        raise ValueError(f"its files would take {total:,} bytes, more than {most:,}")
    return wanted
