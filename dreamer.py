"""Train, evaluate and compare DreamerV1, V2 and V3, on the command line or in Python.

`python dreamer.py --help` lists the commands; `python dreamer.py COMMAND --help` shows one of them. Each command is a
module in common/commands/. The versions v1, v2, v3 and v3-2023 are a table in common/config/versions.py.

In Python: `from dreamer import train, evaluate, compare, report, load, make_config, DreamEnv`: docs/python.md.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

INSTALL_HINT = """Type `make install` (without make: `python3 -m venv .venv` and
`.venv/bin/python -m pip install -r requirements.txt`), then `.venv/bin/python dreamer.py ...`."""

MEMORY_HINT = """Lower --batch_size, --batch_length or the size of the networks, or stop other programs that hold
memory. `python dreamer.py plan` with the flags of a run shows what it needs. A run resumes from its last checkpoint."""

if sys.version_info < (3, 11):  # noqa: UP036 (an older Python prints this instead of a traceback)
    print(f"Error: Python 3.11 or newer is needed, this is {sys.version.split()[0]}.", file=sys.stderr)
    sys.exit(2)
if "OMP_WAIT_POLICY" not in os.environ:  # before torch loads OpenMP; measured in benchmarks/README.md
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
try:
    from common.commands import command_function, first_words, legacy_cli, seed_variables, stdio
    from common.commands.command_line import command_input, information, parse
    from common.config import notices
    from common.config.versions import ALGOS, DEFAULT_ALGO, ENVIRONMENT_BLOCKS, block_names, recipe, resolve
    from common.deploy.policy import load
    from common.distributed import torchrun
    from common.doctor import startup
    from common.doctor.packages import packages
    from common.errors import UserError
    from common.nn.allocator import is_out_of_memory, keep_freed_memory
    from common.processes import end_command
except Exception as failure:
    from common.doctor import startup

    if not startup.is_program(__name__):
        raise
    sys.exit(startup.report_failed_import(failure, INSTALL_HINT))

if TYPE_CHECKING:
    from common.api.comparisons import compare, report
    from common.api.configs import make_config
    from common.api.runs import evaluate, train
    from common.viewer.dream_env import DreamEnv

__all__ = ["DreamEnv", "UserError", "compare", "evaluate", "load", "make_config", "report", "train"]  # docs/python.md
__all__ += ["ALGOS", "command_input", "main", "parse", "recipe", "resolve"]

#: Name -> its module, imported when it is first used: the command line starts without it.
LATE_IMPORTS = {
    "DreamEnv": "common.viewer.dream_env",
    "compare": "common.api.comparisons",
    "evaluate": "common.api.runs",
    "make_config": "common.api.configs",
    "report": "common.api.comparisons",
    "train": "common.api.runs",
}


def __getattr__(name: str) -> Any:
    if name in LATE_IMPORTS:
        return getattr(importlib.import_module(LATE_IMPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def error_text(error: UserError | OSError) -> str:
    """Return the message of an error for users."""
    if isinstance(error, UserError):
        return str(error)
    path = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{path}. Check the path, permissions and free space."


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line. Returns the exit code: 0, or 2 after an error that the user can fix."""
    words = list(sys.argv[1:] if argv is None else argv)
    stdio.prepare_streams()
    return stdio.run_until_pipe_closes(lambda: execute(words))


def execute(argv: list[str]) -> int:
    """Run a command line and print its error, if any. Returns the exit code."""
    keep_freed_memory()
    notices.drop_all()
    try:
        words = seed_variables.translate([word for word in argv if word != "--debug"], os.environ)
        words = first_words.translate(words, first_words.Names(ALGOS, block_names(), ENVIRONMENT_BLOCKS))
        if text := information(words):
            print(text, flush=True)
            return 0
        command, *parsed = parse(legacy_cli.translate(words, DEFAULT_ALGO))
        torchrun.refuse_command(command)
        command_function(command)(command_input(command, *parsed))
        notices.print_all()
    except KeyboardInterrupt:
        stdio.print_error("Interrupted.")
        return 130
    except Exception as error:
        if "--debug" in argv or stdio.is_closed_pipe(error):
            raise
        torchrun.leave_error_to_first()
        return report_error(error)
    return 0


def report_error(error: Exception) -> int:
    """Print what went wrong and return the exit code: 2 if the user can fix it, else 1."""
    if isinstance(error, UserError | OSError):
        stdio.print_error(f"Error: {error_text(error)}")
        return 2
    if is_out_of_memory(error):
        stdio.print_error(f"Error: Not enough memory. {MEMORY_HINT}")
        return 2
    name = type(error).__name__
    stdio.print_error(f"Error: {name}: {error}. A setting does not work, or this is a bug: --debug shows where.")
    if problem := startup.version_problem(list(packages())):
        stdio.print_error(problem)
    return 1


def run() -> NoReturn:
    """Run the command line of this process and end it, even if an environment left threads or processes."""
    try:
        code = main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    end_command(code)


if __name__ == "__main__":
    run()
