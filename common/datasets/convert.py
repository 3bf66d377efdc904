"""Conversion of stored episodes from one format to another; the destination appears only when it is complete."""

import contextlib
import secrets
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from common.datasets import minari_store
from common.datasets.dataset import Dataset
from common.datasets.formats import new_writer
from common.errors import UserError
from common.safe_io import expand_path
from common.signals import STOP_SIGNALS


class Converted(NamedTuple):
    """The folder that was written, and sentences about what was assumed, left out or lost."""

    folder: Path
    episodes: int
    records: int
    notes: list[str]


def destination(place: str, kind: str) -> tuple[Path, str]:
    """Return the folder to write and, for a Minari dataset, its id. Raises UserError if the folder exists."""
    if place.startswith(minari_store.PREFIX):
        name = place.removeprefix(minari_store.PREFIX)
        if kind != "minari":
            raise UserError(f"{place} is a Minari dataset: give --to minari, or a folder for --to {kind}.")
        folder = minari_store.named_folder(name)
    else:
        folder = expand_path(place)
        name = minari_store.dataset_name(folder)
    if folder.exists() or folder.is_symlink():
        raise UserError(f"{folder} exists. Give another destination, or delete it first.")
    return folder, name


def convert(source: Dataset, place: str, kind: str, *, fps: int, video: bool) -> Converted:
    """Write the episodes of `source` in another format. Raises UserError; the destination then does not exist."""
    folder, name = destination(place, kind)
    episodes = records = 0
    with complete_folder(folder) as temporary:
        writer = new_writer(kind, temporary, source, name=name, fps=fps, video=video)
        for episode in source.episodes():
            writer.add(episode)
            episodes, records = episodes + 1, records + len(episode["reward"])
        writer.close()
        if not episodes:
            raise UserError(f"{source.place} has no episodes. Nothing was written.")
    return Converted(folder, episodes, records, [*source.notes(), *writer.lost])


@contextlib.contextmanager
def complete_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `folder` after the block; an error or a signal removes it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.tmp"
        temporary.mkdir()
    except OSError as error:
        raise UserError(f"Cannot write to {folder.parent}: {error.strerror}. Choose another destination.") from error
    try:
        with signals_interrupt():
            yield temporary
            temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextlib.contextmanager
def signals_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt in the block at each signal that asks for an end."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
