"""The space of a search: a YAML file of config keys with their values, checked before anything runs.

optim.lr.model: {low: 1e-5, high: 1e-3, log: true}
batch_size: {low: 8, high: 32, step: 8}
kl.use: {choices: [PlainKL, BalancedKL]}
configs: {choices: [size1m, size12m]}
"""

import fnmatch
import itertools
from pathlib import Path
from typing import Any, NamedTuple

from common.config import config as configs
from common.config.request import Request
from common.errors import UserError
from common.experiments.variant import Setting
from common.experiments.version_flags import SHARED_KEYS, with_own_flags
from common.safe_io import is_finite_number

FIELDS = {"low", "high", "log", "step", "int", "choices"}
#: Key that no search may change -> what to type instead.
REFUSED_KEYS = {key: instead for key, instead in SHARED_KEYS.items() if key not in ("algo", "task")}
REFUSED_KEYS |= {"algo": "--algo", "task": "--task", "features": "--features", "run.logger*": "--logger"}


class Dimension(NamedTuple):
    """Values of one key: `choices`, or numbers from `low` to `high`. step: 0 for all numbers in between."""

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float = 0.0
    whole: bool = False

    def probes(self) -> list[Any]:
        """Return values that stand for all others: every choice, or both ends."""
        return list(self.choices) or [self.low, self.high]

    def describe(self) -> str:
        """Return the values as text."""
        if self.choices:
            return ", ".join(map(str, self.choices))
        extra = ", on a logarithmic scale" * self.log + (f" in steps of {self.step:g}" if self.step else "")
        return f"{self.low:g} to {self.high:g}{', whole numbers' * self.whole}{extra}"


def read_space(path: Path, config: dict[str, Any]) -> list[Dimension]:
    """Return the dimensions of a file. config: of the version; integers in it are searched as whole numbers.

    Raises UserError for a file that is not a space, and for a key that no search may change.
    """
    found = configs.read(path)
    if not isinstance(found, dict) or not found:
        raise UserError(f"{path} is not a space. It needs lines such as\n  kl.free: {{low: 0.1, high: 3.0}}")
    return [make_dimension(key, value, config) for key, value in _join("", found).items()]


def _join(prefix: str, tree: dict) -> dict[str, Any]:
    """{'optim': {'lr': {'model': {'low': ...}}}} -> {'optim.lr.model': {'low': ...}}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        is_group = isinstance(value, dict) and value and not any(name in FIELDS for name in value)
        flat |= _join(f"{prefix}{key}.", value) if is_group else {f"{prefix}{key}": value}
    return flat


def make_dimension(key: str, entry: Any, config: dict[str, Any]) -> Dimension:
    """Return the dimension of a key from its entry in the file. Raises UserError if the entry is malformed."""
    for name, instead in REFUSED_KEYS.items():
        if fnmatch.fnmatchcase(key, name) or fnmatch.fnmatchcase(name, key):
            raise UserError(f"{key} cannot be searched: it is the same for all trials. Use {instead}.")
    if not isinstance(entry, dict) or (unknown := set(entry) - FIELDS) or not entry:
        wrong = f", not {', '.join(map(str, sorted(unknown)))}" if isinstance(entry, dict) and entry else ""
        raise UserError(f"{key} needs {{low: 0.1, high: 3.0}} or {{choices: [8, 16]}}{wrong}. {_fields()}")
    if "choices" in entry:
        return _choices(key, entry)
    return _numbers(key, entry, config)


def _fields() -> str:
    return "Numbers also take log: true, step: 0.5 and int: true."


def _choices(key: str, entry: dict[str, Any]) -> Dimension:
    choices = entry["choices"]
    plain = isinstance(choices, list) and all(isinstance(one, str | int | float) for one in choices)
    if not plain or len({str(one) for one in choices}) < max(2, len(choices)) or len(entry) > 1:
        raise UserError(f"{key}: choices is a list of two or more different values, without other fields, got {entry}.")
    return Dimension(key, tuple(choices))


def _numbers(key: str, entry: dict[str, Any], config: dict[str, Any]) -> Dimension:
    if key == "configs":
        raise UserError("configs takes {choices: [...]}, a list of config blocks.")
    names = configs.matching_keys(config, key)
    default = configs.get(config, names[0])
    low: Any = entry.get("low")
    high: Any = entry.get("high")
    step: Any = entry.get("step", 0)
    if isinstance(default, bool | str) and not is_finite_number(default):
        raise UserError(f"{key} is {default!r}: it takes {{choices: [...]}}.")
    if not (is_finite_number(low) and is_finite_number(high) and low < high):
        raise UserError(f"{key} needs numbers with low < high, got low {low} and high {high}.")
    log, whole = bool(entry.get("log")), bool(entry.get("int", isinstance(default, int)))
    if log and low <= 0:
        raise UserError(f"{key}: a logarithmic scale needs low above 0, got {low}.")
    if not is_finite_number(step) or step < 0 or (log and step):
        raise UserError(f"{key}: step is a number above 0, and not for log: true, got {step}.")
    if whole and any(value != int(value) for value in (low, high, step)):
        raise UserError(f"{key} takes whole numbers, got {', '.join(f'{name} {entry[name]}' for name in entry)}.")
    kind = int if whole else float
    return Dimension(key, (), kind(low), kind(high), log, kind(step), whole)


def with_values(request: Request, values: dict[str, Any]) -> Request:
    """Return the request of a trial."""
    own = {key: [str(value)] if key == "configs" else _text(value) for key, value in values.items()}
    return with_own_flags(request, own)._replace(own={})


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def check_space(request: Request, space: list[Dimension], setting: Setting) -> None:
    """Raise UserError for a wrong key or value, for one from which no agent can be built, and for one without effect.

    Tries every choice and both ends of each range, one key at a time.
    """
    for dimension in space:
        resolved = []
        for value in dimension.probes():
            name = f"{dimension.key}={value}"
            try:
                found = setting.configs(with_values(request, {dimension.key: value}))
                problem = setting.problem(found)
            except UserError as error:
                problem = str(error)
            if problem:
                raise UserError(f"{name} does not work with {request.algo}. {problem}")
            resolved.append((name, found))
        for one, two in itertools.pairwise(resolved):
            if not setting.effects(one[1], two[1]):
                where = ", ".join(setting.tasks)
                raise UserError(f"{one[0]} and {two[0]} have the same effect on {where}. Change or omit the key.")
