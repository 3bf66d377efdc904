"""Run directories (also those of grids): their lock, and the config that belongs to them.

A run directory has one config. On resume the keys in `MAY_CHANGE` may differ; any other difference is refused.
"""

import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout, lock_descriptor

from common.config import config as configs
from common.config import parts
from common.config.loggers import DEFAULT as DEFAULT_LOGGERS
from common.config.published_config import mark_foreign_code
from common.errors import UserError
from common.files import slug, write_text
from common.safe_io import expand_path
from common.storage import publication
from common.storage.runinfo import has_started

CONFIG_FILE = "config.yaml"
LOCK_FILE = ".lock"
FILES_BEFORE_RUN = (LOCK_FILE, "speed.json")  # may exist before the run
REQUIRED_KEYS = ("algo", "steps", "run")  # of every config
ABSENT_VALUE = "(absent)"  # of a key that only one of two configs has
MAX_LISTED_LINES = 15
#: Keys that older runs do not have, and the values that describe what those runs did.
DEFAULTS_OF_LATER_KEYS = {
    "env.render": "full",
    "env.action_scale": 1.0,
    "env.timeout": 0.0,
    "env.least_noops": 0,
    "run.init": "",
    "run.init_parts": "world_model",
    "run.offline": "",
    "run.batch": "global",
    "run.cuda_graphs": False,
    "run.recompute_activations": False,
    "run.max_skips": 10,
    **{"run.actors": "none", "run.actor_count": 2, "run.actor_refresh": 16, "run.actor_chunk": 16, "run.actor_cpus": 1},
    "run.ray_address": "",
    "run.logger": DEFAULT_LOGGERS,
    "run.logger_project": "dreamer",
    **{f"run.logger_{key}": "" for key in ("entity", "name", "group")},
}
MAY_CHANGE = frozenset(
    ["logdir", "steps"]
    + [f"run.{key}" for key in ("cuda_graphs", "recompute_activations")]
    + [f"run.{key}" for key in ("device", "threads", "parallel", "eval_envs", "eval_episodes", "eval_every")]
    + [f"run.{key}" for key in ("log_every", "save_every", "video_every", "max_seconds", "max_skips")]
    + [f"run.{key}" for key in ("logger", "logger_project", "logger_entity", "logger_name", "logger_group")]
    + [f"run.{key}" for key in ("actor_refresh", "actor_chunk", "actor_cpus", "ray_address")]
    + ["replay.max_gib", "env.max_failures", "env.timeout"]
)


class LogdirInUse(UserError):
    """Another process holds the lock of a run directory."""


def resolve_logdir(config: dict) -> Path:
    """Return `config['logdir']` with `{timestamp}` filled in, or `logs/<task>/<algo>/<seed>`."""
    task = "/".join(map(slug, config["task"].split("/")))  # no task name leads out of logs/
    name = config.get("logdir") or f"logs/{task}/{config['algo']}/{config['seed']}"
    return expand_path(name.replace("{timestamp}", time.strftime("%Y%m%dT%H%M%S")))


def config_digest(config: dict) -> str:
    """Return a fingerprint of the keys that must not change within a run."""
    is_default = lambda key, value: value == DEFAULTS_OF_LATER_KEYS.get(key, ABSENT_VALUE)
    flat = configs.flatten(parts.with_former_names(config)).items()  # keeps the digests of older checkpoints valid
    fixed = {key: value for key, value in flat if key not in MAY_CHANGE and not is_default(key, value)}
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()


def stored_config(logdir: Path) -> dict:
    """Return the config that the run in `logdir` was started with, with defaults for later keys.

    Code that the config of a published agent names and this program does not have is marked, see `foreign_code`.

    Raises UserError if there is no run or its config is damaged.
    """
    path = logdir / CONFIG_FILE
    if not path.is_file():
        raise UserError(f"{logdir} is not a run directory: it has no {CONFIG_FILE}. Check --logdir.")
    _check_regular_files(logdir)
    try:
        config = configs.read(path)
    except UserError as error:
        raise UserError(f"{error}\nRestore that file, or start a new run in another --logdir.") from error
    if missing := [key for key in REQUIRED_KEYS if not isinstance(config, dict) or key not in config]:
        raise UserError(f"{path} lacks {', '.join(missing)}. Restore it, or start a new run in another --logdir.")
    config = _with_later_keys(parts.with_current_names(config))
    return mark_foreign_code(config) if publication.is_published(logdir) else config


def _with_later_keys(config: dict) -> dict:
    for key, value in DEFAULTS_OF_LATER_KEYS.items():
        block, _, name = key.partition(".")
        if isinstance(config.get(block), dict):
            config[block].setdefault(name, value)
    return config


def config_changes(stored: dict, config: dict) -> dict[str, str]:
    """Return {key: 'stored -> new'} for every key whose values differ."""
    plain = _with_later_keys(json.loads(json.dumps(config)))  # as read from a file: lists in place of tuples
    text = lambda value: ABSENT_VALUE if value is None else value
    pairs = configs.differences(parts.with_current_names(stored), plain).items()
    return {key: f"{text(old)} -> {text(new)}" for key, (old, new) in sorted(pairs)}


