"""Help screens of the program and of each command, laid out by argparse."""

import argparse
import functools
import importlib.metadata
import platform
import textwrap
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from common.commands import COMMANDS, GROUPS, command_module, command_options
from common.config.arguments import Option, add_options

WIDTH = 100  # columns


class RunHelp(NamedTuple):
    """Contents of the help of every command about runs.

    flags: the flags for runs. flag_aliases: alias -> its config key. names: title -> known names.
    """

    flags: dict[str, Option]
    flag_aliases: Mapping[str, str]
    names: dict[str, list[str]]


def version_text() -> str:
    """Return the version of this program, of Python and of torch."""
    project = Path(__file__).parents[2] / "pyproject.toml"
    if project.is_file():
        version = tomllib.loads(project.read_text())["project"]["version"]
    else:  # installed as a package
        version = importlib.metadata.version("dreamer-hub")
    torch = importlib.metadata.version("torch")
    return f"dreamer-hub {version}, Python {platform.python_version()}, torch {torch}"


def program_help(program: str, description: str, closing: list[str]) -> str:
    """Return the screen of the program: its commands by group, a line for each."""
    parser = _parser(f"{program} [COMMAND] [--FLAG VALUE ...]", description)
    for group, commands in GROUPS.items():
        actions = parser.add_argument_group(group)
        for name, command in commands.items():
            actions.add_argument(name, help=command.summary, nargs="?")
    parser.epilog = "\n".join(closing)
    return _text(parser).replace("\n\n  ", "\n  ")


def command_help(program: str, name: str, runs: RunHelp) -> str:
    """Return the screen of a command: what it does, its flags with their defaults, examples."""
    command, options = COMMANDS[name], command_options(name)
    words = [program, name, command.words, "[--FLAG VALUE ...]" if options or command.run_flags else ""]
    parser = _parser(" ".join(filter(None, words)), f"{command.summary}.")
    add_options(parser, options, f"flags of {name}")
    if command.run_flags:
        own_help = getattr(command_module(name), "RUN_FLAG_HELP", {})
        flags = {key: own_help.get(key, runs.flags[key]) for key in command.run_flags if key not in options}
        add_options(parser, flags, f"flags of {command.target}")
        keys = parser.add_argument_group("config keys")  # no defaults: they depend on version, blocks and task
        for alias, key in runs.flag_aliases.items():
            if alias not in options:
                keys.add_argument(f"--{alias}", metavar="VALUE", help=key)
        keys.add_argument("--KEY", metavar="VALUE", help=f"any other key; `{program} config` prints all of them")
        if command.version_flags:
            text = "a key for one version alone, such as --v3.schedule.ratio 32, or its --configs"
            keys.add_argument("--VERSION.KEY", metavar="VALUE", help=text)
    other = parser.add_argument_group("other flags")
    other.add_argument("--debug", action="store_true", help="show the traceback of an error")
    other.add_argument("-h", "--help", action="store_true", help="show this screen")
    if "configs" in command.run_flags:
        fill = functools.partial(textwrap.fill, width=WIDTH - 2, subsequent_indent="  ")
        parser.add_argument_group(
            "names", "\n".join(fill(f"{key}: {', '.join(all)}") for key, all in runs.names.items())
        )
    examples = [f"  {program} {example}" for example in getattr(command_module(name), "EXAMPLES", ())]
    parser.epilog = "\n".join(["examples:", *examples])
    return _text(parser)


def _parser(usage: str, description: str) -> argparse.ArgumentParser:
    layout = functools.partial(argparse.RawDescriptionHelpFormatter, max_help_position=32, width=WIDTH)
    return argparse.ArgumentParser(usage=usage, description=description, formatter_class=layout, add_help=False)


def _text(parser: argparse.ArgumentParser) -> str:
    return "\n".join(line.rstrip() for line in parser.format_help().splitlines())
