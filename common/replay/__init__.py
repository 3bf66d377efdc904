"""Replay storage for all agents."""

from common.replay.capacity import Forecast, forecast
from common.replay.replay import Replay, Sampler
from common.replay.ring import LATENTS, Ring, pinned

__all__ = ["LATENTS", "Forecast", "Replay", "Ring", "Sampler", "forecast", "pinned"]
