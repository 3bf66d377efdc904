"""Estimates of the time left, on recorded timelines."""

import io
import sys
import types

import pytest
from tqdm import notebook

from common.experiments.grid.run_progress import RunProgress, read_progress
from common.storage import progress
from common.storage.progress import Progress, TimeEstimate, bar_class, format_rate
from common.training.train import train
from tests.helpers.run_fakes import FakeFactory, config

#: Seconds, frames and updates at the lines of real runs with a prefill of 500 frames; the first updates are slow.
V3 = [(2.4, 100, 0), (3.41, 200, 0), (4.38, 300, 0), (5.38, 400, 0), (8.61, 500, 1), (10.67, 600, 3), (12.27, 700, 6),
      (13.62, 800, 8), (15.98, 900, 11), (17.34, 1000, 13), (18.91, 1100, 16), (20.35, 1200, 18), (21.9, 1300, 21),
      (22.58, 1400, 23), (23.39, 1500, 26)]  # fmt: skip
V1 = [(0.38, 100, 0), (0.69, 200, 0), (1.07, 300, 0), (1.36, 400, 0), (3.28, 500, 2), (4.13, 600, 4), (4.62, 700, 6),
      (5.3, 800, 8), (6.36, 900, 10), (6.89, 1000, 12), (7.47, 1100, 14), (8.1, 1200, 16), (9.02, 1300, 18),
      (9.56, 1400, 20), (10.07, 1500, 22)]  # fmt: skip
#: One frame a millisecond until 1,000 frames, then 100 updates before the next frame, then two seconds an update.
SLOW = [(0.5, 500, 0), (1.0, 1000, 0), (51.0, 1000, 25), (201.0, 1000, 100), (241.1, 1100, 120), (281.2, 1200, 140)]


def estimates(timeline):
    """Return (true seconds left, estimate) at each measurement."""
    estimate, (end, frames, updates) = TimeEstimate(), timeline[-1]
    found = []
    for measured in timeline:
        estimate.add(*measured)
        found.append((end - measured[0], estimate.left(frames - measured[1], updates - measured[2])))
    return found


@pytest.mark.parametrize(("timeline", "unknown"), [(V3, 6), (V1, 6), (SLOW, 2)])
def test_estimates_on_recorded_timelines(timeline, unknown):
    found = estimates(timeline)
    assert all(left is None for _, left in found[:unknown])  # rates of the prefill say nothing about updates
    assert found[-1] == (0, 0)
    for true, left in found[unknown:]:
        assert true / 2 - 0.5 <= left <= 2 * true + 0.5


def test_an_estimate_needs_every_rate_that_it_uses():
    estimate = TimeEstimate(10.0, 500, 7)  # a resumed run
    assert estimate.left(100, 5) is None
    estimate.add(20.0, 500, 9)
    assert estimate.left(0, 5) is None  # two updates are too few
    estimate.add(30.0, 500, 12)
    assert estimate.left(0, 6) == pytest.approx(20.0)
    assert estimate.left(100, 6) is None  # no frame has been measured
    estimate.add(40.0, 600, 15)
    assert estimate.left(100, 3) == pytest.approx(10.0)


def test_a_run_without_updates_is_estimated_by_its_frames():
    estimate = TimeEstimate()
    estimate.add(10.0, 100, 0)
    assert estimate.left(900, 0) == pytest.approx(90.0)


def test_lines_show_no_zero_rates_and_no_estimate_before_there_is_one(monkeypatch):
    clock = iter([0.0, 0.0, 2.0, 60.0, 120.0, 121.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    stream = io.StringIO()
    shown = Progress(1000, stream)
    shown.start_at(0, 0)
    for frames, updates, due, limit in (
        (500, 0, 90, None),
        (500, 40, 50, None),
        (520, 45, 45, 600.0),
        (520, 45, 45, 5.0),
    ):
        shown.update(frames, updates)
        shown.line(due, limit)
    first, second, third, last = stream.getvalue().splitlines()
    assert "250 frames/s" in first
    assert "left" not in first
    assert "frames/s" not in second
    assert "0.69 updates/s" in second
    assert "01:14 left" in second
    assert "0.33 frames/s" in third
    assert "09:01 left" in third
    assert last.endswith("(52%) | 00:05 left")  # the time limit comes first
    assert [format_rate(rate) for rate in (0.04, 3.21, 1234.5)] == ["0.04", "3.2", "1,234"]


def test_the_run_and_the_table_of_a_grid_show_the_same_estimate(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "MIN_SECONDS", 0.0)
    given = config(tmp_path / "run", run__eval_every=0)
    rows = []
    line = Progress.line

    def seen(self, due=None, limit=None, **scores):
        rows.append((self.frames, self.updates + due, line(self, due, limit, **scores)))
        return rows[-1][-1]

    monkeypatch.setattr(Progress, "line", seen)
    train(given, FakeFactory())
    done = rows[-1][1]
    assert {total for frames, total, _ in rows} == {done}  # the updates due are known from the first line on
    assert "time/left" not in rows[0][-1]
    assert rows[-1][-1]["time/left"] == 0
    assert read_progress(tmp_path / "run", given).share == 1
    longer = read_progress(tmp_path / "run", given | {"steps": 400})
    assert (longer.left, longer.total) == (None, None)  # the estimate was of the shorter run
    assert RunProgress(wall=3.0, share=0.5, left=2.0).total == 5.0
    (tmp_path / "run/metrics.jsonl").write_text('{"frames": 100, "wall": 3.0, "fps/env": 5.0, "time/left": 7.0}\n')
    (tmp_path / "run/run.json").unlink()
    assert read_progress(tmp_path / "run", given).left == 7.0


def test_a_notebook_shows_a_widget_if_it_has_them(monkeypatch):
    assert bar_class(io.StringIO()) is None
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    for widget, shown in ((None, None), (object, notebook.tqdm_notebook)):
        monkeypatch.setattr(notebook, "IProgress", widget)
        assert bar_class(io.StringIO()) is shown
