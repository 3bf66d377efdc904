"""`dataset.json`: describes a folder of episode files that `convert` wrote, next to files that hold arrays alone."""

import json
from pathlib import Path
from typing import Any

from common.datasets.dataset import About
from common.errors import UserError
from common.files import write_text
from common.safe_io import read_json
from common.storage import spaces

DESCRIPTION_FILE = "dataset.json"
FORMAT_VERSION = 1
ABOUT_KEY = "dreamer"  # of spaces and task in the metadata of other formats


def about_json(about: About) -> dict[str, Any]:
    """Return spaces and task as JSON values."""
    return {"task": about.task, "render": about.render, "spaces": spaces.to_json(about.spaces)}


def about_from_json(stored: Any) -> About:
    """Undo `about_json`. Raises ValueError, LookupError, TypeError or AttributeError if `stored` is malformed."""
    return About(spaces.from_json(stored["spaces"]), str(stored["task"]), str(stored["render"]))


def read_about(metadata: dict[str, Any], place: str) -> About | None:
    """Return what a writer of this program stored in the metadata of another format; None if another one wrote it.

    Raises UserError if it is malformed.
    """
    if ABOUT_KEY not in metadata:
        return None
    try:
        return about_from_json(metadata[ABOUT_KEY])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"The entry {ABOUT_KEY!r} in the metadata of {place} is damaged ({error!r}).") from error


def write(folder: Path, kind: str, about: About, **counts: int) -> None:
    """Write the description of a folder whose files are of the format `kind`."""
    content = {"format": kind, "version": FORMAT_VERSION, **about_json(about), **counts}
    write_text(folder / DESCRIPTION_FILE, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read(folder: Path) -> tuple[str, About, dict[str, Any]] | None:
    """Return the format of a folder, its spaces and task, and the whole description; None if it has none.

    Raises UserError if the description is damaged.
    """
    path = folder / DESCRIPTION_FILE
    if not path.is_file():
        return None
    try:
        content = read_json(path)
        if content["version"] != FORMAT_VERSION:
            raise ValueError(f"version {content['version']!r}")
        return str(content["format"]), about_from_json(content), content
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error!r}). Restore it, or convert the data again.") from error
