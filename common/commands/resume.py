"""`resume`: continue the run with a number of `runs`, with its stored config."""

import shlex
from typing import Any

from common.commands.runs import DEFAULT_FOLDER
from common.config.arguments import Option, Options
from common.config.config import flatten
from common.config.request import Request
from common.errors import UserError
from common.experiments.run_catalogue import RUN_FILE, CatalogueEntry, has_checkpoint, read_catalogue
from common.safe_io import read_json
from common.training.train import train

OPTIONS: Options = {"logdir": Option(DEFAULT_FOLDER, "folder of the runs, as given to `runs`", "FOLDER")}
#: Flag for runs -> what it is here.
RUN_FLAG_HELP = {"steps": Option("", "environment frames in all (default: as stored in the run)", "N")}
EXAMPLES = ("resume 3", "resume 3 --logdir logs/compare", "resume 1 --steps 200000")


def resume(request: Request) -> None:
    """Continue the training of a run. Flags may change the keys that may differ on resume, such as --steps.

    Raises UserError for an unknown number, and for a run that is running, finished, broken or without a checkpoint.
    """
    one = requested_run(request)
    if one.state == "running":
        raise UserError(f"Run {one.number}, {one.logdir}, is running. `python dreamer.py runs` shows its progress.")
    if one.state == "broken":
        raise UserError(f"Run {one.number}, {one.logdir}, is broken: {one.problem}")
    if one.state == "finished" and not request.flags:
        raise UserError(
            f"Run {one.number}, {one.logdir}, is finished. To make it longer, add --steps with more than "
            f"{one.config['steps']:,} frames."
        )
    if one.progress.frames and not has_checkpoint(one.logdir):
        raise UserError(f"Run {one.number}, {one.logdir}, has no checkpoint to continue from.")
    config = resumed_config(request, one)
    print(f"Run {one.number}: {one.logdir}. {first_command(one)}", flush=True)
    train(config)


def requested_run(request: Request) -> CatalogueEntry:
    """Return the run with the number on the command line."""
    if request.algo or request.blocks or request.borrowed:
        raise UserError("A run resumes with its own version and config: omit --algo, --configs and --features.")
    if len(request.positionals) != 1 or not request.positionals[0].isdecimal():
        raise UserError("resume takes the number of a run, such as resume 3. `python dreamer.py runs` lists them.")
    number, found = int(request.positionals[0]), read_catalogue(request.options["logdir"])
    if not 1 <= number <= len(found):
        folder = request.options["logdir"]
        raise UserError(f"{folder} has runs 1 to {len(found)}, not {number}. `python dreamer.py runs {folder}`.")
    return found[number - 1]


def resumed_config(request: Request, one: CatalogueEntry) -> dict[str, Any]:
    """Return the stored config of a run with the flags applied. Raises UserError if it is incomplete."""
    algo = one.config["algo"]
    if algo not in request.algos or set(request.resolve(algo)) - set(one.config):
        raise UserError(f"The config of {one.logdir} is not complete. Restore it, or train again in another --logdir.")
    return request.resolve(algo, flags=flatten(one.config) | request.flags | {"logdir": str(one.logdir)})


def first_command(one: CatalogueEntry) -> str:
    """Return the command that started a run, as a sentence; "" if it is not stored."""
    try:
        words = shlex.split(read_json(one.logdir / RUN_FILE)["sessions"][0]["command"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""
    return f"It was started with: {shlex.join(words)}"
