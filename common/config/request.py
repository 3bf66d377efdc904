"""A parsed command line, for commands about several runs or about no run."""

from collections.abc import Callable
from typing import Any, NamedTuple

from common.config import notices


class Request(NamedTuple):
    """A parsed command line.

    positionals: the words between the command and the first flag. algo: the version from --algo, or None. blocks,
    borrowed, flags: --configs, --features (feature -> version) and config keys (as typed), for every run. options: the
    command's own flags, typed by their defaults. resolve(algo, blocks, flags, borrowed) returns a complete config and
    raises UserError for anything unknown. algos: the versions. default_algo: the version without --algo.
    own: the flags among `flags` and `blocks` that only this version of a comparison has.
    """

    positionals: list[str]
    algo: str | None
    blocks: list[str]
    borrowed: dict[str, str]
    flags: dict[str, Any]
    options: dict[str, Any]
    resolve: Callable[..., dict]
    algos: tuple[str, ...]
    default_algo: str = ""
    own: dict[str, Any] = {}  # noqa: RUF012 (read only)

    def single_algo(self) -> str:
        """Return the version, for a command about one."""
        return algo_or_default(self.algo, self.algos, self.default_algo)

    def given_flags(self) -> list[str]:
        """Return the flags that were typed, except the command's own."""
        given = {"algo": self.algo, "configs": self.blocks, "features": self.borrowed}
        return [f"--{key}" for key in (*(key for key, value in given.items() if value), *self.flags)]

    def config(self, algo: str, **flags: Any) -> dict:
        """Return the config of a version for this request, with further flags (dots as `__`) applied."""
        extra = {key.replace("__", "."): value for key, value in flags.items()}
        return self.resolve(algo, self.blocks, self.flags | extra, self.borrowed)

    def train_arguments(self, **flags: Any) -> list[str]:
        """Return the words after `dreamer.py train` that give `config(self.algo, **flags)`."""
        given = self.flags | {key.replace("__", "."): value for key, value in flags.items()}
        words = ["--algo", str(self.algo)]
        words += ["--configs", *self.blocks] if self.blocks else []
        words += ["--features", *(f"{name}={algo}" for name, algo in self.borrowed.items())] if self.borrowed else []
        return [*words, *(word for key, value in given.items() for word in (f"--{key}", str(value)))]


def algo_or_default(algo: str | None, algos: tuple[str, ...], default: str) -> str:
    """Return the version, or the default with a notice if it is None."""
    if algo is None:
        others = ", ".join(name for name in algos if name != default)
        notices.add(f"No --algo given: this is {default}. Others: {others}.")
    return algo or default
