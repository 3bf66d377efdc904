"""Values of a stored run for keys that a config block did not set when the run was started.

The block `cpu` later got a smaller budget and schedule, and then a lower learning rate for the actors of V1 and V2.
Runs that were started before resume with the same command.
"""

import fnmatch
import sys
from collections.abc import Iterable

from common.config.config import flatten
from common.errors import UserError
from common.storage.logdir import CONFIG_FILE, resolve_logdir, stored_config
from common.storage.runinfo import has_started

#: Block -> keys that it did not set in the past, or set to other values.
LATER_KEYS = {"cpu": ("steps", "schedule.*", "optim.lr.actor")}


def stored_values(config: dict, blocks: Iterable[str], typed: Iterable[str]) -> dict:
    """Return the stored values, by flat key, that resume the run in the config's logdir. A change is printed on stderr.

    typed: the flags of the command line; their keys keep their values. The result is empty for a new run.
    """
    logdir, typed = resolve_logdir(config), list(typed)
    globs = [glob for block in blocks for glob in LATER_KEYS.get(block, ())]
    if not globs or not (logdir / CONFIG_FILE).is_file() or not has_started(logdir):
        return {}
    try:
        stored = flatten(stored_config(logdir))
    except UserError:  # the command reports it
        return {}
    given = flatten(config)
    if any(given.get(key) != stored.get(key) for key in ("algo", "task", "schedule.use")):
        return {}
    later = [key for key in given if any(fnmatch.fnmatchcase(key, glob) for glob in globs)]
    free = [key for key in later if not any(fnmatch.fnmatchcase(key, name) for name in typed)]
    changed = {key: stored[key] for key in free if key in stored and stored[key] != given[key]}
    if changed:
        values = ", ".join(f"{key} {value}" for key, value in changed.items())
        print(f"The run in {logdir} continues with its stored {values}.", file=sys.stderr)
    return changed
