"""Numbers as a report shows them; a missing number is a dash."""

import math

DASH = "–"
MINUS = "−"


def is_missing(value: object) -> bool:
    """Return whether a value is None, nan or infinite."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def score(value: float | None, sign: bool = False) -> str:
    """Return a number with three digits, or all digits before the point: 0.12, 12.3, 1,234. sign: with plus signs."""
    if value is None or is_missing(value):
        return DASH
    size = abs(value)
    digits = 0 if size >= 99.95 else 1 if size >= 9.995 else 2
    return f"{value:{'+' if sign else ''},.{digits}f}".replace("-", MINUS)


def interval(row: dict, sign: bool = False) -> str:
    """Return '812 [790, 830]' for a row with value, low and high, or '812 [–]' if the bounds are missing."""
    text = score(row["value"], sign)
    bounds = DASH if is_missing(row["low"]) else f"{score(row['low'], sign)}, {score(row['high'], sign)}"
    return f"{text} [{bounds}]"


def count(value: float | None) -> str:
    """Return a whole number with commas."""
    return DASH if value is None or is_missing(value) else f"{round(value):,}"


def short(value: float | None, thousand: float = 1e4) -> str:
    """Return a short number: 0.25, 9,500, 12.3k, 1.5M. thousand: smallest number that is shown with `k`."""
    if value is None or is_missing(value):
        return DASH
    for limit, size, unit in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (thousand, 1e3, "k")):
        if abs(value) >= limit:
            return f"{value / size:.3g}{unit}".replace("-", MINUS)
    return f"{value:,.4g}".replace("-", MINUS)


def duration(seconds: float | None) -> str:
    """Return '45 s', '12.3 min' or '5.1 h'."""
    if seconds is None or is_missing(seconds):
        return DASH
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def time_unit(top: float) -> tuple[float, str]:
    """Return seconds and name of the unit for an axis from 0 to `top` seconds."""
    return (1.0, "seconds") if top < 100 else (60.0, "minutes") if top < 6000 else (3600.0, "hours")


def count_unit(top: float) -> tuple[float, str]:
    """Return size and letter of the unit for an axis from 0 to `top`."""
    units = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
    return next(((size, unit) for size, unit in units if top >= size), (1.0, ""))


def memory(size: float | None) -> str:
    """Return bytes in GiB."""
    return DASH if not size else f"{size / 2**30:.2f} GiB"


def percent(share: float | None) -> str:
    """Return a share in whole percent."""
    return DASH if share is None or is_missing(share) else f"{100 * share:.0f} %"


def percent_interval(row: dict) -> str:
    """Return '109.9 % [98.1, 121.0]' for a row with value, low and high as shares, or '109.9 % [–]'."""
    shown = lambda value: f"{100 * value:,.1f}".replace("-", MINUS)
    if is_missing(row["value"]):
        return DASH
    bounds = DASH if is_missing(row["low"]) else f"{shown(row['low'])}, {shown(row['high'])}"
    return f"{shown(row['value'])} % [{bounds}]"


def probability(row: dict) -> str:
    """Return '80 % [33, 100]' for a row with value, low and high between 0 and 1; a dash if they are missing."""
    if is_missing(row["low"]):
        return DASH
    return f"{percent(row['value'])} [{100 * row['low']:.0f}, {100 * row['high']:.0f}]"


def plural(number: int, noun: str) -> str:
    """Return '1 run', '2 runs'."""
    return f"{number} {noun}{'s' * (number != 1)}"


def join_names(names: list[str]) -> str:
    """Return 'a', 'a and b', 'a, b and c'."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def shorten(text: str, size: int) -> str:
    """Return at most `size` characters, cutting out the middle."""
    half = (size - 1) // 2
    return text if len(text) <= size else f"{text[: size - 1 - half]}…{text[-half:]}"
