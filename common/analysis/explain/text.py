"""Rows as text for a terminal, or as Markdown."""

import itertools
import textwrap

from common.analysis.explain.entries import Explanation
from common.analysis.explain.rows import KeyRow, Note

WIDTH = 110
FACTS = ("formula", "source", "only", "file")


def terminal(names: list[str], rows: list[KeyRow]) -> str:
    """Concept by concept, each key with its values and what is known of it. names: of the configs."""
    blocks = []
    for concept, group in itertools.groupby(rows, lambda row: row.concept):
        blocks += [f"{concept}\n{'─' * len(concept)}", *(block(names, row) for row in group)]
    return "\n\n".join(blocks)


def block(names: list[str], row: KeyRow) -> str:
    """One key in several lines."""
    return "\n".join([f"{row.key}  {values(names, row)}", *(line for note in row.notes for line in lines(note))])


def values(names: list[str], row: KeyRow) -> str:
    """`= value`, `old → new`, or for more configs each with its name."""
    if row.same:
        return f"= {row.values[0]}"
    if len(names) == 2:
        return " → ".join(row.values)
    return "   ".join(f"{name} {value}" for name, value in zip(names, row.values, strict=True))


def lines(note: Note) -> list[str]:
    """A note with its facts below it, indented."""
    title, indent = (f"{note.title}: ", 4) if note.title else ("", 2)
    below = (wrapped(f"{name:9}{fact}", indent + 2, 9) for name, fact in facts(note).items())
    return [*wrapped(title + note.entry.what, indent, 0), *itertools.chain.from_iterable(below)]


def facts(note: Note) -> dict[str, str]:
    """Name -> what is known beside the description, as far as it is."""
    found = {"formula": note.entry.formula, "source": note.entry.source, "file": ", ".join(note.files)}
    found["only"] = f"with {note.entry.only}" if note.entry.only else ""
    return {name: found[name] for name in FACTS if found[name]}


def wrapped(text: str, indent: int, hang: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + hang))


def markdown(names: list[str], rows: list[KeyRow]) -> str:
    """A table for each concept."""
    head = ["key", *names, "what it does", *FACTS[:2], "file"]
    tables = []
    for concept, group in itertools.groupby(rows, lambda row: row.concept):
        body = [cells(row, note) for row in group for note in row.notes]
        tables.append("\n".join([f"## {concept}", "", *map(line, [head, ["---"] * len(head), *body])]))
    return "\n\n".join(tables)


def cells(row: KeyRow, note: Note) -> list[str]:
    """Cells of a key, or of one of the parts it names: that has no values of its own."""
    entry, found = note.entry, facts(note)
    first = [note.title, *("" for _ in row.values)] if note.title else [f"`{row.key}`", *row.values]
    return [*first, sentence(entry), found.get("formula", ""), entry.source, found.get("file", "")]


def sentence(entry: Explanation) -> str:
    return f"{entry.what} (only with {entry.only})" if entry.only else entry.what


def line(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
