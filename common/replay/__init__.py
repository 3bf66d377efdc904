"""The replay: records of all environments, batches of windows, files that survive a restart."""

from common.replay.capacity import Forecast, forecast
from common.replay.replay import Replay
from common.replay.ring import LATENTS, Ring, pinned
from common.replay.sampler import Sampler

__all__ = ["LATENTS", "Forecast", "Replay", "Ring", "Sampler", "forecast", "pinned"]
