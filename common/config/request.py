"""What a command line asks of a tool: a command about several runs, or about none."""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple


class Request(NamedTuple):
    """A parsed command line.

    words: what stands between the command and the first flag. algo: the version named by --algo, or None. blocks,
    borrowed, flags: --configs, --features (feature -> version) and config keys (as typed) that hold for every run.
    own: the tool's own flags, typed by their defaults. resolve(algo, blocks, flags, borrowed) makes a complete config
    and raises UserError for anything unknown; algos are the versions it knows, default the one that
    --algo need not name.
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

    def single_algo(self) -> str:
        """The one version that a command is about."""
        return algo_or_default(self.algo, self.algos, self.default_algo)

    def given_flags(self) -> list[str]:
        """Flags that were given, but for the tool's own."""
        asked = {"algo": self.algo, "configs": self.blocks, "features": self.borrowed}
        return [f"--{key}" for key in (*(key for key, value in asked.items() if value), *self.flags)]

    def config(self, algo: str, **flags: Any) -> dict:
        """Resolved config of a version as this request has it, with further flags (dots as `__`) on top."""
        extra = {key.replace("__", "."): value for key, value in flags.items()}
        return self.resolve(algo, self.blocks, self.flags | extra, self.borrowed)

    def train_arguments(self, **flags: Any) -> list[str]:
        """Words after `dreamer.py train` that mean `config(self.algo, **flags)`."""
        given = self.flags | {key.replace("__", "."): value for key, value in flags.items()}
        words = ["--algo", str(self.algo)]
        words += ["--configs", *self.blocks] if self.blocks else []
        words += ["--features", *(f"{name}={algo}" for name, algo in self.borrowed.items())] if self.borrowed else []
        return [*words, *(word for key, value in given.items() for word in (f"--{key}", str(value)))]


def algo_or_default(algo: str | None, algos: tuple[str, ...], default: str) -> str:
    """A version, or the default one where none is named, which is said aloud."""
    if algo is None:
        others = ", ".join(name for name in algos if name != default)
        print(f"No --algo given: this is {default}. Others: {others}.", file=sys.stderr)
    return algo or default
