"""Draw docs/method.png, the picture of the README: python docs/draw_method.py"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from PIL import Image

INK, MUTED, LINE, PAGE = "#1c2126", "#667079", "#d8dde2", "#ffffff"
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
WIDTH, HEIGHT = 12.0, 7.3  # inches, and the units of all coordinates below

#: Name for --features, then what V1, V2 and V3 do.
ROWS = [
    ("latent", "Gaussian", "32 one-hots of 32 classes", "one-hots, 1 % uniform mix"),
    ("cell", "GRU", "GRU with layer norm", "block-diagonal GRU"),
    ("kl", "one KL, 3 free nats", "balanced: prior 0.8, posterior 0.2", "1.0 and 0.1, 1 free nat each"),
    ("symlog, twohot", "squared errors", "squared errors", "symlog and two-hot targets"),
    ("slow_critic", "none", "target critic, copied", "moving average, regulariser"),
    ("retnorm", "none", "none", "percentiles of the returns"),
    ("actor_grad", "through the model", "REINFORCE for discrete actions", "REINFORCE"),
    ("optim, clip", "Adam, norm 100", "Adam, norm 100", "LaProp, adaptive clipping"),
]


def box(ax: Axes, x: float, y: float, text: str, color: str = MUTED, width: float = 1.1, height: float = 0.42) -> None:
    """Draw a rounded box with its centre at (x, y)."""
    style = FancyBboxPatch(
        (x - width / 2, y - height / 2), width, height, "round,pad=0,rounding_size=0.09", fc=PAGE, ec=color, lw=1.6
    )
    ax.add_patch(style)
    ax.text(x, y, text, ha="center", va="center", color=INK, fontsize=10.5)


def arrow(ax: Axes, start: tuple, end: tuple, color: str = MUTED, bend: float = 0.0, dashed: bool = False) -> None:
    """Draw an arrow between two points."""
    line = FancyArrowPatch(
        start,
        end,
        arrowstyle="-|>",
        mutation_scale=11,
        color=color,
        lw=1.5,
        shrinkA=0,
        shrinkB=0,
        connectionstyle=f"arc3,rad={bend}",
        linestyle="--" if dashed else "-",
    )
    ax.add_patch(line)


def panel(ax: Axes, left: float, right: float, title: str, color: str) -> None:
    """Draw the frame and title of one of the three stages."""
    frame = FancyBboxPatch(
        (left, 3.6), right - left, 3.05, "round,pad=0,rounding_size=0.12", fc=color, ec="none", alpha=0.07
    )
    ax.add_patch(frame)
    ax.text(left + 0.15, 6.83, title, color=color, fontsize=12.5, fontweight="bold", va="center")


def collect(ax: Axes) -> None:
    """Draw stage 1: the policy acts, the replay stores records."""
    panel(ax, 0.1, 2.75, "1  Act and store", MUTED)
    box(ax, 1.42, 6.2, "environment", width=1.5)
    box(ax, 1.42, 5.15, "policy", GREEN, width=1.5)
    box(ax, 1.42, 4.1, "replay", width=1.5)
    arrow(ax, (1.05, 5.99), (1.05, 5.36))
    arrow(ax, (1.8, 5.36), (1.8, 5.99))
    ax.text(0.98, 5.67, "observation", ha="right", va="center", color=MUTED, fontsize=9)
    ax.text(1.87, 5.67, "action", ha="left", va="center", color=MUTED, fontsize=9)
    arrow(ax, (1.42, 4.94), (1.42, 4.31))
    ax.text(1.5, 4.62, "every step", ha="left", va="center", color=MUTED, fontsize=9)


def world_model(ax: Axes) -> None:
    """Draw stage 2: the posterior over a replayed window, and the losses."""
    panel(ax, 2.95, 7.3, "2  Learn the world model from replay", BLUE)
    for number, x in enumerate((3.75, 5.1, 6.45), 1):
        box(ax, x, 4.0, f"$o_{number}$, $a_{number - 1}$", width=0.95)
        box(ax, x, 5.0, f"$h_{number}$, $z_{number}$", BLUE, width=0.95)
        arrow(ax, (x, 4.21), (x, 4.79), BLUE)
        arrow(ax, (x, 5.21), (x, 5.85), BLUE)
        ax.text(x, 6.12, "observation\nreward, continue", ha="center", va="center", color=INK, fontsize=9)
        if number < 3:
            arrow(ax, (x + 0.48, 5.0), (x + 0.87, 5.0), BLUE)
    ax.text(3.83, 4.5, "encoder", va="center", color=MUTED, fontsize=9)
    ax.text(3.83, 5.5, "heads", va="center", color=MUTED, fontsize=9)
    ax.text(5.78, 5.14, "cell", ha="center", va="bottom", color=MUTED, fontsize=9)
    ax.text(6.53, 4.5, "KL to prior", va="center", color=MUTED, fontsize=9)


def behavior(ax: Axes) -> None:
    """Draw stage 3: imagined steps and what the actor and the critic learn from them."""
    panel(ax, 7.5, 11.9, "3  Learn to act in imagination", GREEN)
    for number, x in enumerate((8.25, 9.7, 11.15)):
        box(ax, x, 5.0, f"$h_{number}$, ${'z' if number == 0 else chr(92) + 'hat z'}_{number}$", BLUE, width=0.95)
        arrow(ax, (x, 5.21), (x, 5.85), BLUE)
        ax.text(x, 6.12, "reward, continue\nvalue", ha="center", va="center", color=INK, fontsize=9)
        if number < 2:
            arrow(ax, (x + 0.48, 5.0), (x + 0.97, 5.0), BLUE)
            box(ax, x + 0.72, 4.25, f"$a_{number}$", GREEN, width=0.5, height=0.36)
            arrow(ax, (x + 0.1, 4.79), (x + 0.5, 4.33), GREEN, 0.15)
            arrow(ax, (x + 0.95, 4.35), (x + 1.32, 4.79), GREEN, 0.15)
    ax.text(8.97, 5.14, "prior", ha="center", va="bottom", color=MUTED, fontsize=9)
    ax.text(8.1, 4.35, "actor", ha="center", va="center", color=GREEN, fontsize=9)
    ax.text(9.7, 3.8, r"$\lambda$-returns train the critic and the actor", ha="center", color=INK, fontsize=10.5)


def versions(ax: Axes) -> None:
    """Draw the table of what each version does; each row is named as --features names it."""
    columns, top, step = (0.25, 2.25, 5.1, 8.75), 3.1, 0.315
    for x, text in zip(columns, ("feature", "V1 (2020)", "V2 (2021)", "V3 (2023-2025)"), strict=True):
        ax.text(x, top, text, color=MUTED, fontsize=10.5, fontweight="bold", va="center")
    for number, row in enumerate(ROWS, 1):
        y = top - number * step
        ax.plot([0.1, 11.9], [y + step / 2] * 2, color=LINE, lw=0.8)
        for column, (x, text) in enumerate(zip(columns, row, strict=True)):
            family = "monospace" if column == 0 else "sans-serif"
            ax.text(x, y, text, color=INK, fontsize=10.5, va="center", family=family)


def draw(path: Path) -> None:
    """Write the picture as PNG."""
    figure = Figure((WIDTH, HEIGHT), dpi=110, facecolor=PAGE)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(0.3, HEIGHT - 0.1))
    ax.axis("off")
    for stage in (collect, world_model, behavior, versions):
        stage(ax)
    arrow(ax, (2.17, 4.1), (3.27, 4.0), MUTED)
    arrow(ax, (6.93, 5.0), (7.77, 5.0), BLUE)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).quantize(64).save(path, optimize=True)


if __name__ == "__main__":
    draw(Path(__file__).with_name("method.png"))
