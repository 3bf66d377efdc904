"""Command lines in the style of another Dreamer repository, translated into those of this one.

    python dreamer.py --env 'walker-walk' --algo 'Dreamer...' --exp 'default_hp' --train
    python dreamer.py --env 'walker-walk' --algo 'Dreamer...' --exp 'eval' --evaluate --restore --checkpoint_path PATH

There, --env is DOMAIN-TASK of DeepMind Control from pixels, and --exp is a name for the run. These flags are understood
only without a command; `--algo Dreamer...` is understood by every command.
"""

import re
import shlex
import sys
from pathlib import Path

from common.errors import UserError
from common.safe_io import expand_path
from common.storage.checkpoints import Checkpoints
from common.storage.logdir import CONFIG_FILE, stored_config

ALGO_PATTERN = re.compile(r"dreamer[-_ ]?(v\d[\w.-]*)", re.IGNORECASE)
CONFIG_BLOCK = "dmc_vision"
SWITCHES = ("train", "evaluate", "restore")
FLAGS = ("env", "exp", "checkpoint_path", *SWITCHES)
ALIASES = {"exp-name": "exp", "checkpoint-path": "checkpoint_path"}

Flags = dict[str, list[str]]


def translate(argv: list[str], default: str) -> list[str]:
    """Return `argv` in the words of this program. A line in the old style is printed on stderr in the new one.

    default: the version without --algo. Raises UserError if the flags do not fit together, or if there is no such run.
    """
    argv = normalize_algo(argv)
    old, others = split_legacy_flags(argv) if argv and argv[0].startswith("-") else ({}, argv)
    if not old.keys() & set(FLAGS):
        return argv
    check_legacy_flags(old)
    algo, task = single_value(old, "algo") if "algo" in old else default, dmc_task_name(old)
    command = eval_command if "evaluate" in old else train_command
    words = command(old, algo, task, others)
    version = algo if "algo" in old else f"no --algo, which means {algo}"
    print(f"These are the flags of another Dreamer repository: {version}, {task}. In this one:", file=sys.stderr)
    print(f"  python dreamer.py {shlex.join(words)}", file=sys.stderr)
    return words


def normalize_algo(argv: list[str]) -> list[str]:
    """Return `argv` with the version after --algo spelled as here: Dreamerv2 -> v2."""
    words = [part for word in argv for part in (word.split("=", 1) if word.startswith("--algo=") else [word])]
    version = lambda word: match[1].lower() if (match := ALGO_PATTERN.fullmatch(word)) else word
    previous = ["", *words[:-1]]
    return [version(word) if before == "--algo" else word for before, word in zip(previous, words, strict=True)]


def split_legacy_flags(argv: list[str]) -> tuple[Flags, list[str]]:
    """Return the values of the old flags and of --algo, and all other words."""
    old: Flags = {}
    others: list[str] = []
    values = others
    for word in argv:
        name, _, value = word[2:].partition("=")
        name = ALIASES.get(name, name)
        if not word.startswith("--") or name not in (*FLAGS, "algo"):
            values = others if word.startswith("--") else values
            values.append(word)
        else:
            values = old[name] = [value] if value else []
    return old, others


def check_legacy_flags(old: Flags) -> None:
    """Raise UserError for a switch with a value, and for flags that need or exclude each other."""
    for name in SWITCHES:
        if old.get(name):
            raise UserError(f"--{name} takes no value, got {' '.join(old[name])}.")
    if {"train", "evaluate"} <= old.keys():
        raise UserError("--train and --evaluate exclude each other. Use one of them.")
    if "env" not in old:
        first = next(name for name in old if name in FLAGS)
        raise UserError(
            f"--{first} needs --env, such as --env walker-walk. "
            "In this program: python dreamer.py train --task dmc_walker_walk --logdir DIR."
        )


def single_value(old: Flags, name: str) -> str:
    """Return the only value of a flag. Raises UserError if it has none or several."""
    if len(old[name]) != 1:
        raise UserError(f"--{name} takes one value, got {' '.join(old[name]) or 'none'}.")
    return old[name][0]


def dmc_task_name(old: Flags) -> str:
    """'ball_in_cup-catch' -> 'dmc_ball_in_cup_catch'."""
    name = single_value(old, "env")
    if not re.fullmatch(r"[a-z_]+-[a-z0-9_]+", name):
        raise UserError(
            f"--env takes DOMAIN-TASK of DeepMind Control, such as walker-walk, got {name!r}. "
            "For any other task use --task NAME, see python dreamer.py train --help."
        )
    return f"dmc_{name.replace('-', '_')}"


def train_command(old: Flags, algo: str, task: str, others: list[str]) -> list[str]:
    """Return a command that trains from pixels, in the run of --checkpoint_path or in a logdir named by --exp."""
    words = ["train", "--algo", algo, "--configs", CONFIG_BLOCK, "--task", task]
    if "checkpoint_path" in old:
        words += ["--logdir", str(find_run(old, algo, task))]
    elif "exp" in old:
        words += ["--logdir", f"logs/{task}/{algo}/{single_value(old, 'exp')}"]
    return words + others


def eval_command(old: Flags, algo: str, task: str, others: list[str]) -> list[str]:
    """Return a command that evaluates the run of --checkpoint_path."""
    if "checkpoint_path" not in old:
        raise UserError("--evaluate needs --checkpoint_path PATH, the logdir of a run or a checkpoint in it.")
    return ["eval", "--logdir", str(find_run(old, algo, task)), *others]


def find_run(old: Flags, algo: str, task: str) -> Path:
    """Return the logdir of the run of --checkpoint_path.

    Raises UserError if there is no such run, if its task or version differs from the command line, or if the checkpoint
    is not the newest one, which is the one that would be loaded.
    """
    path = expand_path(single_value(old, "checkpoint_path"))
    folder = next((parent for parent in (path, *path.parents[:2]) if (parent / CONFIG_FILE).is_file()), None)
    if folder is None or not path.exists():
        raise UserError(f"{path} is neither the logdir of a run nor a checkpoint in one. Check --checkpoint_path.")
    stored = stored_config(folder)
    asked = {"task": task} | ({"algo": algo} if "algo" in old else {})
    for name, value in asked.items():
        if stored.get(name) != value:
            raise UserError(f"The run in {folder} has {name} {stored.get(name)}, the command line has {value}.")
    newest = next(iter(Checkpoints(folder / "checkpoints").paths()), path)
    if path.suffix == newest.suffix and path.name != newest.name:
        raise UserError(f"{path} is not the newest checkpoint. Use {newest}, or the folder {folder}.")
    return folder
