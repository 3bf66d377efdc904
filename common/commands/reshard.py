"""`reshard`: a run directory for another number of processes of torchrun, from that of a run."""

from pathlib import Path

from common.config.arguments import Option, Options
from common.config.request import Request
from common.errors import UserError
from common.experiments import reshard as work
from common.safe_io import expand_path
from common.storage.checkpoints import load_newest

OPTIONS: Options = {
    "ranks": Option(0, "number of processes for the new run", "N"),
    "out": Option("", "new run directory", "DIR"),
}
EXAMPLES = (
    "reshard logs/walker --ranks 4 --out logs/walker_4",
    "reshard logs/walker_4 --ranks 2 --out logs/walker_2",
    "reshard logs/walker_4 --ranks 1 --out logs/walker_alone",
)


def reshard(request: Request) -> None:
    """Write the new run directory and print how to continue. Raises UserError for wrong arguments."""
    if request.given_flags() or len(request.positionals) != 1 or not request.options["out"]:
        raise UserError("reshard takes a run directory, --ranks N and --out DIR.")
    logdir, out = Path(request.positionals[0]), expand_path(request.options["out"])
    size = work.check_size(request.options["ranks"])
    before = load_newest(logdir).get("ranks", 1)
    records = work.reshard(logdir, size, out)
    start = f"torchrun --nproc-per-node {size} dreamer.py" if size > 1 else "python dreamer.py"
    print(f"{out} has the run in {logdir} for {size} process(es) instead of {before}, with {records:,} records.")
    print(f"To continue: {start}, with the flags of the run and --logdir {out}")
