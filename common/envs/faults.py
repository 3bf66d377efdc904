"""Exceptions of environments with their place, errors of `close`, and a command line of an environment's own."""

import contextlib
import functools
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium

from common.errors import error_text
from common.signals import pass_on_interrupt

HUB = str(Path(__file__).parents[1])  # common
STDLIB = sysconfig.get_paths()["stdlib"]
EXIT_OF_PARSERS = 2  # exit code of argparse and others after wrong arguments

#: Module -> package, where their names differ.
PACKAGES = {
    "cv2": "opencv-python",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "Box2D": "gymnasium[box2d]",
    "ale_py": "ale-py",
    "highway_env": "highway-env",
    "memory_maze": "memory-maze",
    "mujoco_py": "mujoco-py",
}


def describe_error(error: BaseException) -> str:
    """Return an exception in one line without a full stop: type, text and place.

    The place is the last one in the environment's own code; if only installed packages took part, or if the exception
    has no text, the last one outside of Python and the hub. The text of an assertion without words is its source.
    """
    frames = _frames(error)
    text, own = error_text(error), [frame for frame in frames if not _is_installed(frame.filename)]
    places = frames if not text else own or frames
    if isinstance(error, AssertionError) and not text and frames:
        text = frames[-1].line or ""
    if isinstance(error, SystemExit) and error.code == EXIT_OF_PARSERS:
        text += ", as if by a parser of the command line (argparse): environments get a sys.argv without arguments"
    found = [f" ({frame.filename}, line {frame.lineno}, in {frame.name})" for frame in places[-1:]]
    return f"{type(error).__name__}: {text}".rstrip(".: ") + "".join(found)


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Return the frames of an exception outside of Python and the hub; those of its cause if all are installed code."""
    outside = [f for f in traceback.extract_tb(error.__traceback__) if not _is_python_or_hub(f.filename)]
    if error.__cause__ is not None and all(_is_installed(frame.filename) for frame in outside):
        return _frames(error.__cause__) or outside
    return outside


def _is_installed(file: str) -> bool:
    return "site-packages" in file or "dist-packages" in file


def _is_python_or_hub(file: str) -> bool:
    python = file.startswith("<frozen") or (file.startswith(STDLIB) and not _is_installed(file))
    return python or file.startswith(HUB)


def missing_module_hint(error: BaseException | None) -> str:
    """Return what to install if an exception, or one of its causes, is a missing module; else an empty string."""
    while error is not None and not (isinstance(error, ModuleNotFoundError) and error.name):
        error = error.__cause__
    if error is None:
        return ""
    name = str(error.name)
    top = name.partition(".")[0]
    if sys.modules.get(top) is not None or (top != name and importlib.util.find_spec(top) is not None):
        return f" The installed {top} has no {name}: another release of it may have it."
    return f" Try pip install {PACKAGES.get(top, top)}."


@contextlib.contextmanager
def hidden_arguments() -> Iterator[None]:
    """Empty the arguments in sys.argv in a block: they are not meant for an environment that parses its own."""
    arguments = sys.argv
    before = arguments[:]
    del arguments[1:]
    try:
        yield
    finally:
        arguments[:] = before
        sys.argv = arguments


class ContainedCalls(gymnasium.Wrapper):
    """Hides the command line from the environment, and contains any exception of `close`.

    `close_failure` is that exception in one line, or an empty string. It is printed once and not raised: the episodes
    are over then, and their results complete.
    """

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        self.close_failure = ""

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        with hidden_arguments():
            return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        with hidden_arguments():
            return self.env.step(action)  # type: ignore[return-value]

    def render(self) -> Any:
        with hidden_arguments():
            return self.env.render()

    def close(self) -> None:
        try:
            with hidden_arguments():
                self.env.close()
        except BaseException as error:
            pass_on_interrupt(error)
            self.close_failure = f"close failed with {describe_error(error)}"
            _print_once(f"Note: {self.close_failure}. Nothing is lost.")


@functools.cache
def _print_once(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
