"""The table of foreign formats. A format is a module with three functions, see `Format`."""

import importlib
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from common.agent.agent import Agent
from common.config.config import unknown_name
from common.errors import UserError
from common.foreign.slots import Slots
from common.foreign.source import Description, Source


class Format(Protocol):
    """The module of a format."""

    @staticmethod
    def read(path: Path) -> Source:
        """Read a file or folder. Raises UserError if it is not of this format. Executes nothing from it."""

    @staticmethod
    def describe(source: Source) -> Description:
        """Infer version, sizes and spaces from shapes and settings.

        Raises UserError, which names the difference, for networks that our parts cannot represent.
        """

    @staticmethod
    def slots(agent: Agent, source: Source, keys: dict[str, str]) -> Slots:
        """Return the places of all arrays of the file in an agent that was built from the description.

        keys: the foreign name of each observation -> its name in the agent.
        """


class Entry(NamedTuple):
    """Module of a format in this package, and what PATH is."""

    module: str
    path: str


#: Name on the command line -> its module. One line per format.
FORMATS = {
    "danijar-v1": Entry("danijar_v1", "variables.pkl or the logdir with it"),
    "danijar-v2": Entry("danijar_v2", "variables.pkl or the logdir with it"),
    "danijar-v3": Entry("danijar_v3", "a logdir, its folder ckpt, or checkpoint.ckpt of 2023"),
    "dreamerv3-torch": Entry("dreamerv3_torch", "latest.pt or the logdir with it"),
    "esteveste": Entry("esteveste", "variables.pt or the logdir with it"),
    "pydreamer": Entry("pydreamer", "latest.pt or the folder with it"),
    "r2dreamer": Entry("r2dreamer", "latest.pt or the logdir with it"),
    "sheeprl-v1": Entry("sheeprl_v1", "a file .ckpt or the folder of the run"),
    "sheeprl-v2": Entry("sheeprl_v2", "a file .ckpt or the folder of the run"),
    "sheeprl-v3": Entry("sheeprl_v3", "a file .ckpt or the folder of the run"),
}


def format_module(name: str) -> Format:
    """Return the module of a format. Raises UserError for an unknown name."""
    if name not in FORMATS:
        raise UserError(unknown_name("format", name, FORMATS))
    return cast(Format, importlib.import_module(f"{__package__}.{FORMATS[name].module}"))
