"""Figure of one quantity of any runs: one panel for each task, one curve for each variant."""

from matplotlib.figure import Figure

from common.analysis.figure_files import panels
from common.analysis.report import curves, figures
from common.analysis.report.axis_format import add_note, draw_levels, format_axes
from common.analysis.report.figure_style import FIGURE_INCHES, LineStyles, figure_settings
from common.analysis.report.formatting import count, plural
from common.analysis.report.run_collection import LeftOut, Runs
from common.analysis.report.score_levels import score_levels
from common.errors import UserError

PANEL_INCHES = 3.4  # height with the legend


def runs_with_quantity(runs: Runs, y: str) -> Runs:
    """Leave out the runs without a quantity. Raises UserError if no run has it."""
    kept, left_out, problems = [], [], []
    for run in runs.runs:
        try:
            if not len(curves.quantity_points(run, y)[0]):
                raise UserError(f"{run.logdir} has no {y} yet.")
            kept.append(run)
        except UserError as problem:
            left_out.append(LeftOut(str(run.logdir), "other metrics", f"it has no {y}"))
            problems.append(problem)
    if not kept:
        raise problems[0]
    return runs._replace(runs=kept, left_out=[*runs.left_out, *left_out])


@figure_settings()
def draw(runs: Runs, y: str, axis: str) -> Figure:
    """Draw the figure. A panel whose curves are cut off says at which run's end."""
    figure, cells = panels(len(runs.tasks), FIGURE_INCHES, PANEL_INCHES)
    styles = LineStyles(runs.variants)
    for task, axes in zip(runs.tasks, cells, strict=True):
        lines, end = curves.mean_curves(runs.on(task), y, axis)
        if not lines:
            raise UserError(f"No run has {y} on {task} before {count(end.at)} {curves.AXES[axis]}.")
        for variant, line in lines.items():
            label = f"{variant} ({plural(len(line.single), 'seed')})"
            color, dashes = styles[variant]
            figures.draw_curve(axes, line._asdict(), color, dashes, label)
        axes.set_title(task)
        axes.set_ylabel({"score": "return", "eval": "evaluation return"}.get(y, y))
        if y in ("score", "eval"):
            known = score_levels(runs, task)
            levels = {"random": known.random, "human": known.human, "maximum": known.maximum}
            draw_levels(axes, [line._asdict() for line in lines.values()], levels)
        format_axes(axes, axis)
        if end.uneven:
            add_note(axes, f"cut off where {end.by} ends")
        axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)
    return figure
