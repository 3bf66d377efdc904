"""The config, `run.json`, `eval.json` and `scores.jsonl` of a run without private data.

Paths, host names and command lines are dropped. `run.json`, `eval.json` and `scores.jsonl` keep named fields only.
"""

import copy
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from common.config import config as configs
from common.errors import UserError
from common.safe_io import parse_json, read_bytes, read_json

#: Config keys whose values are paths, or names of a user or a team.
LOCAL_KEYS = ("logdir", "run.init", "run.offline", "run.logger_entity", "run.logger_name", "run.logger_group")
DEFAULT_KEYS = {"run.device": "auto", "run.threads": 0, "run.parallel": "auto", "run.eval_envs": 1}  # of the machine
RUN_KEYS = ("task", "algo", "seed", "render", "frames", "updates", "wall", "parameters", "peak_memory", "resumes")
SESSION_KEYS = ("started", "git", "python", "packages", "hardware", "threads", "frames")
SCORE_KEYS = ("task", "method", "seed", "kind", "xs", "ys")
EVAL_KEYS: tuple[str, ...] = (
    "task",
    "method",
    "seed",
    "frames",
    "mode",
    "mean",
    "std",
    "interval",
    "n",
    "requested",
    "broken",
)
EVAL_KEYS += ("scores", "lengths", "render")
#: A path: from a slash, ~, ./ or ../ at the start of a word to its end.
PATH = re.compile(r"(?<![^\s\"'=,;(])(?:~[\w.-]*|\.{1,2})?/[^\s\"',;)]+")


def public_text(text: str) -> str:
    """Return `text` with every path shortened to its last part: /home/me/env.py:MyEnv is env.py:MyEnv."""
    return PATH.sub(lambda match: PurePosixPath(match[0]).name, text)


def public_name(name: str) -> str:
    """Return a task or a part without the folder of its file: envs/my_env.py:MyEnv is my_env.py:MyEnv."""
    return PurePosixPath(name).name if ".py:" in name else public_text(name)


def public_config(config: dict) -> dict:
    """Return a config without paths, and with the settings of the machine at their defaults."""
    clean = copy.deepcopy(config)
    for key, value in [(key, "") for key in LOCAL_KEYS] + list(DEFAULT_KEYS.items()):
        *groups, last = key.split(".")
        node = clean[groups[0]] if groups else clean
        if last in node:
            node[last] = value
    return _public(clean)


def _public(value: Any) -> Any:
    """Return nested values with all texts without paths."""
    if isinstance(value, dict):
        return {public_text(str(key)): _public(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_public(child) for child in value]
    return public_name(value) if isinstance(value, str) else value


def public_fields(found: Any, keys: Iterable[str]) -> dict:
    """Return the named fields of a JSON object without paths; {} for any other value."""
    return {key: _public(found[key]) for key in keys if key in found} if isinstance(found, dict) else {}


def public_run(found: Any) -> dict:
    """Return the content of `run.json` without commands."""
    sessions = found.get("sessions") if isinstance(found, dict) else None
    kept = [public_fields(one, SESSION_KEYS) for one in sessions] if isinstance(sessions, list) else []
    return public_fields(found, RUN_KEYS) | {"sessions": kept}


def public_files(logdir: Path, config: dict) -> dict[str, str]:
    """Return the text of each file by its name; `eval.json` and `scores.jsonl` only if the run has them.

    Raises UserError if a file is damaged.
    """
    dump = lambda value: json.dumps(value, indent=1, allow_nan=False) + "\n"
    texts = {"config.yaml": configs.dump(public_config(config))}
    try:
        if (logdir / "run.json").exists():
            texts["run.json"] = dump(public_run(read_json(logdir / "run.json")))
        if (logdir / "eval.json").exists():
            texts["eval.json"] = dump(public_fields(read_json(logdir / "eval.json"), EVAL_KEYS))
        if (logdir / "scores.jsonl").exists():
            rows = [parse_json(line) for line in read_bytes(logdir / "scores.jsonl").splitlines()]
            lines = [json.dumps(public_fields(row, SCORE_KEYS), allow_nan=False) for row in rows]
            texts["scores.jsonl"] = "".join(f"{line}\n" for line in lines)
    except (OSError, ValueError) as error:
        raise UserError(f"A file of {logdir} cannot be read: {error}. Restore it, or remove it.") from error
    return texts


def mentions(texts: Mapping[str, str], private: Iterable[str]) -> list[str]:
    """Return a line for each file that contains one of the private words."""
    found = [(name, word) for name, text in texts.items() for word in private if len(word) > 3 and word in text]
    return [f"{name} contains {word!r}" for name, word in found]
