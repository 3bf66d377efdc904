"""`runs`: list the runs below a folder with number, progress, time left and state. `resume N` continues one of them."""

from collections import Counter

from common.config.arguments import Option
from common.config.request import Request
from common.config.tables import show, table
from common.errors import UserError
from common.experiments.grid.table import format_duration
from common.experiments.run_catalogue import STATES, CatalogueEntry, read_catalogue
from common.storage.progress import format_rate

OPTIONS: dict[str, Option] = {}
EXAMPLES = ("runs", "runs logs/compare", "runs .")
DEFAULT_FOLDER = "logs"
HEAD = ("number", "version", "task", "seed", "frames", "of", "frames/s", "left", "state", "directory")


def runs(request: Request) -> None:
    """Print a table of the runs below a folder. Raises UserError if there is no run."""
    if len(request.positionals) > 1 or request.given_flags():
        raise UserError("runs takes one folder and no flags, such as: python dreamer.py runs logs.")
    folder = request.positionals[0] if request.positionals else DEFAULT_FOLDER
    found = read_catalogue(folder)
    show(table([HEAD, *map(cells, found)]))
    for one in found:
        if one.problem:
            print(f"{one.number} is broken: {one.problem}")
    counts = Counter(one.state for one in found)
    print(", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]) + ".")
    if stopped := next((one for one in found if one.state == "stopped"), None):
        print(f"To continue a stopped run: python dreamer.py resume {stopped.number} --logdir {folder}")


def cells(one: CatalogueEntry) -> tuple[str, ...]:
    """Return a text for each of HEAD."""
    config, now = one.config, one.progress
    names = [str(config.get(key, "–")) for key in ("algo", "task", "seed")]
    counts = [f"{now.frames:,}", f"{config['steps']:,}"] if config else ["–", "–"]
    speed = format_rate(now.speed) if now.speed else "–"
    left = format_duration(now.left) if now.left is not None else "–"
    return str(one.number), *names, *counts, speed, left, one.state, str(one.logdir)
