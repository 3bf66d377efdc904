"""Figures of `reference`: own runs on top of published curves."""

import pytest
from matplotlib.figure import Figure

from common.analysis.reference import curves, figure, own_runs
from common.analysis.reference.published import possible_scores
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
    styles = figure.line_styles({"": (found, [])})
    figure.panel(axes, found, [], 50_000, styles)
    drawn = {line.get_label().split(" ")[0]: line.get_xdata() for line in axes.lines}
    assert list(drawn) == [curve.method for curve in found if curve.x[0] < 50_000] != [curve.method for curve in found]
    assert all(x[0] < 50_000 and len(x[x > 50_000]) <= 1 for x in drawn.values())
    figure.panel(axes, found, [], 0, styles)
    assert len(axes.lines) == len(drawn) + len(found)


@pytest.mark.parametrize(("frames", "end", "message"), [
    (4000, 20_000, "drawn"),  # the first curve has points at 10,000 and 20,000 frames
    (1000, 2000, "dreamerv3_2023 (10,000), d4pg (40,000)"),  # at 20,000 frames the run would be too small
])  # fmt: skip
def test_an_overlay_of_a_short_run_draws_a_curve_or_reports_it(run, tmp_path, monkeypatch, frames, end, message):
    drawn = []
    monkeypatch.setattr("common.analysis.reference.figure.draw", lambda panels, path, frames: drawn.append(frames))
    logdir(tmp_path / "run", train={500: 1.0, frames: 2.0})
    code, _, err = run("--overlay", "run", "--out", "a.png")
    assert (code, drawn) == (0, [end])
    assert f"because they start beyond frame {end:,}: " in err
    assert message in err.replace("Not drawn", "drawn")
    assert "dreamerv3_2023" not in err or end == 2000
    assert "Add --frames 80000 to draw all" in err
    assert "start beyond" not in run("--overlay", "run", "--out", "a.png", "--frames", "80000")[2]


def test_a_method_has_one_colour_in_all_panels_and_reports():
    from common.analysis.report.figure_style import COLORS

    content = {place: (curves("walker_walk", place), []) for place in ("dmc_vision", "dmc_proprio", "dmc_states")}
    styles = figure.line_styles(content)
    palette = {light for name, (light, _) in COLORS.items() if name.startswith("hue")}
    assert {color for color, _ in styles.values()} <= palette
    assert styles["dreamerv3_2023_rerun"][0] == styles["dreamerv3_2023"][0] != styles["dreamerv3"][0]
    assert len(set(styles.values())) == len(styles)
    axes = Figure().subplots()
    for published, _ in content.values():
        figure.panel(axes, published, [], 0, styles)
    for line in axes.lines:
        assert line.get_color() == styles[line.get_label().split(" ")[0]][0]


def test_own_runs_have_the_colour_of_their_agent(tmp_path):
    seeds(tmp_path / "a", [500])
    seeds(tmp_path / "b", [500], discount=0.9)
    content = {"": (curves("walker_walk", "dmc_vision"), own_runs.load_run_sets([str(tmp_path)]))}
    styles = figure.line_styles(content)
    own = {name: style for name, style in styles.items() if name.startswith("own v3 ")}
    assert {color for color, _ in own.values()} == {styles["dreamerv3"][0]}
    assert len(own) == len(set(own.values())) == 2


def test_bands_end_at_the_possible_scores():
    axes, found = Figure().subplots(), curves("dmc_walker_walk", "dmc_vision")
    assert max((curve.mean + curve.std).max() for curve in found) > 1000
    figure.panel(axes, found, [], 0, figure.line_styles({"": (found, [])}))
    heights = [path.vertices[:, 1] for band in axes.collections for path in band.get_paths()]
    assert max(values.max() for values in heights) == 1000
    assert possible_scores("atari", "atari_pong") == (-21, 21)
    assert possible_scores("atari", "atari_alien") == (0, float("inf"))
    assert possible_scores("procgen", "procgen_maze") == (-float("inf"), float("inf"))
