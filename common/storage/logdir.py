"""The folder of one run, or of a grid of runs: who may use it, and with which config.

A folder belongs to one config. On resume a few keys may differ, those in `MAY_CHANGE`; any other difference is refused.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from common.config import config as configs
from common.errors import UserError
from common.files import slug, write_text
from common.safe_io import expand_path
from common.storage.runinfo import has_started

CONFIG_FILE = "config.yaml"
LOCK_FILE = ".lock"
FILES_BEFORE_RUN = (LOCK_FILE, "speed.json")  # may be there before the run
REQUIRED_KEYS = ("algo", "steps", "run")  # keys of every config
ABSENT_VALUE = "(absent)"  # value of a key that one of two configs does not have
MAX_LISTED_KEYS = 15  # differing keys shown
#: Keys that older runs do not have, and what those runs did.
DEFAULTS_OF_LATER_KEYS = {
    "env.render": "full",
    "env.action_scale": 1.0,
    "env.timeout": 0.0,
    "env.least_noops": 0,
    "run.init": "",
    "run.init_parts": "world_model",
    "run.offline": "",
    "run.max_skips": 10,
}
MAY_CHANGE = frozenset(
    ["logdir", "steps"]
    + [f"run.{key}" for key in ("device", "threads", "parallel", "eval_envs", "eval_episodes", "eval_every")]
    + [f"run.{key}" for key in ("log_every", "save_every", "video_every", "max_seconds", "max_skips")]
    + ["replay.max_gib", "env.max_failures", "env.timeout"]
)


def resolve_logdir(config: dict) -> Path:
    """Folder of the run: `config['logdir']` with `{timestamp}` filled in, or `logs/<task>/<algo>/<seed>`."""
    task = "/".join(map(slug, config["task"].split("/")))  # stays below logs/, whatever the task is called
    name = config.get("logdir") or f"logs/{task}/{config['algo']}/{config['seed']}"
    return expand_path(name.replace("{timestamp}", time.strftime("%Y%m%dT%H%M%S")))


def config_digest(config: dict) -> str:
    """Fingerprint of every key that must not change within a run."""
    told = lambda key, value: key not in MAY_CHANGE and value != DEFAULTS_OF_LATER_KEYS.get(key, ABSENT_VALUE)
    fixed = {key: value for key, value in configs.flatten(config).items() if told(key, value)}
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()


def config_changes(stored: dict, config: dict) -> dict[str, str]:
    """`{key: 'stored -> new'}` for every key with another value, those of `LATER` completed."""
    plain = _with_later_keys(json.loads(json.dumps(config)))  # as a file gives it back: lists for tuples
    text = lambda value: ABSENT_VALUE if value is None else value
    pairs = configs.differences(stored, plain).items()
    return {key: f"{text(old)} -> {text(new)}" for key, (old, new) in sorted(pairs)}


def refused_changes(changed: dict[str, str]) -> dict[str, str]:
    """Those of `changes` that no run allows."""
    return {key: text for key, text in changed.items() if key not in MAY_CHANGE}


def stored_config(logdir: Path) -> dict:
    """Config that the run in `logdir` was started with, completed by what came later; UserError where there is none."""
    path = logdir / CONFIG_FILE
    if not path.is_file():
        raise UserError(f"{logdir} is not the logdir of a run: it has no {CONFIG_FILE}. Check --logdir.")
    _check_regular_files(logdir)
    try:
        config = configs.read(path)
    except UserError as error:
        raise UserError(f"{error}\nRestore that file, or start afresh in another --logdir.") from error
    if missing := [key for key in REQUIRED_KEYS if not isinstance(config, dict) or key not in config]:
        raise UserError(f"{path} lacks {', '.join(missing)}. Restore it, or start afresh in another --logdir.")
    return _with_later_keys(config)


def _with_later_keys(config: dict) -> dict:
    """A config with the keys of LATER in those of their blocks that it has."""
    for key, value in DEFAULTS_OF_LATER_KEYS.items():
        block, _, name = key.partition(".")
        if isinstance(config.get(block), dict):
            config[block].setdefault(name, value)
    return config


@contextlib.contextmanager
def lock_logdir(logdir: Path, mark: str = CONFIG_FILE) -> Iterator[None]:
    """Creates `logdir` if needed and holds it for this process alone. `mark` is the file by which it is known as ours.

    Raises UserError where it cannot be written, holds other things, or is in use.
    """
    with contextlib.ExitStack() as stack:
        try:
            logdir.mkdir(parents=True, exist_ok=True)
            _check_is_run_directory(logdir, mark)
            _check_regular_files(logdir)
            _hold(stack.enter_context((logdir / LOCK_FILE).open("a+")), logdir)
        except OSError as error:
            raise UserError(
                f"Cannot write to logdir {logdir}: {error.strerror or error}. Choose another --logdir."
            ) from error
        yield


def _hold(lock: TextIO, logdir: Path) -> None:
    """Locks the file until it is closed and notes this process in it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        raise UserError(f"{logdir} is in use by process {lock.read() or '?'}. Stop it or choose another.") from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    os.register_at_fork(after_in_child=lock.close)  # else what an environment forks would hold it after our end


