"""What a grid shows: standings read from the ends of files, rows, the estimate of what is left."""

import io
import json

import pytest

from common.experiments.grid import table as tables
from common.experiments.grid.run_progress import (
    METRICS_TAIL_BYTES,
    RunProgress,
    is_evaluated,
    is_trained,
    latest_values,
    read_progress,
)
from common.experiments.grid.table import COLUMNS, ProgressRow, ProgressTable, select_rows, summary

CONFIG = {"steps": 1000, "run": {"max_seconds": 0}}


def metrics(folder, *lines):
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def info(folder, **values):
    (folder / "run.json").write_text(json.dumps({"sessions": [{}], **values}))


def test_the_last_value_of_every_name(tmp_path):
    metrics(
        tmp_path,
        {"frames": 100, "wall": 2.0, "episode/score": 1.0, "fps/env": 50.0},
        {"frames": 200, "wall": 4.0, "episode/score": 3.0, "eval/score": 9.0},
        {"frames": 300, "wall": 6.0, "fps/env": 40.0},
    )
    info(tmp_path, frames=250, wall=5.0)
    assert read_progress(tmp_path, CONFIG) == RunProgress(frames=300, wall=6.0, score=3.0, speed=40.0, share=0.3)


def test_a_run_that_has_not_begun_stands_at_nothing(tmp_path):
    assert read_progress(tmp_path / "nowhere", CONFIG) == RunProgress()


def test_a_run_ends_by_frames_or_by_seconds_whichever_comes_first(tmp_path):
    info(tmp_path, frames=500, wall=30.0)
    limited = {"steps": 1000, "run": {"max_seconds": 40}}
    assert read_progress(tmp_path, limited).share == 0.75
    assert not is_trained(tmp_path, limited)
    info(tmp_path, frames=500, wall=40.0)
    assert (read_progress(tmp_path, limited).share, is_trained(tmp_path, limited)) == (1.0, True)
    info(tmp_path, frames=1000, wall=1.0)
    assert (read_progress(tmp_path, limited).share, is_trained(tmp_path, limited)) == (1.0, True)


def test_only_the_end_of_a_long_file_is_read(tmp_path):
    rows = [{"frames": i, "first" if i == 0 else "name": float(i)} for i in range(5000)]
    metrics(tmp_path, *rows)
    assert (tmp_path / "metrics.jsonl").stat().st_size > METRICS_TAIL_BYTES
    assert latest_values(tmp_path / "metrics.jsonl") == {"frames": 4999, "name": 4999.0}


def test_a_line_that_is_just_being_written_is_left_out(tmp_path):
    metrics(tmp_path, {"frames": 1})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"frames": 2, "wa')
    assert latest_values(tmp_path / "metrics.jsonl") == {"frames": 1}


def test_an_evaluation_counts_if_it_is_of_the_run_as_it_stands(tmp_path):
    info(tmp_path, frames=500, wall=1.0)
    assert not is_evaluated(tmp_path, 10)
    for frames, n, counts in ((500, 10, True), (400, 10, False), (500, 9, False)):
        (tmp_path / "eval.json").write_text(json.dumps({"frames": frames, "n": n}))
        assert is_evaluated(tmp_path, 10) == counts


HALF = RunProgress(frames=500, wall=100.0, score=12.34, speed=5.4, share=0.5)


def test_cells_of_a_run():
    assert ProgressRow("a/x/0", "running", HALF).cells() == ("a/x/0", "running", "50%", "500", "12.3", "5", "01:40")
    assert ProgressRow("a/x/0", "waiting", RunProgress()).cells() == ("a/x/0", "waiting", "0%", "0", "", "", "")
    assert ProgressRow("a/x/0", "failed", HALF, "on fire").cells()[-1] == "on fire"
    assert len(ProgressRow("a/x/0", "done", HALF).cells()) == len(COLUMNS)


def test_columns_line_up():
    cells = [
        COLUMNS,
        ProgressRow("a/x/0", "running", HALF).cells(),
        ProgressRow("a/long/0", "waiting", RunProgress()).cells(),
    ]
    assert tables.table(cells) == [
        "run                done  frames  score  frames/s  left",
        "a/x/0     running   50%     500   12.3         5  01:40",
        "a/long/0  waiting    0%       0",
    ]


def test_what_is_left_follows_from_the_runs_so_far():
    """200 s for a run: one and a half of them are left, two at a time."""
    rows = [ProgressRow("a", "done", HALF._replace(wall=200.0, share=1.0)), ProgressRow("b", "running", HALF)]
    rows += [ProgressRow("c", "waiting", RunProgress()), ProgressRow("d", "failed", HALF._replace(share=0.5))]
    assert summary(rows, 2) == "1 of 4 runs done, 1 running, 1 waiting, 1 failed; about 02:30 left"
    assert summary([ProgressRow("c", "waiting", RunProgress())], 2) == "0 of 1 runs done, 1 waiting"


def test_on_a_small_terminal_the_urgent_runs_are_shown():
    names = {"a": "done", "b": "waiting", "c": "running", "d": "failed", "e": "waiting", "f": "running"}
    rows = [ProgressRow(name, status, RunProgress()) for name, status in names.items()]
    assert [row.name for row in select_rows(rows, 4)] == ["b", "c", "d", "f"]
    assert select_rows(rows, 100) == rows


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_the_table_is_redrawn_in_place(monkeypatch):
    monkeypatch.setattr("shutil.get_terminal_size", lambda **_: (30, 20))
    stream = Terminal()
    table = ProgressTable(1, stream)
    table.show(lambda: [ProgressRow("a/x/0", "running", HALF)])
    table.show(lambda: pytest.fail("too early to look again"))
    first = stream.getvalue()
    assert first.splitlines()[0] == "run             done  frames "
    assert max(map(len, first.splitlines())) == 29
    table.show(lambda: [ProgressRow("a/x/0", "done", HALF)], final=True)
    assert stream.getvalue().removeprefix(first).startswith("\x1b[3F\x1b[Jrun")


def test_elsewhere_each_news_is_a_line():
    stream = io.StringIO()
    table = ProgressTable(1, stream)
    for share in (0.0, 0.05, 0.11, 0.15, 0.31):
        table.show(
            lambda share=share: [
                ProgressRow("a", "running", RunProgress(share=share)),
                ProgressRow("b", "waiting", HALF),
            ],
            True,
        )
    table.show(lambda: [ProgressRow("a", "failed", HALF, "on fire")], True)
    assert stream.getvalue().splitlines() == [
        "a  running  0%  0 frames",
        "b  waiting  50%  500 frames  score 12.3",
        "a  running  11%  0 frames",
        "a  running  31%  0 frames",
        "a  failed  50%  500 frames  score 12.3  on fire",
    ]
