"""Explained keys as text for a terminal, or as Markdown."""

import itertools
import textwrap

from common.analysis.explain.rows import KeyRow, Note

WIDTH = 110


def terminal(names: list[str], rows: list[KeyRow]) -> str:
    """Return each key with its values and notes, concept by concept. names: of the configs."""
    blocks = []
    for concept, group in itertools.groupby(rows, lambda row: row.concept):
        blocks.append(f"{concept}\n{'─' * len(concept)}")
        for row in group:
            blocks.append(
                "\n".join([f"{row.key}  {_values(names, row)}", *(line for n in row.notes for line in _lines(n))])
            )
    return "\n\n".join(blocks)


def _values(names: list[str], row: KeyRow) -> str:
    """Return `= value`, `old → new`, or with more than two configs `name value` for each."""
    if len(set(row.values)) == 1:
        return f"= {row.values[0]}"
    if len(names) == 2:
        return " → ".join(row.values)
    return "   ".join(f"{name} {value}" for name, value in zip(names, row.values, strict=True))


def _lines(note: Note) -> list[str]:
    """Return a note with its facts below it, indented."""
    title, indent = (f"{note.title}: ", " " * 4) if note.title else ("", " " * 2)
    lines = textwrap.wrap(title + note.entry.what, WIDTH, initial_indent=indent, subsequent_indent=indent)
    only = f"with {note.entry.only}" if note.entry.only else ""
    facts = {"formula": note.entry.formula, "source": note.entry.source, "only": only, "file": ", ".join(note.files)}
    for name, fact in facts.items():
        head, hang = f"{indent}  {name:9}", f"{indent}{' ' * 11}"
        lines += textwrap.wrap(fact, WIDTH, initial_indent=head, subsequent_indent=hang)
    return lines


def markdown(names: list[str], rows: list[KeyRow]) -> str:
    """Return a table for each concept."""
    head = ["key", *names, "what it does", "formula", "source", "file"]
    tables = []
    for concept, group in itertools.groupby(rows, lambda row: row.concept):
        body = [_cells(row, note) for row in group for note in row.notes]
        lines = [
            f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"
            for row in [head, ["---"] * len(head), *body]
        ]
        tables.append("\n".join([f"## {concept}", "", *lines]))
    return "\n\n".join(tables)


def _cells(row: KeyRow, note: Note) -> list[str]:
    """Return the cells of a key, or of a part that it names, which has no values of its own."""
    entry = note.entry
    first = [note.title, *("" for _ in row.values)] if note.title else [f"`{row.key}`", *row.values]
    what = f"{entry.what} (only with {entry.only})" if entry.only else entry.what
    return [*first, what, entry.formula, entry.source, ", ".join(note.files)]
