"""Numbers as a report shows them. What does not exist is a dash."""

import math

DASH = "–"
MINUS = "−"


def is_missing(value: object) -> bool:
    """Whether there is nothing to show: None, nan or infinity."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def score(value: float | None, sign: bool = False) -> str:
    """Three digits or all before the point: 0.123, 12.3, 1,234; `sign` shows a plus, too."""
    if value is None or is_missing(value):
        return DASH
    size = abs(value)
    digits = 0 if size >= 99.95 else 1 if size >= 9.995 else 2
    return f"{value:{'+' if sign else ''},.{digits}f}".replace("-", MINUS)


def interval(row: dict, sign: bool = False) -> str:
    """'812 [790, 830]' of a row with value, low and high; without bounds where there are none."""
    text = score(row["value"], sign)
    return text if is_missing(row["low"]) else f"{text} [{score(row['low'], sign)}, {score(row['high'], sign)}]"


def count(value: float | None) -> str:
    """Whole number with commas."""
    return DASH if value is None or is_missing(value) else f"{round(value):,}"


def short(value: float | None, thousand: float = 1e4) -> str:
    """Number in few characters: 0.25, 9,500, 12.3k, 1.5M; `k` counts from `thousand` on."""
    if value is None or is_missing(value):
        return DASH
    for limit, size, unit in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (thousand, 1e3, "k")):
        if abs(value) >= limit:
            return f"{value / size:.3g}{unit}".replace("-", MINUS)
    return f"{value:,.4g}".replace("-", MINUS)


def duration(seconds: float | None) -> str:
    """'45 s', '12.3 min', '5.1 h'."""
    if seconds is None or is_missing(seconds):
        return DASH
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def memory(size: float | None) -> str:
    """Bytes in GiB."""
    return DASH if not size else f"{size / 2**30:.2f} GiB"


def percent(share: float | None) -> str:
    """Whole percent."""
    return DASH if share is None or is_missing(share) else f"{100 * share:.0f} %"


def chance(row: dict) -> str:
    """'80 % [33, 100]' of a row with value, low and high between 0 and 1."""
    if is_missing(row["low"]):
        return percent(row["value"])
    return f"{percent(row['value'])} [{100 * row['low']:.0f}, {100 * row['high']:.0f}]"


def join_names(names: list[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def shorten(text: str, size: int) -> str:
    """At most `size` characters, without the middle."""
    half = (size - 1) // 2
    return text if len(text) <= size else f"{text[: size - 1 - half]}…{text[-half:]}"
