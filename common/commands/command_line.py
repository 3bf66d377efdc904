"""A command line: its flags, and what the function of a command takes for them."""

import functools
from typing import Any

from common.commands import COMMANDS, command_options, first_words, misspelled_flags, stored_values
from common.commands.help import RunHelp, command_help, program_help, version_text
from common.config import arguments, features
from common.config import config as configs
from common.config.arguments import Option
from common.config.request import Request, algo_or_default
from common.config.versions import ALGOS, DEFAULT_ALGO, environment_blocks, resolve, version_blocks
from common.errors import UserError
from common.storage.logdir import CONFIG_FILE, stored_config
from common.storage.run_source import find_run

PROGRAM = "python dreamer.py"

#: Flags of commands about runs, besides config keys.
RUN_FLAGS = {
    "algo": Option(DEFAULT_ALGO, f"version: {', '.join(ALGOS)}", "VERSION"),
    "task": Option("dummy", "such as dmc_walker_walk, or module:Class for your own", "TASK"),
    "configs": Option([], "config blocks, see below; later ones win", "BLOCK ..."),
    "features": Option([], "features to take from other versions, such as retnorm=v2", "NAME=VERSION ..."),
    "steps": Option("", "environment frames (default: from the config block of the task)", "N"),
    "seed": Option(0, "seed of networks, replay and environments", "N"),
    "logdir": Option("", "run directory (default: logs/TASK/VERSION/SEED)", "DIR"),
}

#: Alias of a flag -> config key.
FLAG_ALIASES = {
    "envs": "run.envs",
    "episodes": "run.eval_episodes",
    "mode": "actor.eval",
    "device": "run.device",
    "threads": "run.threads",
    "precision": "run.precision",
    "compile": "run.compile",
    "logger": "run.logger",
    "enc.spaces": "encoder.keys",
    "dec.spaces": "decoder.keys",
    "env.render.quality": "env.render",
}

EVAL_EPISODES = 10  # of `eval`, unless the run has more or --episodes is given

#: Block of a suite without a default task -> three of its tasks.
SUITE_TASKS = {
    **dict.fromkeys(("dmc_vision", "dmc_proprio"), ("dmc_walker_walk", "dmc_cheetah_run", "dmc_cartpole_swingup")),
    "atari": ("atari_pong", "atari_breakout", "atari_ms_pacman"),
    "atari100k": ("atari100k_pong", "atari100k_breakout", "atari100k_ms_pacman"),
    "gym": ("gym_CartPole-v1", "gym_Pendulum-v1", "my_env:MyEnv"),
}

CLOSING_LINES = [
    f"Flags and examples of a command:  {PROGRAM} COMMAND --help",
    f"Without a command it trains:      {PROGRAM} --algo v3 --configs cpu --task gym_CartPole-v1",
    "Any config key is a flag, such as --batch_size 8. The documentation is in README.md and docs/.",
]


def parse(argv: list[str]) -> tuple:
    """Split a command line into the command and the fields of `arguments.ParsedArguments`."""
    command = argv.pop(0) if argv and not argv[0].startswith(first_words.DASHES) else "train"
    options = command_options(command)
    positionals = not COMMANDS[command].takes_config
    versions = tuple(ALGOS) if COMMANDS[command].version_flags else ()
    check = functools.partial(check_key, command)
    parsed = arguments.parse(argv, options, FLAG_ALIASES, positionals=positionals, versions=versions, check_key=check)
    misspelled_flags.check((without_version(key, versions) for key in parsed.flags), *names_of_flags(command))
    return command, *parsed


def without_version(key: str, versions: tuple[str, ...]) -> str:
    """'v3.schedule.ratio' -> 'schedule.ratio'."""
    version, dot, rest = key.partition(".")
    return rest if dot and version in versions else key


def names_of_flags(command: str) -> tuple[list[str], list[str]]:
    """Return the names of a command's flags, and those of the config keys that it takes."""
    own, run_flags = command_options(command), COMMANDS[command].run_flags
    return [*own, *run_flags, *(FLAG_ALIASES if run_flags else ())], all_keys() if run_flags else []


