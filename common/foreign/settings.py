"""Settings files of foreign runs, and checks of what our parts can represent."""

from pathlib import Path
from typing import Any

from common.config.config import read
from common.errors import UserError

Settings = dict[str, Any]


def read_settings(folder: Path, name: str = "config.yaml", levels: int = 2) -> Settings:
    """Return the nested settings in a YAML file in `folder` or up to `levels` folders above; {} if there is none.

    Raises UserError if the file is damaged.
    """
    for place in [folder, *folder.absolute().parents][: levels + 1]:
        if (place / name).is_file():
            content = read(place / name)
            return content if isinstance(content, dict) else {}
    return {}


def require(settings: Settings, where: str = "", /, **expected: Any) -> None:
    """Raise UserError, which names the setting, unless settings have these values. An absent setting is accepted.

    where: name of the block that holds the settings, for the message.
    """
    for key, value in expected.items():
        found = settings.get(key, value)
        if found != value:
            name = f"{where}.{key}" if where else key
            raise UserError(
                f"The setting {name} of the foreign run is {found!r}. The parts here need {value!r}, so its networks "
                "cannot be imported."
            )


def renamed(settings: Settings, names: dict[str, str]) -> Settings:
    """Return our flags for those settings that exist. names: foreign setting -> our key."""
    return {ours: settings[theirs] for theirs, ours in names.items() if theirs in settings}


def repeat_flag(settings: Settings) -> Settings:
    """Return our action repeat for the flat settings of a V3 run, if they name one for the suite of its task."""
    suite = str(settings.get("task", "")).partition("_")[0]
    return renamed(settings, {f"env.{suite}.repeat": "env.repeat"})
