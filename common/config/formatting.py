"""Short texts for config values."""

from typing import Any


def format_value(value: Any) -> str:
    """Return a config value in few characters. The values of a group are joined with slashes, unless all are equal."""
    if isinstance(value, dict):
        texts = list(map(format_value, value.values()))
        return texts[0] if len(set(texts)) == 1 else "/".join(texts)
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    return format_number(value) if isinstance(value, float) else str(value)


def format_number(value: float) -> str:
    """Return a number with at most 4 digits: 0.997, 5, 6e-4."""
    if not 0 < abs(value) < 1e-3:
        return f"{value:.4g}"
    digits, power = f"{value:.3e}".split("e")
    return f"{float(digits):g}e{int(power)}"