@functools.cache
def all_keys() -> list[str]:
    """Return the config keys of all versions."""
    return list(dict.fromkeys(key for algo in ALGOS for key in configs.flatten(resolve(algo))))


def check_key(command: str, key: str) -> None:
    """Raise UserError unless some version has the config key, or a key that matches the glob."""
    misspelled_flags.check([key], *names_of_flags(command))
    if key in RUN_FLAGS:
        return
    errors = []
    for algo in ALGOS:
        try:
            configs.matching_keys(resolve(algo), key)
            return
        except UserError as error:
            errors.append((algo != DEFAULT_ALGO, error))
    raise min(errors, key=lambda pair: pair[0])[1]


def command_input(
    command: str, words: list[str], algo: str | None, blocks: list[str], borrowed: dict[str, str], flags: dict[str, Any]
) -> Request | dict:
    """Return what the function of a command takes: a request, or a config, which for `eval` is that of the run."""
    own, flags = arguments.split_own_flags(flags, command_options(command))
    if "task" in COMMANDS[command].run_flags and command != "config":
        require_task(blocks, flags)
    if not COMMANDS[command].takes_config:
        return Request(words, algo, blocks, borrowed, flags, own, resolve, tuple(ALGOS), DEFAULT_ALGO)
    if command == "eval":
        config = config_of_run(algo, blocks, borrowed, flags)
    else:
        algo = algo_or_default(algo, tuple(ALGOS), DEFAULT_ALGO)
        config = resolve(algo, blocks, flags, borrowed)
        if command == "train" and (stored := stored_values.stored_values(config, blocks, flags)):
            config = resolve(algo, blocks, flags | stored, borrowed)
    return config | ({command: own} if own else {})


def require_task(blocks: list[str], flags: dict[str, Any]) -> None:
    """Raise UserError for the block of a suite without --task: the default task is the built-in `dummy`."""
    without = [block for block in blocks if block in SUITE_TASKS]
    if without and "task" not in flags and not any("task" in environment_blocks().get(name, {}) for name in blocks):
        *first, last = SUITE_TASKS[without[-1]]
        raise UserError(f"--configs {without[-1]} needs --task, such as {', '.join(first)} or {last}.")


def config_of_run(algo: str | None, blocks: list[str], borrowed: dict[str, str], flags: dict[str, Any]) -> dict:
    """Return the config of the run in --logdir with flags applied. Raises UserError if there is no such run."""
    if "logdir" not in flags:
        raise UserError("eval needs --logdir DIR, the directory of a training run.")
    if algo or blocks or borrowed:
        raise UserError("eval takes version and config from the run: omit --algo, --configs and --features.")
    folder = find_run(flags["logdir"])
    stored = stored_config(folder)
    if str(stored.get("algo")) not in ALGOS or set(resolve(stored["algo"])) - set(stored):
        raise UserError(f"{folder / CONFIG_FILE} is not complete. Restore it, or train again in another --logdir.")
    kept = configs.flatten(stored)
    kept["run.eval_episodes"] = max(kept["run.eval_episodes"], EVAL_EPISODES)
    return resolve(stored["algo"], flags=kept | flags | {"logdir": str(folder)})


def help_text(command: str) -> str:
    """Return the help screen of a command, or of the program if there is no command."""
    if not command:
        return program_help(PROGRAM, "Train, evaluate and compare DreamerV1, V2 and V3.", CLOSING_LINES)
    if command not in COMMANDS:
        raise UserError(first_words.unknown_command(command))
    shared = environment_blocks()
    blocks = {f"blocks of {algo}": [name for name in version_blocks(algo) if name not in shared] for algo in ALGOS}
    names = {"environment blocks": list(shared)} | blocks | {"features": list(features.FEATURES)}
    return command_help(PROGRAM, command, RunHelp(RUN_FLAGS, FLAG_ALIASES, names))


def information(words: list[str]) -> str:
    """Return the text of a command line that asks for help or for the version, else an empty string."""
    if set(words) & set(first_words.HELP):
        return help_text("" if words[0].startswith("-") else words[0])
    return version_text() if words[:1] in (["version"], ["--version"], ["-V"]) else ""
