"""Progress of a grid: values read from the ends of files, rows, the estimated time left, and both kinds of output."""

import io
import json

import pytest

from common.experiments.grid.run_progress import (
    METRICS_TAIL_BYTES,
    RunProgress,
    is_evaluated,
    is_trained,
    latest_values,
    read_progress,
)
from common.experiments.grid.table import COLUMNS, ProgressRow, ProgressTable, select_rows, summarize

CONFIG = {"steps": 1000, "run": {"max_seconds": 0}}
HALF = RunProgress(frames=500, wall=100.0, score=12.34, speed=5.4, share=0.5, left=100.0, updates=40)


def write_metrics(folder, *lines):
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_info(folder, **values):
    (folder / "run.json").write_text(json.dumps({"sessions": [{}], **values}))


def test_the_last_value_of_each_metric_is_used(tmp_path):
    write_metrics(
        tmp_path,
        {"frames": 100, "updates": 5, "wall": 2.0, "episode/score": 1.0, "fps/env": 50.0},
        {"frames": 200, "wall": 4.0, "episode/score": 3.0, "eval/score": 9.0},
        {"frames": 300, "wall": 6.0, "fps/env": 40.0},
    )
    write_info(tmp_path, frames=250, updates=7, wall=5.0)
    expected = RunProgress(frames=300, wall=6.0, score=3.0, speed=40.0, share=0.3, updates=7)
    assert read_progress(tmp_path, CONFIG) == expected
    assert read_progress(tmp_path / "nowhere", CONFIG) == RunProgress()


def test_a_run_ends_by_frames_or_by_seconds_whichever_comes_first(tmp_path):
    limited = {"steps": 1000, "run": {"max_seconds": 40}}
    for frames, wall, share in ((500, 30.0, 0.75), (500, 40.0, 1.0), (1000, 1.0, 1.0)):
        write_info(tmp_path, frames=frames, wall=wall)
        assert (read_progress(tmp_path, limited).share, is_trained(tmp_path, limited)) == (share, share == 1.0)


def test_only_the_end_of_a_long_file_is_read(tmp_path):
    write_metrics(tmp_path, *({"frames": i, "first" if i == 0 else "name": float(i)} for i in range(5000)))
    assert (tmp_path / "metrics.jsonl").stat().st_size > METRICS_TAIL_BYTES
    assert latest_values(tmp_path / "metrics.jsonl") == {"frames": 4999, "name": 4999.0}


def test_an_incomplete_line_is_ignored(tmp_path):
    write_metrics(tmp_path, {"frames": 1})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"frames": 2, "wa')
    assert latest_values(tmp_path / "metrics.jsonl") == {"frames": 1}


def test_an_evaluation_counts_if_it_is_of_the_latest_checkpoint(tmp_path):
    write_info(tmp_path, frames=500, wall=1.0)
    assert not is_evaluated(tmp_path, 10)
    for frames, n, counts in ((500, 10, True), (400, 10, False), (500, 9, False)):
        (tmp_path / "eval.json").write_text(json.dumps({"frames": frames, "n": n}))
        assert is_evaluated(tmp_path, 10) == counts


def test_cells_of_a_run():
    cells = lambda *row: ProgressRow("a/x/0", *row).cells()
    assert cells("running", HALF) == ("a/x/0", "running", "50%", "500", "40", "12.3", "5.4", "01:40")
    assert cells("waiting", RunProgress()) == ("a/x/0", "waiting", "0%", "0", "0", "", "", "")
    assert ProgressRow("a/x/0", "failed", HALF, "on fire").cells()[-1] == "on fire"
    assert len(ProgressRow("a/x/0", "done", HALF).cells()) == len(COLUMNS)


def test_the_time_left_is_estimated_from_the_other_runs():
    """200 s per run: one and a half runs are left, two at a time."""
    rows = [ProgressRow("a", "done", HALF._replace(wall=200.0, share=1.0)), ProgressRow("b", "running", HALF)]
    rows += [ProgressRow("c", "waiting", RunProgress()), ProgressRow("d", "failed", HALF._replace(share=0.5))]
    assert summarize(rows, 2) == "1 of 4 runs done, 1 running, 1 waiting, 1 failed; about 02:30 left"
    assert summarize([ProgressRow("c", "waiting", RunProgress())], 2) == "0 of 1 runs done, 1 waiting"


def test_a_small_terminal_shows_the_urgent_runs():
    names = {"a": "done", "b": "waiting", "c": "running", "d": "failed", "e": "waiting", "f": "running"}
    rows = [ProgressRow(name, status, RunProgress()) for name, status in names.items()]
    assert [row.name for row in select_rows(rows, 4)] == ["b", "c", "d", "f"]
    assert select_rows(rows, 100) == rows


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 70 columns."""
    for name, value in {"COLUMNS": "70", "LINES": "20", "TERM": "xterm", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    return Terminal()


def test_on_a_terminal_the_table_is_redrawn_in_place(terminal):
    rows = [ProgressRow("a/x/0", "running", HALF), ProgressRow("a/long/0", "failed", RunProgress(), "on fire" * 9)]
    with ProgressTable(1, terminal, "v3 makes more updates. " * 4) as table:
        table.show(lambda: rows[:1])
        table.show(lambda: pytest.fail("shown again too early"))
        first = terminal.getvalue()
        table.show(lambda: rows, final=True)
    drawn = terminal.getvalue().removeprefix(first)
    assert "a/x/0  running   50%     500       40   12.3       5.4  01:40" in first
    assert "0 of 1 runs done, 1 running; about 01:40 left" in first
    assert first.count("v3 makes more updates.") == 4
    assert "\x1b[1A\x1b[2K" * 2 in drawn  # up and erase
    lines = drawn.split("\x1b[2K")[-1].splitlines()
    assert lines[2].startswith("a/long/0  failed")
    assert max(map(len, lines[2:])) <= 70


@pytest.mark.parametrize("dumb", [False, True])
def test_elsewhere_each_change_is_a_line(dumb, terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    stream = terminal if dumb else io.StringIO()
    name = "a" * 200
    with ProgressTable(1, stream, "v3 makes more updates.") as table:
        for share in (0.0, 0.05, 0.11, 0.15, 0.31):
            rows = [ProgressRow(name, "running", RunProgress(share=share)), ProgressRow("b", "waiting", HALF)]
            table.show(lambda rows=rows: rows, final=True)
        table.show(lambda: [ProgressRow(name, "failed", HALF, "on fire")], final=True)
    assert stream.getvalue().splitlines() == [
        "v3 makes more updates.",
        f"{name}  running  0%  0 frames  0 updates",
        "b  waiting  50%  500 frames  40 updates  score 12.3",
        f"{name}  running  11%  0 frames  0 updates",
        f"{name}  running  31%  0 frames  0 updates",
        f"{name}  failed  50%  500 frames  40 updates  score 12.3  on fire",
    ]
