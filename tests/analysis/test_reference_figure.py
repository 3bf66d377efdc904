"""Figures of `reference`: own runs on top of published curves."""

import pytest
from matplotlib.figure import Figure

from common.analysis.reference import curves, figure
from tests.helpers.reference import logdir, seeds


@pytest.mark.parametrize(("ending", "head"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_figure_of_a_task(run, tmp_path, ending, head):
    code, out, _ = run("--task", "atari_pong", "--out", f"pong.{ending}")
    assert code == 0
    assert f"Written: pong.{ending}" in out
    assert (tmp_path / f"pong.{ending}").read_bytes().startswith(head)


def test_figure_with_own_runs(run, tmp_path):
    seeds(tmp_path / "logs/proprio", [100, 300])
    seeds(tmp_path / "logs/pixels", [200], blocks=["dmc_vision"])
    code, out, _ = run("--overlay", "logs", "--out", "both.svg")
    assert code == 0
    assert "Written: both.svg" in out
    text = (tmp_path / "both.svg").read_text()
    for words in ("dmc_walker_walk in dmc_proprio", "dmc_walker_walk in dmc_vision", "own v3 (n = 2, train)",
                  "own v3 (n = 1, train)", "d4pg (n = 10)"):  # fmt: skip
        assert f"<!-- {words} -->" in text
    assert run("--overlay", "logs", "--task", "cup_catch", "--out", "x.png")[0] == 2


def test_axes_end_at_the_given_frames_or_at_twice_those_of_the_runs(run, tmp_path, monkeypatch):
    ends = []
    monkeypatch.setattr("common.analysis.reference.figure.draw", lambda panels, path, frames: ends.append(frames))
    logdir(tmp_path / "run", train={5000: 1.0, 20_000: 2.0}, evals={30_000: 2.0})
    run("--overlay", "run", "--out", "a.png")
    run("--overlay", "run", "--out", "a.png", "--frames", "100000")
    run("--task", "dmc_walker_walk", "--out", "a.png")
    assert ends == [60_000, 100_000, 0]


def test_curves_end_with_the_axes():
    axes, found = Figure().subplots(), curves("dmc_walker_walk", "dmc_vision")
    figure.panel(axes, found, [], 50_000)
    drawn = {line.get_label().split(" ")[0]: line.get_xdata() for line in axes.lines}
    assert list(drawn) == [curve.method for curve in found if curve.x[0] < 50_000] != [curve.method for curve in found]
    assert all(x[0] < 50_000 and len(x[x > 50_000]) <= 1 for x in drawn.values())
    figure.panel(axes, found, [], 0)
    assert len(axes.lines) == len(drawn) + len(found)
