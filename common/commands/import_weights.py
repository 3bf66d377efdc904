"""`import`: turns a checkpoint of another Dreamer implementation into a run directory.

The file is read without executing anything in it. Every array that was copied is printed, and every one left over.
"""

import dataclasses

from common.config.arguments import Option, Options
from common.config.request import Request
from common.envs import UNKNOWN_TASK
from common.errors import UserError
from common.foreign.formats import FORMATS, format_module
from common.foreign.run import Imported, import_run
from common.foreign.source import Source, refuse_malformed
from common.safe_io import expand_path

OPTIONS: Options = {
    "out": Option("", "run directory to write (needed)", "DIR"),
    "keys": Option([], "vector observations, in the order of the other program", "NAME ..."),
}
RUN_FLAG_HELP = {"task": Option("", "task for evaluation and training, such as dmc_walker_walk", "TASK")}
EXAMPLES = (
    "import danijar-v3 logs/theirs --out logs/walker --task dmc_walker_walk",
    "import danijar-v2 logs/theirs --out logs/pong --configs atari --task atari_pong",
    "import danijar-v1 variables.pkl --out logs/v1",
)


def import_weights(request: Request) -> None:
    """Write --out and print what was mapped. Raises UserError if the file does not fit."""
    module, source, out = read_request(request)
    if request.algo or request.borrowed:
        raise UserError("import takes the version from the file: omit --algo and --features.")
    with refuse_malformed(source.path):
        algo = module.describe(source).algo
    resolve = lambda flags: request.resolve(algo, request.blocks, flags, {})
    made = import_run(module, source, expand_path(out), resolve, request.flags)
    print_mapping(made)
    print(summary(made, source, out))


def read_request(request: Request):
    """Return the format, what its file holds, and --out. Raises UserError for wrong or missing words."""
    words, out = request.positionals, request.options["out"]
    if len(words) != 2:
        known = "\n  ".join(f"{name}: {entry.path}" for name, entry in FORMATS.items())
        raise UserError(f"import needs a format and a path: import FORMAT PATH --out DIR. Formats:\n  {known}")
    module = format_module(words[0])
    if not out:
        raise UserError(f"import needs --out DIR, the run directory to write, such as --out logs/{words[0]}.")
    path = expand_path(words[1])
    if not path.exists():
        raise UserError(f"There is no file {path}. {words[0]} takes {FORMATS[words[0]].path}.")
    with refuse_malformed(path):
        source = module.read(path)
    return module, dataclasses.replace(source, keys=tuple(request.options["keys"]), given=request.flags), out


def print_mapping(made: Imported) -> None:
    """Print a line for each array that was copied, and for each that was left over."""
    print("Mapped (array in the file -> parameters here):")
    print("\n".join(f"  {line}" for line in made.fit.mapped))
    print(f"Left over ({len(made.fit.left_over)} arrays that nothing here reads):")
    print("\n".join(f"  {line}" for line in made.fit.left_over) or "  none")
    if made.fit.fresh:
        print(f"New ({len(made.fit.fresh)} parameters here that no array in the file gives):")
        print("\n".join(f"  {name}" for name in made.fit.fresh))


def summary(made: Imported, source: Source, out: str) -> str:
    """Return what the run is and what to type next."""
    config, moments = made.config, made.fit.with_moments
    known, repeat = config["task"] != UNKNOWN_TASK, config["env"]["repeat"]
    frames = source.agent_steps(repeat) * repeat
    what = f"{config['algo']} on {config['task']}" if known else config["algo"]
    state = f"with the optimiser's moments of {moments} arrays" if moments else "with a fresh optimiser"
    done = f"{out}: {what}, frame {frames:,}, update {source.updates:,}, {state}; the replay is empty."
    if not source.settings:
        done += "\nNo settings came with the file: activations and losses are those of the published runs."
    if known:
        more = f"Train it further: python dreamer.py resume 1 --logdir {out}"
        return f"{done}\nEvaluate it: python dreamer.py eval --logdir {out}\n{more}"
    task = source.settings.get("task", "")
    hint = f" Its settings name {task}." if isinstance(task, str) and task else ""
    again = "For eval, dream and training, import it again with --task and another --out."
    return f"{done}\nWithout --task, `load` and `export` work. {again}{hint}"
