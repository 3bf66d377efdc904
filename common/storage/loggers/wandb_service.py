"""Weights & Biases. `WANDB_MODE=offline` needs no login; `wandb sync` sends such runs later."""

import os
import secrets
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.storage.loggers.run_logger import FINISHED, STOPPED, RunFacts

OFFLINE_MODES = ("offline", "dryrun", "disabled")


class WandbService:
    """A run in Weights & Biases. Its own files are in `wandb/` of the run directory, or of WANDB_DIR.

    Raises UserError if there is no key and the mode is not an offline one.
    """

    name, title = "wandb", "Weights & Biases"

    def __init__(self, wandb: Any, logdir: Path) -> None:
        self.wandb, self.run = wandb, None
        self.folder = os.environ.get("WANDB_DIR") or str(logdir)
        self.advice = f"What it stored itself is in {Path(self.folder) / 'wandb'}: `wandb sync FOLDER` sends it."
        if wandb.setup().settings.mode not in OFFLINE_MODES and not wandb.login(prompt=False, verify=False):
            raise UserError(
                "Weights & Biases has no key on this machine. Type: wandb login. "
                "Or set WANDB_MODE=offline, and send the run later with `wandb sync`."
            )

    def open(self, facts: RunFacts, run_id: str | None) -> str:
        """Create or continue a run, by an id that is chosen here."""
        run_id = run_id or secrets.token_hex(4)
        self.run = self.wandb.init(
            project=facts.project,
            entity=facts.entity or None,
            name=facts.name,
            group=facts.group,
            id=run_id,
            resume="allow",
            dir=self.folder,
            config=facts.config,
            allow_val_change=True,
            settings=self.wandb.Settings(silent=True, console="off"),
        )
        return run_id

    def scalars(self, values: dict[str, float], frames: int, wall: float) -> None:
        """Send metrics; calls with the same frames make one row."""
        self.run.log(values, step=frames)  # type: ignore[attr-defined]

    def film(self, name: str, path: Path, frames: int) -> None:
        """Send a film, as a video."""
        film = self.wandb.Video(str(path), format="gif")
        self.run.log({f"film/{name}": film}, step=frames)  # type: ignore[attr-defined]

    def close(self, end: str) -> None:
        """Send the last row and end the process of Weights & Biases."""
        self.run.finish(exit_code={FINISHED: 0, STOPPED: 130}.get(end, 1))  # type: ignore[attr-defined]
        self.wandb.teardown()  # its process would be ended with the command, which it reports as an error
