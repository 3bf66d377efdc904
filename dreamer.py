"""Train, evaluate and compare DreamerV1, V2 and V3.

`python dreamer.py --help` lists the commands; `python dreamer.py COMMAND --help` shows one of them.
"""

import functools
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

INSTALL_HINT = """Type `make install` (without make: `python3 -m venv .venv` and
`.venv/bin/python -m pip install -r requirements.txt`), then `.venv/bin/python dreamer.py ...`."""

MEMORY_HINT = """Lower --batch_size, --batch_length or the size of the networks, or stop other programs that hold
memory. `python dreamer.py plan` with the flags of a run shows what it needs. A run resumes from its last checkpoint."""

if sys.version_info < (3, 11):  # noqa: UP036 (an older Python prints this instead of a traceback)
    print(f"Error: Python 3.11 or newer is needed, this is {sys.version.split()[0]}.", file=sys.stderr)
    sys.exit(2)
try:
    from common.commands import (
        COMMANDS,
        command_function,
        command_options,
        first_words,
        legacy_cli,
        misspelled_flags,
        seed_variables,
        stdio,
        stored_values,
    )
    from common.commands.help import RunHelp, command_help, program_help, version_text
    from common.config import arguments, features, notices
    from common.config import config as configs
    from common.config.arguments import Option
    from common.config.extends import EXTENDS, extend
    from common.config.request import Request, algo_or_default
    from common.deploy.policy import load
    from common.doctor import startup
    from common.doctor.packages import packages
    from common.errors import UserError
    from common.nn.allocator import is_out_of_memory, keep_freed_memory
    from common.processes import end_command
    from common.safe_io import expand_path
    from common.storage.logdir import CONFIG_FILE, stored_config
except Exception as failure:
    from common.doctor import startup

    if not startup.is_program(__name__):
        raise
    sys.exit(startup.report_failed_import(failure, INSTALL_HINT))

__all__ = ["load", "main", "resolve"]

PROGRAM = "python dreamer.py"
CONFIG_FOLDER = Path(__file__).parent / "configs"

#: Version -> module of its recipe, file of its numbers.
ALGOS = {
    "v1": ("dreamer_v1.recipe", "dreamer_v1.yaml"),
    "v2": ("dreamer_v2.recipe", "dreamer_v2.yaml"),
    "v3": ("dreamer_v3.recipe", "dreamer_v3.yaml"),
    "v3-2023": ("dreamer_v3.recipe_2023", "dreamer_v3_2023.yaml"),
}
DEFAULT_ALGO = "v3"
ALTERNATIVES = "alternatives"  # in a version's file: options of parts that the version does not choose

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
    "enc.spaces": "encoder.keys",
    "dec.spaces": "decoder.keys",
    "env.render.quality": "env.render",
}

EVAL_EPISODES = 10  # of `eval`, unless the run has more or --episodes is given

#: Task prefix -> environment block used when --configs names none.
ENVIRONMENT_BLOCKS = {
    **{name: name for name in ("atari", "atari100k", "crafter", "minigrid", "bsuite", "metaworld", "memorymaze")},
    **{"gym": "gym", "dmc": "dmc_proprio", "dummy": "gym"},
}

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


def recipe(algo: str) -> Any:
    """Return the parts of a version. Raises UserError for an unknown one."""
    if algo not in ALGOS:
        raise UserError(configs.unknown_name("version", algo, ALGOS))
    return importlib.import_module(ALGOS[algo][0]).recipe


read_config = functools.cache(configs.read)  # grids resolve hundreds of configs; no caller changes what is returned


def resolve(
    algo: str, blocks: Sequence[str] = (), flags: Mapping[str, Any] | None = None, borrowed: dict | None = None
) -> dict:
    """Return the config of a version, with config blocks and flags (dotted keys) applied.

    borrowed: feature -> the version whose value it takes. Raises UserError for anything unknown.
    """
    parts, flags = recipe(algo), flags or {}
    own, shared = version_blocks(algo), environment_blocks()
    blocks = [block for block in blocks if block != "defaults"]
    for block in blocks:
        if block not in own and block not in shared:
            raise UserError(configs.unknown_name(f"config block for {algo}", block, {**own, **shared}))
    names = with_environment_block(str(flags.get("task", "")), blocks)
    layers = [layer[name] for name in names for layer in (shared, own) if name in layer]
    for feature, source in (borrowed or {}).items():
        layers.append(features.values(feature, lender_config(source, tuple(blocks), flags.get("task"))))
    return configs.resolve(parts, own["defaults"], [*layers, dict(flags)], version_alternatives(algo))


