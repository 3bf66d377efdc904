"""Tables that commands print: fitted to a terminal, plain lines of any length elsewhere."""

import io
import os
import re
import sys
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

NUMBER = re.compile(r"[-−+]?\d|–?$")  # the beginning of a number, or of a cell without one
PLAIN_WIDTH = 100_000  # columns outside of a terminal: no line is wrapped or cut


class StreamConsole(Console):
    """A console that leaves a closed pipe to the caller, as `print` does."""

    def on_broken_pipe(self) -> None:
        """Re-raise the BrokenPipeError. rich would exit with code 1."""
        raise  # the error that rich is handling


def make_console(stream: TextIO | None = None) -> StreamConsole:
    """Return a console for `stream` (stdout by default) that sends escape codes to terminals only.

    A dumb terminal counts as no terminal. Under NO_COLOR, rich omits colors. Text has no markup.
    """
    stream = stream or sys.stdout
    terminal = stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    width = None if terminal else PLAIN_WIDTH
    return StreamConsole(file=stream, force_terminal=terminal, width=width, highlight=False, markup=False, emoji=False)


def table(rows: Sequence[Sequence[str]]) -> Table:
    """Return rows of texts as a table. The first row is the head; columns of numbers are aligned to the right."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head, *body in zip(*rows, strict=True):
        numbers = all(NUMBER.match(text) for text in body)
        made.add_column(Text(head), justify="right" if numbers else "left", overflow="fold")
    for row in rows[1:]:
        made.add_row(*map(Text, row))
    return made


def listing(rows: Sequence[tuple[str, str]]) -> Table:
    """Return names and texts in two columns."""
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True, style="bold")
    made.add_column(overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    return made


def show(*blocks: RenderableType) -> None:
    """Print blocks with blank lines between them. Outside of a terminal, lines have no trailing spaces."""
    console = make_console()
    if not console.is_terminal:
        print("\n\n".join(map(to_text, blocks)), flush=True)
        return
    for number, block in enumerate(blocks):
        console.print(*[""] * bool(number), block, sep="\n")


def to_text(block: RenderableType) -> str:
    """Return a block as plain text."""
    console = make_console(io.StringIO())
    with console.capture() as captured:
        console.print(block)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
