"""Train, evaluate and compare DreamerV1, V2 and V3.

python dreamer.py [COMMAND] [--algo v1|v2|v3|v3-2023] [--configs BLOCK ...] [--task SUITE_NAME] [--logdir DIR]
                  [--features NAME=ALGO ...] [--any.key VALUE ...] [--debug]
"""

import functools
import importlib
import pathlib
import sys

INSTALL_HINT = """Type `make install` (without make: `python3 -m venv .venv` and
`.venv/bin/python -m pip install -r requirements.txt`), then `.venv/bin/python dreamer.py ...`."""

MEMORY_HINT = """Lower --batch_size, --batch_length or the size of the networks, or free what other programs hold:
`python dreamer.py plan` with the flags of a run says what it needs. A run goes on from its last checkpoint."""

if sys.version_info < (3, 11):  # noqa: UP036 (whoever has an older one is to read this, not a traceback)
    print(f"Error: Python 3.11 or newer is needed, this is {sys.version.split()[0]}.", file=sys.stderr)
    sys.exit(2)
try:
    from common.commands import legacy_cli, stdio
    from common.config import arguments, features
    from common.config import config as configs
    from common.config.request import Request, algo_or_default
    from common.deploy.policy import load
    from common.errors import UserError
    from common.nn.allocator import is_out_of_memory, keep_freed_memory
    from common.safe_io import expand_path
    from common.storage.logdir import CONFIG_FILE, stored_config
except ModuleNotFoundError as missing:
    if __name__ != "__main__":
        raise
    print(f"Error: {sys.executable} has no package {missing.name}. {INSTALL_HINT}", file=sys.stderr)
    sys.exit(2)

__all__ = ["load", "main", "resolve"]

CONFIG_FOLDER = pathlib.Path(__file__).parent / "configs"

#: Version -> module of its recipe, file of its numbers.
ALGOS = {
    "v1": ("dreamer_v1.recipe", "dreamer_v1.yaml"),
    "v2": ("dreamer_v2.recipe", "dreamer_v2.yaml"),
    "v3": ("dreamer_v3.recipe", "dreamer_v3.yaml"),
    "v3-2023": ("dreamer_v3.recipe_2023", "dreamer_v3_2023.yaml"),
}
DEFAULT_ALGO = "v3"

#: Command -> function that takes the resolved config.
COMMANDS = {
    "train": "common.training.train:train",
    "eval": "common.commands.eval:evaluate",
    "config": "common.commands.config:show",
    "speed": "common.commands.speed:speed",
}

#: Command -> function that takes the `Request`: it is about several runs, or about none.
TOOLS = {
    "demo": "common.commands.demo:demo",
    "compare": "common.commands.compare:compare",
    "bench": "common.commands.bench:bench",
    "reference": "common.commands.reference:reference",
    "ablate": "common.commands.ablate:ablate",
    "ladder": "common.commands.ladder:ladder",
    "explain": "common.commands.explain:explain",
    "table": "common.commands.table:show",
    "report": "common.commands.report:report",
    "plot": "common.commands.plot:plot",
    "export": "common.commands.export:export",
    "doctor": "common.commands.doctor:doctor",
    "plan": "common.commands.plan:plan",
    "check-env": "common.commands.check_env:check_env",
    "debug-batch": "common.commands.debug_batch:debug",
}

