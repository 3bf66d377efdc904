"""First words of a command line other than commands of this program: taken where they have one meaning.

`evaluate --logdir logs/pole`, `eval logs/pole`, `v3 gym_CartPole-v1` and `help train` are read as the command that they
mean, which is printed on stderr. Other words end with a message that says what to type.
"""

import re
import shlex
import sys
from collections.abc import Collection, Sequence
from typing import NamedTuple

from common.commands import COMMANDS, command_module
from common.config.config import unknown_name
from common.errors import UserError
from common.safe_io import expand_path
from common.storage.logdir import CONFIG_FILE

#: Other name of a command -> the command.
ALIASES = {
    "evaluate": "eval",
    "evaluation": "eval",
    "benchmark": "bench",
    "ablation": "ablate",
    "ablations": "ablate",
    "training": "train",
}
#: First word -> what to type in place of it.
ADVICE = {
    "tensorboard": "TensorBoard is a program of its own. Type: tensorboard --logdir logs",
    "test": "Type `python dreamer.py eval --logdir DIR` to test an agent, or `make test` to test this program.",
    "video": "Type `python dreamer.py eval --logdir DIR --video 1` to film an episode of an agent.",
    "run": "Type `python dreamer.py train` to train, or `python dreamer.py eval` to evaluate an agent.",
    "install": "Type `make install` in the folder of this program.",
}
#: Command about runs -> flag of a word after it, which has no other meaning.
RUN_READERS = {"eval": "--logdir", "export": "--logdir", "dream": "--logdirs", "wm-eval": "--replay"}
SEVERAL_VERSIONS = ("compare", "bench", "demo", "wm-eval")  # commands with --algos, and all but the last with --tasks
SUITE_RUNNERS = ("bench", "demo")  # commands with --suite
NO_VERSION = ("eval", "export", "dream", "doctor", "reference")  # commands without --algo and --configs
ONE_VALUE = ("--algo", "--task", "--logdir", "--replay", "--suite")
HELP = ("-h", "--help")
DASHES = ("-", "–", "—")


class Names(NamedTuple):
    """Names that the first words may be: versions, config blocks, and prefixes of tasks."""

    algos: Collection[str]
    blocks: Collection[str]
    suites: Collection[str]


def translate(argv: Sequence[str], names: Names) -> list[str]:
    """Return a command line with its first words as the commands and flags that they mean.

    A change is printed on stderr. Raises UserError for a word with no meaning here, or with several.
    """
    words = list(argv)
    if words[:1] == ["help"]:
        return [*words[1:2], "--help"]
    if not words or words[0].startswith(DASHES) or words == ["version"]:
        return words
    command = command_named(words[0])
    given, rest = [], words[command is not None :]
    while rest and not rest[0].startswith(DASHES) and (command is None or not COMMANDS[command].words):
        given.append(rest.pop(0))
    if command and given == ["help"]:
        return [command, "--help"]
    if command == "bench" and given == ["list"]:
        return [command, "--list", *rest]
    if command is None and set(rest) & set(HELP):
        raise UserError(unknown_command(words[0]))
    flags = [flag_of(command, word, names, rest) for word in given]
    check_single_values(command or "train", flags)
    meant = [command or "train", *(part for flag in flags for part in flag), *rest]
    if flags:
        print(f"Read as: python dreamer.py {shlex.join(meant)}", file=sys.stderr)
    return meant


def check_single_values(command: str, flags: list[tuple[str, str]]) -> None:
    """Raise UserError if a flag with one value is meant twice."""
    for flag in ONE_VALUE:
        values = [value for name, value in flags if name == flag]
        if len(values) > 1:
            raise UserError(f"{command} takes one value for {flag}, got {' '.join(values)}.")


def command_named(word: str) -> str | None:
    """Return the command with this name or alias, also with underscores or capitals, or None."""
    name = word.lower().replace("_", "-")
    name = ALIASES.get(name, name)
    return name if name in COMMANDS else None


def flag_of(command: str | None, word: str, names: Names, rest: Sequence[str]) -> tuple[str, str]:
    """Return the flag that a word without one means, and its value.

    command: None if there is none before the word. rest: the flags that follow. Raises UserError if it has no meaning.
    """
    several = "s" * (command in SEVERAL_VERSIONS)
    if word in names.algos and command not in NO_VERSION:
        return f"--algo{several}", word
    if command in RUN_READERS and RUN_READERS[command].removesuffix("s") not in rest:
        return RUN_READERS[command], word
    if command in SUITE_RUNNERS and word in command_module("bench").read_suites():  # imported late: it is slow
        return "--suite", word
    if command == "reference" or (is_task(word, names) and command not in NO_VERSION):
        return f"--task{several}", word
    raise UserError(misplaced_word(command, word, names))


def is_task(word: str, names: Names) -> bool:
    """Return whether a word is the name of a task, rather than of anything else."""
    suite, rest = word.partition("_")[::2]
    return bool(suite in names.suites and (rest or suite == "dummy")) or bool(re.fullmatch(r"[\w./-]+:\w+", word))


def misplaced_word(command: str | None, word: str, names: Names) -> str:
    """Return a message about a word before the flags: what to type in place of it."""
    key, equals, value = word.partition("=")
    if key and equals:
        return f"{word!r} is not a flag. Type --{key} {value}."
    if word in names.blocks and command not in NO_VERSION:
        return f"{word!r} is a config block. Type --configs {word}."
    if command is None and word.lower() in ADVICE:
        return f"{word!r} is not a command of this program. {ADVICE[word.lower()]}"
    if (expand_path(word) / CONFIG_FILE).is_file():
        evaluate = f"Type `python dreamer.py eval --logdir {word}` to evaluate it."
        return f"{word!r} is a run directory. {evaluate} To resume it, rerun its command with --logdir {word}."
    if command is None:
        return unknown_command(word)
    if command in SUITE_RUNNERS:
        return unknown_name("suite", word, command_module("bench").read_suites())
    return f"{command} takes only flags, got {word!r}. `python dreamer.py {command} --help` lists them."


def unknown_command(word: str) -> str:
    """Return a message about an unknown command, with the nearest one."""
    return f"{unknown_name('command', word, COMMANDS)} `python dreamer.py --help` describes all commands."
