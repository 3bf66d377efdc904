"""Trackio. It stores runs in a local database, in TRACKIO_DIR if that is set; `trackio show` opens its page."""

import secrets
from pathlib import Path
from typing import Any

from common.storage.loggers.run_logger import RunFacts


class TrackioService:
    """A run in Trackio. Its entity is the user of a Space, which TRACKIO_SPACE_ID names; a local run has none."""

    name, title = "trackio", "Trackio"
    advice = "metrics.jsonl has all numbers."

    def __init__(self, trackio: Any, logdir: Path) -> None:
        self.trackio, self.run = trackio, None

    def open(self, facts: RunFacts, run_id: str | None) -> str:
        """Create or continue a run by its name. Trackio resumes by name, so the name has random letters at its end."""
        run_id = run_id or f"{facts.name}-{secrets.token_hex(3)}"
        self.run = self.trackio.init(
            project=facts.project,
            name=run_id,
            group=facts.group,
            config=facts.config,
            resume="allow",
            embed=False,
            auto_log_cpu=False,
            auto_log_gpu=False,
        )
        return run_id

    def scalars(self, values: dict[str, float], frames: int, wall: float) -> None:
        """Hand metrics to Trackio's own thread."""
        self.run.log(values, step=frames)  # type: ignore[attr-defined]

    def film(self, name: str, path: Path, frames: int) -> None:
        """Copy a film into Trackio's folder, as a video."""
        self.run.log({f"film/{name}": self.trackio.Video(str(path))}, step=frames)  # type: ignore[attr-defined]

    def close(self, end: str) -> None:
        """Wait for Trackio's thread."""
        self.run.finish()  # type: ignore[attr-defined]