def refused_changes(changed: dict[str, str]) -> dict[str, str]:
    """Return those of `config_changes` that are not allowed within a run."""
    return {key: text for key, text in changed.items() if key not in MAY_CHANGE}


def format_changes(changed: dict[str, str]) -> str:
    """Return a list of changes: version, task and seed first, then other keys with few dots."""
    if not changed:
        return "."
    order = sorted(changed, key=lambda key: (key.count("."), key not in ("algo", "task", "seed"), key))
    return f" (stored -> given):\n  {join_lines([f'{key}: {changed[key]}' for key in order])}"


def join_lines(lines: Sequence[str]) -> str:
    """Return the first `MAX_LISTED_LINES` lines, indented, and the count of the others."""
    more = [f"... and {len(lines) - MAX_LISTED_LINES} more"] * (len(lines) > MAX_LISTED_LINES)
    return "\n  ".join([*lines[:MAX_LISTED_LINES], *more])


def check_config(logdir: Path, config: dict) -> dict[str, str]:
    """Return how `config` differs from the stored one, if any.

    Raises UserError if the run has started training and a key differs that must not change.
    """
    changed = config_changes(stored_config(logdir), config) if (logdir / CONFIG_FILE).exists() else {}
    if (refused := refused_changes(changed)) and has_started(logdir):
        raise UserError(
            f"{logdir} belongs to a run with another config{format_changes(refused)}\n"
            "Give the stored values to resume it, or choose another --logdir."
        )
    return changed


def store_config(logdir: Path, config: dict) -> dict[str, str]:
    """Store `config` in `logdir`; return how it differs from the one stored before.

    Raises UserError as `check_config` does, with nothing changed.
    """
    changed = check_config(logdir, config)
    if changed or not (logdir / CONFIG_FILE).exists():
        write_text(logdir / CONFIG_FILE, configs.dump(config))
    changed.pop("logdir", None)
    return changed


@contextlib.contextmanager
def lock_logdir(logdir: Path, mark: str = CONFIG_FILE) -> Iterator[None]:
    """Create `logdir` if needed and lock it for this process.

    `mark` is the file that identifies the directory of a run or a grid. The lock ends with the process, also if that is
    killed; forked children do not hold it.

    Raises UserError if `logdir` is not writable, contains unrelated files or is a published agent, and LogdirInUse.
    """
    publication.refuse_to_write(logdir)
    lock = FileLock(logdir / LOCK_FILE, blocking=False, on_acquired=_write_process_id)
    try:
        with _report_unwritable(logdir):
            logdir.mkdir(parents=True, exist_ok=True)
            _check_is_run_directory(logdir, mark)
            _check_regular_files(logdir)
            lock.acquire()
    except Timeout:
        holder = (logdir / LOCK_FILE).read_text() or "?"
        raise LogdirInUse(f"{logdir} is in use by process {holder}. Stop it or choose another.") from None
    try:
        yield
    finally:
        lock.release()


def _write_process_id(descriptor: int) -> None:
    os.truncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())


def in_use(logdir: Path) -> bool:
    """Whether a process holds the lock of `logdir`."""
    try:
        with (logdir / LOCK_FILE).open("rb") as file:
            return not lock_descriptor(file.fileno(), blocking=False)
    except FileNotFoundError:
        return False


def check_directory(logdir: Path, mark: str = CONFIG_FILE) -> None:
    """Raise UserError if `logdir` has unrelated files or cannot be read. Nothing is written, and it need not exist."""
    if logdir.exists():
        with _report_unwritable(logdir):
            _check_is_run_directory(logdir, mark)


@contextlib.contextmanager
def _report_unwritable(logdir: Path) -> Iterator[None]:
    try:
        yield
    except Timeout:
        raise
    except OSError as error:
        raise UserError(
            f"Cannot write to logdir {logdir}: {error.strerror or error}. Choose another --logdir."
        ) from error


def _check_is_run_directory(logdir: Path, mark: str) -> None:
    other = [p.name for p in logdir.iterdir() if p.name not in FILES_BEFORE_RUN and not p.name.endswith(".tmp")]
    if other and not (logdir / mark).exists():
        raise UserError(
            f"{logdir} contains unrelated files ({', '.join(sorted(other)[:3])}) and no {mark}; it is not a run "
            "directory. Choose an empty or new --logdir."
        )


def _check_regular_files(logdir: Path) -> None:
    """Raise UserError if a pipe, socket or device is among the files: opening one may block indefinitely."""
    for folder, _, names in os.walk(logdir):
        for path in (Path(folder, name) for name in names):
            with contextlib.suppress(OSError):  # the reader of that file reports it
                if not stat.S_ISREG(path.stat().st_mode):
                    raise UserError(f"{path} is a pipe or a device, not a file. Remove it, or choose another --logdir.")
