"""Style of figures: colours of the variants, light and dark themes, SVG that fits into a page.

Figures are drawn in the light theme. `inline_svg` replaces its colours by CSS variables of the same names, so that a
page can change them; `COLORS` holds both themes.
"""

import io
import re
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

import matplotlib as mpl
from matplotlib.figure import Figure

#: CSS variable -> colour in the light and in the dark theme. hue0 to hue6: Okabe and Ito's colour-blind safe palette.
COLORS = {
    "page": ("#ffffff", "#14181c"),
    "ink": ("#1c2126", "#e6e9ed"),
    "muted": ("#667079", "#9aa5b0"),
    "line": ("#d8dde2", "#39424b"),
    "hue0": ("#0072b2", "#4ba3de"),
    "hue1": ("#d55e00", "#f08337"),
    "hue2": ("#009e73", "#2cc498"),
    "hue3": ("#b6588f", "#dd8dbb"),
    "hue4": ("#c48a00", "#e9b436"),
    "hue5": ("#3aa0dc", "#8fd0f7"),
    "hue6": ("#5b4db8", "#a79bf2"),
}
VARIANTS = [name for name in COLORS if name.startswith("hue")]
DASHES: list[tuple] = [(None, None), (4, 1.5), (1.5, 1.5), (6, 1.5, 1.5, 1.5)]  # for more variants than colours
PAGE, INK, MUTED, LINE = (COLORS[name][0] for name in ("page", "ink", "muted", "line"))
#: Parts of an SVG that a page does not need: dates, page-wide styles, fonts, group names, some line breaks.
UNNEEDED = (
    r"\s*<metadata>.*?</metadata>",
    r"<style.*?</style>",
    r" font-family: [^;\"]+;",
    r"(?<=<g) id=\"[^\"]*\"",
    r"(?<= )\n(?=[LQCz])",
)
TITLE_INCHES = 0.3
FIGURE_INCHES = 4.6  # width; with 72 dots per inch and 10 point text, figures are readable on a phone
WIDE_INCHES = 11.0  # width of a figure that fills the page on a larger screen

SETTINGS: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.size": 10,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}


class LineStyles(dict):
    """Variant -> (colour, dashes), and published method -> dashes; the same in all figures of a report."""

    def __init__(self, variants: Sequence[str], methods: Sequence[str] = ()):
        size = len(VARIANTS)
        super().__init__(
            {v: (COLORS[VARIANTS[i % size]][0], DASHES[i // size % len(DASHES)]) for i, v in enumerate(variants)}
        )
        self.published = {method: DASHES[i % len(DASHES)] for i, method in enumerate(methods)}


def canvas(
    height: float, left: float = 0.7, bottom: float = 0.5, *, width: float = FIGURE_INCHES, right: float = 0.12
) -> tuple[Figure, Any]:
    """Return a figure of `height` and `width` inches and its axes. left, bottom, right: margins in inches."""
    figure, inner = Figure(figsize=(width, height)), height - bottom - TITLE_INCHES
    return figure, figure.add_axes((left / width, bottom / height, (width - left - right) / width, inner / height))


def figure_settings() -> Any:
    """Return the context, or decorator, in which figures are drawn and saved."""
    return mpl.rc_context(SETTINGS)


@figure_settings()
def inline_svg(figure: Figure, title: str) -> str:
    """Return SVG for a page: full width, a title for screen readers, the colours and fonts of the page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    for name, (light, _) in COLORS.items():
        text = re.sub(f"(fill|stroke): {light}", rf"\1: var(--{name})", text)
    for pattern in UNNEEDED:
        text = re.sub(pattern, "", text, flags=re.S)
    box = re.search(r'viewBox="[^"]+"', text)
    assert box, text[:200]
    links = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    content = text[text.index(">", box.end()) + 1 :].strip()
    return f'<svg role="img" aria-label={quoteattr(title)} {links} {box[0]}>{content}'


def standalone_svg(svg: str) -> str:
    """Return an inline SVG as a complete file in the reader's theme."""
    rules = f"{css()}svg{{background:var(--page)}}*{{stroke-linejoin:round}}text{{font-family:sans-serif}}"
    head, rest = svg.split(">", 1)
    return f"{head}><style>{rules}</style>{rest}\n"


def css() -> str:
    """Return the variables of both themes."""
    light, dark = ("".join(f"--{name}:{pair[i]};" for name, pair in COLORS.items()) for i in range(2))
    return f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"
