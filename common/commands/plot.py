"""`plot`: a figure of one quantity of any runs, by task and variant."""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from common.analysis.report import curves, figure_style, figures
from common.analysis.report.run_collection import LeftOut, Runs, load_runs
from common.analysis.report.run_data import Run
from common.commands.report import logdirs
from common.config.config import unknown_name
from common.config.request import Request
from common.errors import UserError
from common.files import atomic_write, make_output_folder
from common.safe_io import expand_path

OPTIONS: dict = {"logdirs": [], "y": "score", "x": "frames", "out": "plot.png", "unfinished": False}
FORMATS = (".png", ".svg", ".pdf")
COLUMNS, HEIGHT = 3, 3.4  # panels side by side, inches of one with its legend


def plot(request: Request) -> None:
    """Draws `--y` (score, eval or a metric) over `--x`: one panel for each task, one curve for each variant.

    Runs without the quantity are left out. Raises UserError, with nothing written, for a quantity, an axis or a kind of
    file that does not exist.
    """
    paths, own = logdirs(request, "plot"), request.options
    out = expand_path(own["out"])
    if own["x"] not in curves.AXES:
        raise UserError(unknown_name("--x", own["x"], curves.AXES))
    if out.suffix not in FORMATS:
        raise UserError(f"--out must end in {', '.join(FORMATS)}, got {own['out']!r}.")
    runs = runs_with_quantity(load_runs(paths, own["unfinished"]), own["y"])
    for name, status, reason in runs.left_out:
        print(f"Left out: {name} ({status}): {reason}", file=sys.stderr)
    figure = draw(runs, own["y"], own["x"])
    _save(figure, out)
    print(f"{own['y']} of {len(runs.runs)} runs over {curves.AXES[own['x']]}: {out}")


def runs_with_quantity(runs: Runs, y: str) -> Runs:
    """The runs that have a quantity; the others are left out. Raises UserError if none has it."""
    kept, left_out, problems = [], [], []
    for run in runs.runs:
        problem = missing_quantity(run, y)
        if problem is None:
            kept.append(run)
        else:
            left_out.append(LeftOut(str(run.logdir), "other metrics", f"it has no {y}"))
            problems.append(problem)
    if not kept:
        raise problems[0]
    return runs._replace(runs=kept, left_out=[*runs.left_out, *left_out])


def missing_quantity(run: Run, y: str) -> UserError | None:
    """What there is to say of a run without a quantity; None if it has one."""
    try:
        return None if len(curves.quantity_points(run, y)[0]) else UserError(f"{run.logdir} has no {y} yet.")
    except UserError as error:
        return error


@figure_style.with_figure_style
def draw(runs: Runs, y: str, axis: str) -> Figure:
    """The figure; what was cut off is said in each panel."""
    columns = min(COLUMNS, len(runs.tasks))
    rows = -(-len(runs.tasks) // columns)
    figure = Figure(figsize=(figure_style.FIGURE_INCHES * columns, HEIGHT * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    look = figure_style.LineStyles(runs.variants)
    for axes in grid.flat[len(runs.tasks) :]:
        axes.set_axis_off()
    for task, axes in zip(runs.tasks, grid.flat, strict=False):
        panel(axes, task, [run for run in runs.runs if run.task == task], y, axis, look)
    return figure


def panel(axes, task: str, runs: list[Run], y: str, axis: str, look: figure_style.LineStyles) -> None:
    """Curves of one task with a legend that counts the seeds."""
    lines, cut = curves.mean_curves(runs, y, axis)
    if not lines:
        raise UserError(f"No run has {y} on {task} before {figures.formatting.count(cut.at)} {curves.AXES[axis]}.")
    for variant, line in lines.items():
        number = len(line.single)
        label = f"{variant} ({number} seed{'s' * (number != 1)})"
        color, dashes = look[variant]
        figures.curve(axes, line._asdict(), color, dashes, label=label)
    axes.set_title(task)
    axes.set_ylabel({"score": "return", "eval": "evaluation return"}.get(y, y))
    figures.scale(axes, axis)
    if cut.uneven:
        axes.set_title(
            f"cut where {cut.by} ends", loc="right", fontsize=8, fontweight="normal", color=figure_style.MUTED
        )
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)


def _save(figure: Figure, out: Path) -> None:
    make_output_folder(out.parent)
    with figure_style.figure_settings(), atomic_write(out) as file:
        figure.savefig(file, format=out.suffix[1:], dpi=150, facecolor="white")
