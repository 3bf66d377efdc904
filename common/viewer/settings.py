"""Settings that a user can change while a session runs, with the allowed values."""

import dataclasses
import math
from typing import Any

from common.errors import UserError, check_choice

MAX_TEMPERATURE, MAX_HORIZON, MAX_SPEED = 5.0, 10_000, 60


@dataclasses.dataclass
class Settings:
    """who: human, agent or random; agent: number of the run whose agent acts. where: environment or dream.

    view: real, model or difference. latent: sample or mode, of posterior and prior. temperature: factor of the prior's
    noise. horizon: steps after which dreams start again from what was observed, 0 for no limit. speed: steps per
    second.
    """

    who: str = "agent"
    agent: int = 0
    where: str = "dream"
    view: str = "model"
    latent: str = "sample"
    temperature: float = 1.0
    horizon: int = 50
    paused: bool = False
    speed: int = 15

    @property
    def posterior_scale(self) -> float:
        """Factor of the posterior's noise."""
        return float(self.latent == "sample")

    @property
    def prior_scale(self) -> float:
        """Factor of the prior's noise."""
        return self.temperature if self.latent == "sample" else 0.0


CHOICES = {
    "who": ("human", "agent", "random"),
    "where": ("environment", "dream"),
    "view": ("real", "model", "difference"),
    "latent": ("sample", "mode"),
}
#: Name -> type, smallest and largest value.
RANGES: dict[str, tuple[type, float, float]] = {
    "temperature": (float, 0, MAX_TEMPERATURE),
    "horizon": (int, 0, MAX_HORIZON),
    "speed": (int, 1, MAX_SPEED),
    "agent": (int, 0, math.inf),
}


def checked(name: str, value: Any) -> Any:
    """Return a value for a setting, converted to its type. Raises UserError for an unknown name or a wrong value."""
    if name in CHOICES:
        check_choice(name, value, CHOICES[name])
        return value
    if name == "paused" and isinstance(value, bool):
        return value
    if name not in RANGES:
        names = ", ".join(field.name for field in dataclasses.fields(Settings))
        raise UserError(f"{name} cannot be {value!r:.40}. Settings: {names}; paused is true or false.")
    kind, low, high = RANGES[name]
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not low <= number <= high:
        raise UserError(f"{name} must be from {low:g} to {high:g}, got {value!r:.40}.")
    return number
