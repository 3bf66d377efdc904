"""The folder of one run: who may use it, and with which config.

A folder belongs to one config. On resume a few keys may differ, those in `MAY_CHANGE`; any other difference is refused.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from common.errors import UserError
from common.files import write_text

CONFIG = "config.yaml"
LOCK = ".lock"
MAY_CHANGE = frozenset(
    ["logdir", "steps"]
    + [f"run.{key}" for key in ("device", "threads", "parallel", "eval_envs", "eval_episodes", "eval_every")]
    + [f"run.{key}" for key in ("log_every", "save_every", "video_every")]
    + ["replay.max_gib", "env.max_failures"]
)


def resolve(config: dict) -> Path:
    """Folder of the run: `config['logdir']` with `{timestamp}` filled in, or `logs/<task>/<algo>/<seed>`."""
    name = config.get("logdir") or f"logs/{config['task'].replace(':', '_')}/{config['algo']}/{config['seed']}"
    return Path(name.replace("{timestamp}", time.strftime("%Y%m%dT%H%M%S"))).expanduser()


def flatten(config: dict, prefix: str = "") -> dict[str, Any]:
    """`{'run': {'envs': 1}}` as `{'run.envs': 1}`."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def digest(config: dict) -> str:
    """Fingerprint of every key that must not change within a run."""
    fixed = {key: value for key, value in flatten(config).items() if key not in MAY_CHANGE}
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()


def differences(stored: dict, config: dict) -> dict[str, str]:
    """`{key: 'stored -> new'}` for every key with another value; an absent key counts as a value."""
    old, new = flatten(stored), flatten(json.loads(json.dumps(config)))
    keys = [key for key in sorted({*old, *new}) if old.get(key, "(absent)") != new.get(key, "(absent)")]
    return {key: f"{old.get(key, '(absent)')} -> {new.get(key, '(absent)')}" for key in keys}


def stored_config(logdir: Path) -> dict:
    """Config that the run in `logdir` was started with; UserError where there is none."""
    path = logdir / CONFIG
    try:
        config = YAML(typ="safe", pure=True).load(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{logdir} is not the logdir of a run: it has no {CONFIG}. Check --logdir.") from None
    except (OSError, YAMLError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path} holds no config. Restore it, or start afresh in another --logdir.")
    return config


@contextlib.contextmanager
def claim(logdir: Path) -> Iterator[None]:
    """Creates `logdir` if needed and holds it for this process alone.

    Raises UserError where it cannot be written, holds other things, or is in use.
    """
    try:
        logdir.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(logdir)
        lock = (logdir / LOCK).open("a+")
    except OSError as error:
        raise UserError(f"Cannot write to logdir {logdir}: {error.strerror}. Choose another --logdir.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise UserError(f"{logdir} is in use by process {lock.read() or '?'}. Stop it or choose another.") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def adopt(logdir: Path, config: dict) -> dict[str, str]:
    """Stores `config` in `logdir`; returns how it differs from the one stored there before.

    Raises UserError, and changes nothing, if a key differs that is not in `MAY_CHANGE`.
    """
    changed = differences(stored_config(logdir), config) if (logdir / CONFIG).exists() else {}
    refused = [f"  {key}: {change}" for key, change in changed.items() if key not in MAY_CHANGE]
    if refused:
        raise UserError(
            f"{logdir} belongs to a run with another config (stored -> given):\n" + "\n".join(refused) + "\n"
            "Give the stored values to go on with it, or choose another --logdir."
        )
    if changed or not (logdir / CONFIG).exists():
        write_text(logdir / CONFIG, dump(config))
    changed.pop("logdir", None)
    return changed


def dump(config: dict) -> str:
    """`config` as YAML."""
    yaml, text = YAML(typ="safe", pure=True), io.StringIO()
    yaml.default_flow_style, yaml.width, yaml.sort_base_mapping_type_on_output = False, 120, False
    yaml.dump(config, text)
    return text.getvalue()


def _refuse_foreign(logdir: Path) -> None:
    ours = (logdir / CONFIG).exists()
    other = [p.name for p in logdir.iterdir() if p.name != LOCK and not p.name.endswith(".tmp")]
    if other and not ours:
        raise UserError(
            f"{logdir} holds other things ({', '.join(sorted(other)[:3])}) and no {CONFIG}, so it is not the logdir "
            "of a run. Choose an empty or new --logdir."
        )
