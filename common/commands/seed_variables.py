"""Variables `env_name=...` and `override_config='{...}'` of another Dreamer program, taken as flags of `train`.

They are read as words of the command line, and from the environment if the command trains and has no --task. Tasks with
dashes, such as dmc-Acrobot-swingup, are spelled as here.
"""

import itertools
import re
import shlex
import sys
from collections.abc import Mapping

from ruamel.yaml import YAML, YAMLError

from common.config.config import flatten
from common.errors import UserError

VARIABLES = ("env_name", "override_config")
SUITES = ("dmc", "atari", "atari100k", "crafter", "minigrid", "bsuite", "metaworld", "memorymaze")
LOWER_CASE_SUITES = ("dmc", "atari", "atari100k")


def translate(argv: list[str], environ: Mapping[str, str]) -> list[str]:
    """Return `argv` with the variables as flags and tasks spelled as here. A change is printed on stderr.

    Raises UserError if override_config is not a dict of settings.
    """
    pattern = re.compile(rf"({'|'.join(VARIABLES)})=(.*)", re.DOTALL)
    matches = [pattern.fullmatch(word) for word in argv]
    given = {match[1]: match[2] for match in matches if match}
    words = [word for word, match in zip(argv, matches, strict=True) if not match]
    trains = not words or words[0].startswith("-") or words[0] == "train"
    if trains and not any(word.partition("=")[0] == "--task" for word in words) and not set(words) & {"-h", "--help"}:
        given = {name: environ[name] for name in VARIABLES if name in environ} | given
    words = spell_tasks(words + variable_flags(given))
    if given:
        verb = "belongs" if len(given) == 1 else "belong"
        print(f"{' and '.join(given)} {verb} to another Dreamer program. In this one:", file=sys.stderr)
        print(f"  python dreamer.py {shlex.join(words)}", file=sys.stderr)
    return words


def variable_flags(given: Mapping[str, str]) -> list[str]:
    """Return the flags that the variables mean."""
    words = ["--task", given["env_name"]] if "env_name" in given else []
    for key, value in read_settings(given.get("override_config", "{}")).items():
        words += [f"--{key}", str(value)]
    return words


def read_settings(text: str) -> dict:
    """'{"run": {"envs": 2}, "seed": 1}' -> {"run.envs": 2, "seed": 1}. Raises UserError for any other text."""
    try:
        found = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError) as error:
        raise UserError(f"override_config is not a dict of settings: {text!r}. Type --key VALUE.") from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found) or None in found.values():
        raise UserError(f"override_config is not a dict of settings: {text!r}. Type --key VALUE.")
    return flatten(found)


def spell_tasks(words: list[str]) -> list[str]:
    """Return `words` with the value of --task, or of --env, spelled as here. A change is printed on stderr."""
    words = [part for word in words for part in (word.split("=", 1) if word.startswith("--task=") else [word])]
    for place, (flag, word) in enumerate(itertools.pairwise(words), start=1):
        if flag in ("--task", "--env") and (task := task_name(word)) != word:
            print(f"The task {word} is {task} here.", file=sys.stderr)
            words[place], words[place - 1] = task, "--task"
    return words


def task_name(name: str) -> str:
    """'dmc-Acrobot-swingup' -> 'dmc_acrobot_swingup'. Any other name is returned as it is."""
    suite, dash, rest = name.partition("-")
    if not dash or suite not in SUITES or ":" in name:
        return name
    if suite in LOWER_CASE_SUITES:
        rest = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", rest).replace("-", "_").lower()
    return f"{suite}_{rest}"