#: Short flag -> config key.
SHORT_FLAGS = {
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

#: Task prefix -> environment block used when --configs names none.
ENVIRONMENT_BLOCKS = {
    **{name: name for name in ("atari", "atari100k", "crafter", "minigrid", "bsuite", "metaworld", "memorymaze")},
    **{"gym": "gym", "dmc": "dmc_proprio", "dummy": "gym"},
}


def recipe(algo: str):
    """The parts of a version. Raises UserError for an unknown one."""
    if algo not in ALGOS:
        raise UserError(configs.unknown_name("version", algo, ALGOS))
    return importlib.import_module(ALGOS[algo][0]).recipe


read_config = functools.cache(configs.read)  # grids resolve hundreds of configs; nothing changes what is read


def resolve(algo: str, blocks=(), flags=None, borrowed=None) -> dict:
    """Resolved config of a version with config blocks and flags (dotted keys) on top.

    borrowed: feature -> version whose value it takes. Raises UserError for anything unknown.
    """
    parts, flags = recipe(algo), flags or {}
    own, shared = read_config(CONFIG_FOLDER / ALGOS[algo][1]), read_config(CONFIG_FOLDER / "environments.yaml")
    blocks = [block for block in blocks if block != "defaults"]
    for block in blocks:
        if block not in own and block not in shared:
            raise UserError(configs.unknown_name(f"config block for {algo}", block, {**own, **shared}))
    names = with_environment_block(str(flags.get("task", "")), blocks, shared)
    layers = [layer[name] for name in names for layer in (shared, own) if name in layer]
    lend = lambda source: lender_config(source, tuple(blocks), flags.get("task"))
    layers += [features.values(feature, lend(source)) for feature, source in (borrowed or {}).items()]
    return configs.resolve(parts, own["defaults"], [*layers, flags])


@functools.cache
def lender_config(source, blocks, task):
    """Config of a version that lends features: with the task, and the blocks that it has. Not to be changed."""
    own = read_config(CONFIG_FOLDER / ALGOS[source][1]) if source in ALGOS else {}
    known = {**own, **read_config(CONFIG_FOLDER / "environments.yaml")}
    return resolve(source, [block for block in blocks if block in known], {} if task is None else {"task": task})


def with_environment_block(task, blocks, shared):
    """Blocks with the environment's in front, if the task tells it and no block does."""
    guess = "gym" if ":" in task else ENVIRONMENT_BLOCKS.get(task.split("_")[0])
    named = any(block in shared for block in blocks)
    return [guess, *blocks] if guess and not named else blocks


def parse(argv):
    """Arguments -> command, and what `arguments.Said` has of the rest."""
    command = argv.pop(0) if argv and not argv[0].startswith("-") else "train"
    if command not in COMMANDS | TOOLS:
        raise UserError(configs.unknown_name("command", command, COMMANDS | TOOLS))
    return command, *arguments.parse(argv, command_options(command), SHORT_FLAGS, positionals=command in TOOLS)


def command_input(command, words, algo, blocks, borrowed, flags):
    """What a command runs with: the request itself for a tool, a config from the logdir for `eval`, else one."""
    own, flags = arguments.split_own_flags(flags, command_options(command))
    if command in TOOLS:
        return Request(words, algo, blocks, borrowed, flags, own, resolve, tuple(ALGOS), DEFAULT_ALGO)
    if command == "eval":
        return config_of_run(algo, blocks, borrowed, flags) | {command: own}
    return resolve(algo_or_default(algo, tuple(ALGOS), DEFAULT_ALGO), blocks, flags, borrowed) | (
        {command: own} if own else {}
    )


def command_options(command) -> dict:
    """Flags that only this command takes, with their defaults: the OPTIONS of its module, if it has any."""
    return arguments.default_values(command_function(command).__globals__.get("OPTIONS", {}))


def command_function(command):
    """What carries out a command."""
    module, name = (COMMANDS | TOOLS)[command].split(":")
    return getattr(importlib.import_module(module), name)


def config_of_run(algo, blocks, borrowed, flags):
    if "logdir" not in flags:
        raise UserError("eval needs --logdir DIR, the folder of a training run.")
    if algo or blocks or borrowed:
        raise UserError("eval takes version and config from the run: leave --algo, --configs and --features away.")
    folder = expand_path(flags["logdir"])
    stored = stored_config(folder)
    if str(stored.get("algo")) not in ALGOS or set(resolve(stored["algo"])) - set(stored):
        raise UserError(f"{folder / CONFIG_FILE} is not complete. Restore it, or train afresh in another --logdir.")
    return resolve(stored["algo"], flags=configs.flatten(stored) | flags)


def usage() -> str:
    lines = [__doc__.strip(), "", f"Commands: {', '.join(COMMANDS | TOOLS)} (without one: train)", "Config blocks:"]
    shared = read_config(CONFIG_FOLDER / "environments.yaml")
    lines.append(f"  environments: {', '.join(shared)}")
    for algo, (_, file) in ALGOS.items():
        lines.append(
            f"  {algo}: {', '.join(block for block in read_config(CONFIG_FOLDER / file) if block not in shared)}"
        )
    short = ", ".join(f"--{alias} (--{key})" for alias, key in SHORT_FLAGS.items())
    lines += [f"Features: {', '.join(features.FEATURES)}", f"Short flags: {short}"]
    own = {name: command_options(name) for name in COMMANDS | TOOLS}
    lines += [f"Flags of {name}: {', '.join(f'--{key}' for key in keys)}" for name, keys in own.items() if keys]
    lines += ["Keys: `python dreamer.py config` prints every one with its value."]
    return "\n".join(lines)


def error_text(error: UserError | OSError) -> str:
    """What a person should know of an error."""
    if isinstance(error, UserError):
        return str(error)
    place = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{place}. Check the path, permissions and free space."


def main(argv=None) -> int:
    """Runs a command line. Returns the exit code: 0, or 2 after an error that the user can mend."""
    argv = list(sys.argv[1:] if argv is None else argv)
    stdio.prepare_streams()
    return stdio.run_until_pipe_closes(lambda: execute(argv))


def execute(argv) -> int:
    """Carries out a command line, and prints what went wrong. Returns the exit code."""
    keep_freed_memory()
    try:
        if {"-h", "--help"} & set(argv):
            print(usage(), flush=True)
            return 0
        given = [word for word in argv if word != "--debug"]
        command, *said = parse(legacy_cli.translate(given, DEFAULT_ALGO))
        command_function(command)(command_input(command, *said))
    except (UserError, OSError) as error:
        if "--debug" in argv or stdio.is_closed_pipe(error):
            raise
        stdio.print_error(f"Error: {error_text(error)}")
        return 2
    except KeyboardInterrupt:
        stdio.print_error("Interrupted.")
        return 130
    except Exception as error:
        if "--debug" in argv or stdio.is_closed_pipe(error):
            raise
        if is_out_of_memory(error):
            stdio.print_error(f"Error: Not enough memory. {MEMORY_HINT}")
            return 2
        what = f"{type(error).__name__}: {error}"
        stdio.print_error(f"Error: {what}. A setting that cannot work, or a bug: --debug shows where.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
