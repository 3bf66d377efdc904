"""Figures of a report: their width, axes, marked levels, columns of text, and fonts."""

import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from common.analysis.figure_files import save_figure
from common.analysis.report import axis_format, figure_style, figures, gallery, html, row_figures
from common.analysis.report.analysis import analyse
from common.analysis.report.run_collection import load_runs
from tests.helpers.fake_runs import ablation, ladder, write_grid

LINE = {"x": [1.0, 2.0], "mean": [10.0, 20.0], "low": [8.0, 18.0], "high": [12.0, 22.0]}
ROW = {"value": 90.0, "low": 10.0, "high": 100.0, "color": "#000000", "filled": True, "label": "without one feature"}


def axes_until(top):
    axes = Figure().subplots()
    axes.plot([0, top], [0, 1])
    axes.set_xlim(0, top)
    return axes


def labels(axes):
    return [text.get_text() for text in axes.get_xticklabels()]


@pytest.mark.parametrize(("seconds", "label", "ticks"), [
    (90, "training time in seconds", ["0", "20", "40", "60", "80"]),
    (5000, "training time in minutes", ["0", "20", "40", "60", "80"]),
    (7000, "training time in hours", ["0", "0.4", "0.8", "1.2", "1.6"]),
])  # fmt: skip
def test_the_ticks_of_time_have_one_unit(seconds, label, ticks):
    axes = axes_until(seconds)
    axis_format.format_axes(axes, "wall")
    assert (axes.get_xlabel(), labels(axes)) == (label, ticks)


def test_the_ticks_of_frames_have_one_unit():
    axes = axes_until(1.2e6)
    axis_format.format_axes(axes, "frames")
    assert labels(axes) == ["0", "0.25M", "0.5M", "0.75M", "1M"]
    assert axes.get_xticks()[1] == 250_000


def test_near_levels_are_drawn_and_distant_ones_named():
    axes = axes_until(2)
    axis_format.draw_levels(axes, [LINE], {"random": 1.0, "human": None, "maximum": 1000.0})
    assert [line.get_ydata()[0] for line in axes.get_lines()[1:]] == [1.0]
    assert [text.get_text() for text in axes.texts] == ["random 1.00"]
    assert axes.get_title("right") == "not drawn: maximum 1,000"


def test_labels_of_close_levels_do_not_overlap():
    figure = Figure(figsize=(4, 3))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 100])
    axis_format.draw_levels(axes, [LINE], {"human": 12.0, "random": 10.0})
    renderer = FigureCanvasAgg(figure).get_renderer()
    lower, upper = (text.get_window_extent(renderer) for text in axes.texts)
    assert [text.get_text() for text in axes.texts] == ["random 10.0", "human 12.0"]
    assert lower.y1 <= upper.y0


def test_human_normalised_figures_are_in_per_cent(tmp_path):
    jobs = [("v3", task, s, {"frames": 4000}) for task in ("atari100k_pong", "atari100k_boxing") for s in range(3)]
    report = analyse(load_runs([write_grid(tmp_path, "compare", jobs)]))
    (drawn,) = gallery.draw_gallery(report).aggregates
    value = next(row["value"] for row in report["aggregates"][0]["values"] if row["statistic"] == "mean")
    mean = next(picture.svg for picture in drawn if picture.name == "aggregate_0_mean")
    assert "Mean, human-normalised score in %" in mean
    assert f">{100 * value:,.0f} [" in mean
    curve = next(picture.svg for picture in drawn if picture.name == "aggregate_0_curve_mean")
    assert ">human-normalised score in %<" in curve
    page = html.render(report, gallery.draw_gallery(report), [], [])
    assert page.count(">probability of improvement<") == 0  # a single variant has no comparisons


def test_every_curve_shows_the_known_levels(tmp_path):
    jobs = [
        ("v3", task, seed, {"frames": 5000}) for task in ("dmc_walker_walk", "gym_Pendulum-v1") for seed in range(3)
    ]
    report = analyse(load_runs([write_grid(tmp_path, "compare", jobs)]))
    for axis in ("frames", "updates", "wall"):
        drawings = [picture.svg for picture in gallery.curves(report, axis)]
        assert all(re.search(r">random [−\d.,]+<", drawing) for drawing in drawings)
        assert ">maximum 1,000<" in drawings[0]
    assert not any(picture.wide for picture in gallery.curves(report, "frames"))


@pytest.mark.parametrize("wide", [False, True])
def test_names_and_numbers_are_outside_of_the_intervals(wide):
    """Numbers that cross the interval of another row cannot be read."""
    rows = [ROW, {**ROW, "label": "a long name of a variant with a number of words"}]
    for figure in (
        row_figures.intervals("title", rows, wide=wide),
        row_figures.waterfall("title", [row | {"start": start} for row, start in zip(rows, (None, 5.0), strict=True)]),
    ):
        renderer = FigureCanvasAgg(figure).get_renderer()
        (axes,) = figure.axes
        inside = axes.get_window_extent(renderer)
        boxes = [text.get_window_extent(renderer) for text in axes.texts]
        assert len(boxes) == 4
        for box in boxes:
            assert box.x1 <= inside.x0 or box.x0 >= inside.x1
            assert box.x0 >= 0
            assert box.x1 <= figure.bbox.x1
        assert boxes[0].y0 >= boxes[2].y1  # nor do the names of two rows overlap


def test_figures_of_a_single_task_have_the_width_of_the_page(tmp_path):
    report = analyse(load_runs([ablation(tmp_path)]))
    drawn = gallery.draw_gallery(report)
    for picture in (*drawn.effects, *drawn.curves["frames"]):
        widths = [float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1]) / 72 for svg in (picture.svg, picture.wide)]
        assert widths == pytest.approx([figure_style.FIGURE_INCHES, figure_style.WIDE_INCHES])
    page = html.render(report, drawn, [], [])
    assert page.count('<figure class="page-wide">') == 1 + 4  # the effects, and curves over four axes
    assert page.count('<div class="figures narrow">') == 1 + 4


def test_the_panels_of_a_ladder_have_names_for_both_axes(tmp_path):
    report = analyse(load_runs([ladder(tmp_path, rungs=8)]))
    for axis, name in (("updates", "updates"), ("wall", "training time in minutes")):
        for picture in gallery.curves(report, axis):
            assert ">return<" in picture.svg
            assert f">dmc_walker_walk, {name}<" in picture.svg


def test_fonts_in_pdf_files_are_truetype(tmp_path):
    figure = figures.learning_curves(
        "task", {"curves": {"v3": LINE}, "cut": {"at": 2}}, "frames", figure_style.LineStyles(["v3"])
    )
    save_figure(figure, tmp_path / "a.pdf")
    content = (tmp_path / "a.pdf").read_bytes()
    assert b"/Type3" not in content
    assert b"/CIDFontType2" in content or b"/TrueType" in content


def test_bands_without_bounds_are_not_drawn():
    line = LINE | {"low": [None, None], "high": [None, None]}
    axes = axes_until(2)
    figures.draw_curve(axes, line, "#000000")
    axis_format.draw_levels(axes, [line], {"maximum": 25.0})
    assert np.isfinite(axes.get_ylim()).all()
    assert [text.get_text() for text in axes.texts] == ["maximum 25.0"]
