"""`plot`: draw one quantity of any runs, by task and variant."""

from common.analysis.figure_files import figure_path, save_figure
from common.analysis.report.curves import AXES
from common.analysis.report.figure_style import figure_settings
from common.analysis.report.formatting import plural
from common.analysis.report.quantity_plot import draw, runs_with_quantity
from common.analysis.report.run_collection import load_runs
from common.commands.report import logdirs, print_left_out
from common.config.arguments import Option, Options
from common.config.config import unknown_name
from common.config.request import Request
from common.errors import UserError

OPTIONS: Options = {
    "logdirs": Option([], "run directories, grids, or folders of them", "DIR ..."),
    "y": Option("score", "score, eval, or the name of a metric", "NAME"),
    "x": Option("frames", "frames, updates, replayed or wall", "NAME"),
    "out": Option("plot.png", "figure to write: .png, .svg or .pdf", "FILE"),
    "unfinished": Option(False, "include runs that are not finished"),
}
EXAMPLES = (
    "plot logs/compare",
    "plot --logdirs runs --y loss/dyn --x updates --out dyn.svg",
    "plot runs --y eval --out eval.pdf",
)


def plot(request: Request) -> None:
    """Draw `--y` (score, eval or a metric) over `--x`: one panel for each task, one curve for each variant.

    Runs without the quantity are left out. Raises UserError, and writes nothing, for an unknown quantity, axis or file
    format.
    """
    paths, options = logdirs(request, "plot"), request.options
    x, y, out = options["x"], options["y"], figure_path(options["out"])
    if x not in AXES:
        raise UserError(unknown_name("--x", x, AXES))
    runs = runs_with_quantity(load_runs(paths, options["unfinished"]), y)
    print_left_out(runs)
    figure = draw(runs, y, x)
    with figure_settings():
        save_figure(figure, out, facecolor="white")
    print(f"{y} of {plural(len(runs.runs), 'run')} over {AXES[x]}: {out}")
