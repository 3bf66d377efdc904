"""Lines about the compilation of the first update, which takes minutes in which a run shows nothing else."""

import contextlib
import time
from collections.abc import Callable, Iterator

from common.agent.agent import Agent

NOTICE = """Compiling the update. Without the results of earlier runs in torch's cache this takes one to three
minutes; the run waits. `--compile off` starts at once, with slower updates."""


@contextlib.contextmanager
def compile_notice(agent: Agent, say: Callable[[str], None]) -> Iterator[None]:
    """Say that the update in the block compiles, if it is the first of a compiled agent, and how long it took."""
    compiler = getattr(agent, "compiler", None)
    if compiler is None or compiler.used:
        yield
        return
    say(NOTICE)
    begin = time.monotonic()
    yield
    say(f"Compiled: the first update took {time.monotonic() - begin:.0f} s.")
