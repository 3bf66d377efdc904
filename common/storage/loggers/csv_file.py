"""`metrics.csv`: the lines of metrics.jsonl as one table, for spreadsheets and data frames."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.files import atomic_write
from common.safe_io import parse_json
from common.storage.loggers.run_logger import RunFacts


class CsvFile:
    """One row per line of `lines`, which is metrics.jsonl. A cell is empty if the line lacks that metric.

    `lines` must hold a row before it is added here. The first row of a process, and one with a new name, make the table
    again from `lines`. So it always has the same rows, also after a resume, or if it was not chosen from the start.
    """

    def __init__(self, path: Path, lines: Path):
        self.path, self.lines = path, lines
        self.columns: list[str] = []

    def start(self, facts: RunFacts) -> None:
        """Do nothing: the table is written with its first row."""

    def scalars(self, counters: dict[str, float], metrics: dict[str, float], wall: float) -> None:
        """Append a row."""
        row = {**counters, **metrics}
        if row.keys() - set(self.columns):
            self._rewrite()
        else:
            with self.path.open("ab") as file:
                file.write(_encode(row, self.columns))

    def film(self, name: str, path: Path, size: tuple[int, int], frames: int, wall: float) -> None:
        """Do nothing: a table has no films."""

    def close(self, end: str) -> None:
        """Do nothing: the table is closed after each row."""

    def _rewrite(self) -> None:
        self.columns = list(dict.fromkeys(name for row in self._stored() for name in row))
        with atomic_write(self.path) as file:
            file.write(_encode({name: name for name in self.columns}, self.columns))
            for row in self._stored():
                file.write(_encode(row, self.columns))

    def _stored(self) -> Iterator[dict[str, Any]]:
        with self.lines.open("rb") as file:
            yield from map(parse_json, file)


def _encode(row: dict[str, Any], columns: list[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.DictWriter(text, columns, restval="", lineterminator="\n").writerow(row)
    return text.getvalue().encode()