def version_blocks(algo: str, extending: tuple[str, ...] = ()) -> dict:
    """Return the config blocks of a version, its `defaults` included. The result is shared: do not change it.

    extending: versions whose files extend this one. Raises UserError if a file extends itself or an unknown version.
    """
    path = CONFIG_FOLDER / ALGOS[algo][1]
    own = {name: block for name, block in read_config(path).items() if name != ALTERNATIVES}
    base = own.pop(EXTENDS, None)
    if base is None:
        return own
    if base not in ALGOS or base in (*extending, algo):
        known = [name for name in ALGOS if name not in (*extending, algo)]
        raise UserError(f"{path} extends {base!r}. {configs.unknown_name('version to extend', str(base), known)}")
    own["defaults"] = {"algo": algo} | (own.get("defaults") or {})
    return extend(own, version_blocks(base, (*extending, algo)), recipe(algo), recipe(base))


def version_alternatives(algo: str) -> dict[str, dict]:
    """Return the options for which a version has values of its own, by the class of a part that it does not choose.

    The result is shared: do not change it.
    """
    file = read_config(CONFIG_FOLDER / ALGOS[algo][1])
    inherited = version_alternatives(file[EXTENDS]) if EXTENDS in file else {}
    own = file.get(ALTERNATIVES) or {}
    return inherited | {name: inherited.get(name, {}) | options for name, options in own.items()}


def environment_blocks() -> dict:
    """Return the config blocks that all versions share. The result is shared: do not change it."""
    return read_config(CONFIG_FOLDER / "environments.yaml")


@functools.cache
def lender_config(source: str, blocks: tuple[str, ...], task: str | None) -> dict:
    """Return the config of a version that lends features, for the same task and those blocks that the version has.

    The result is shared: do not change it.
    """
    known = {**(version_blocks(source) if source in ALGOS else {}), **environment_blocks()}
    return resolve(source, [block for block in blocks if block in known], {} if task is None else {"task": task})


def block_names() -> set[str]:
    """Return the names of the config blocks of all versions."""
    return {*environment_blocks(), *(name for algo in ALGOS for name in version_blocks(algo))}


def with_environment_block(task: str, blocks: list[str]) -> list[str]:
    """Return `blocks`, behind the block of the task's environment unless one of them is for an environment."""
    block = "gym" if ":" in task else ENVIRONMENT_BLOCKS.get(task.split("_")[0])
    return [block, *blocks] if block and not set(blocks) & set(environment_blocks()) else blocks


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
    folder = expand_path(flags["logdir"])
    stored = stored_config(folder)
    if str(stored.get("algo")) not in ALGOS or set(resolve(stored["algo"])) - set(stored):
        raise UserError(f"{folder / CONFIG_FILE} is not complete. Restore it, or train again in another --logdir.")
    kept = configs.flatten(stored)
    kept["run.eval_episodes"] = max(kept["run.eval_episodes"], EVAL_EPISODES)
    return resolve(stored["algo"], flags=kept | flags)


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


def error_text(error: UserError | OSError) -> str:
    """Return the message of an error for users."""
    if isinstance(error, UserError):
        return str(error)
    path = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{path}. Check the path, permissions and free space."


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line. Returns the exit code: 0, or 2 after an error that the user can fix."""
    words = list(sys.argv[1:] if argv is None else argv)
    stdio.prepare_streams()
    return stdio.run_until_pipe_closes(lambda: execute(words))


def execute(argv: list[str]) -> int:
    """Run a command line and print its error, if any. Returns the exit code."""
    keep_freed_memory()
    notices.drop_all()
    try:
        words = seed_variables.translate([word for word in argv if word != "--debug"], os.environ)
        words = first_words.translate(words, first_words.Names(ALGOS, block_names(), ENVIRONMENT_BLOCKS))
        if text := information(words):
            print(text, flush=True)
            return 0
        command, *parsed = parse(legacy_cli.translate(words, DEFAULT_ALGO))
        command_function(command)(command_input(command, *parsed))
        notices.print_all()
    except KeyboardInterrupt:
        stdio.print_error("Interrupted.")
        return 130
    except Exception as error:
        if "--debug" in argv or stdio.is_closed_pipe(error):
            raise
        return report_error(error)
    return 0


def report_error(error: Exception) -> int:
    """Print what went wrong and return the exit code: 2 if the user can fix it, else 1."""
    if isinstance(error, UserError | OSError):
        stdio.print_error(f"Error: {error_text(error)}")
        return 2
    if is_out_of_memory(error):
        stdio.print_error(f"Error: Not enough memory. {MEMORY_HINT}")
        return 2
    name = type(error).__name__
    stdio.print_error(f"Error: {name}: {error}. A setting does not work, or this is a bug: --debug shows where.")
    if problem := startup.version_problem(list(packages())):
        stdio.print_error(problem)
    return 1


def run() -> NoReturn:
    """Run the command line of this process and end it, even if an environment left threads or processes."""
    try:
        code = main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    end_command(code)


if __name__ == "__main__":
    run()