def in_use(logdir: Path) -> bool:
    """Whether another process holds `logdir` now."""
    try:
        with (logdir / LOCK_FILE).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def check_config(logdir: Path, config: dict) -> dict[str, str]:
    """How `config` differs from the one that is stored in `logdir`, if there is one.

    Raises UserError if a `fixed` key differs; a run that has never got as far as training may change them all.
    """
    changed = config_changes(stored_config(logdir), config) if (logdir / CONFIG_FILE).exists() else {}
    if (differing := refused_changes(changed)) and has_started(logdir):
        raise UserError(
            f"{logdir} belongs to a run with another config{format_changes(differing)}\n"
            "Give the stored values to go on with it, or choose another --logdir."
        )
    return changed


def store_config(logdir: Path, config: dict) -> dict[str, str]:
    """Stores `config` in `logdir`; returns how it differs from the one stored there before.

    Raises as `compare` does, and changes nothing then.
    """
    changed = check_config(logdir, config)
    if changed or not (logdir / CONFIG_FILE).exists():
        write_text(logdir / CONFIG_FILE, configs.dump(config))
    changed.pop("logdir", None)
    return changed


def format_changes(changed: dict[str, str]) -> str:
    """Changes for people, one a line, the important ones first."""
    if not changed:
        return "."
    lines = [f"\n  {key}: {changed[key]}" for key in sorted(changed, key=_importance)]
    more = f"\n  ... and {len(lines) - MAX_LISTED_KEYS} more" if len(lines) > MAX_LISTED_KEYS else ""
    return f" (stored -> given):{''.join(lines[:MAX_LISTED_KEYS])}{more}"


def _importance(key: str) -> tuple:
    """Version, task and seed first, then other short names."""
    return key.count("."), key not in ("algo", "task", "seed"), key


def _check_is_run_directory(logdir: Path, mark: str) -> None:
    ours = (logdir / mark).exists()
    other = [p.name for p in logdir.iterdir() if p.name not in FILES_BEFORE_RUN and not p.name.endswith(".tmp")]
    if other and not ours:
        raise UserError(
            f"{logdir} holds other things ({', '.join(sorted(other)[:3])}) and no {mark}, so it is not a folder of "
            "ours. Choose an empty or new --logdir."
        )


def _check_regular_files(logdir: Path) -> None:
    """Raises UserError where a pipe, socket or device is in place of a file: to open one may wait for ever."""
    for folder, _, names in os.walk(logdir):
        if found := [name for name in names if _waits(Path(folder, name))]:
            path = Path(folder, found[0])
            raise UserError(f"{path} is no file but a pipe or a device. Remove it, or choose another --logdir.")


def _waits(path: Path) -> bool:
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:  # not there, or not to be seen: told by who reads it
        return False
