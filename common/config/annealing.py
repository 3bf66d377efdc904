"""Numbers that change during training, written as strings.

linear(start, end, steps), warmup(steps, value), exp(start, end, halflife), horizon(start, end, steps).
Source: official V2 `common/tools.py` `schedule`.
"""

import re

from common.errors import UserError

NUMBER = r"[-+]?[\d.]+(?:[eE][-+]?\d+)?"
SCHEDULE_PATTERN = re.compile(rf"(linear|warmup|exp|horizon)\(({NUMBER}(?:,\s*{NUMBER})*)\)")
ARITY = {"linear": 3, "warmup": 2, "exp": 3, "horizon": 3}


def parse_schedule(text: str) -> tuple[str, list[float]]:
    """'linear(1, 0, 1e6)' -> ('linear', [1.0, 0.0, 1e6]). Raises UserError for any other text."""
    match = SCHEDULE_PATTERN.fullmatch(text.strip())
    args = [float(x) for x in match[2].split(",")] if match else []
    if not match or len(args) != ARITY[match[1]]:
        forms = "linear(a, b, n), warmup(n, a), exp(a, b, n), horizon(a, b, n)"
        raise UserError(f"{text!r} is neither a number nor one of {forms}.")
    return match[1], args


def schedule(value: float | str, step: float) -> float:
    """Return the value of a number or schedule at `step`."""
    try:
        return float(value)
    except ValueError:
        kind, args = parse_schedule(str(value))
    if kind == "warmup":
        return min(step / args[0], 1.0) * args[1]
    start, end, steps = args
    if kind == "exp":
        return (start - end) * 0.5 ** (step / steps) + end
    mix = min(max(step / steps, 0.0), 1.0)
    if kind == "linear":
        return (1 - mix) * start + mix * end
    return 1 - 1 / ((1 - mix) * start + mix * end)
