"""Checkpoints of a run in several processes: one file per rank, and that of rank 0 completes them.

Rank 0 writes to `checkpoints/` what a run in one process writes; rank r writes replay, environments and random numbers
of its own to `ranks/r/checkpoints/`. All files of one checkpoint have the same token. That of rank 0 is written last,
after the others have reported theirs, and names the number of ranks.
"""

import secrets
from pathlib import Path
from typing import Any

from common.distributed.shares import RANKS_FOLDER
from common.errors import UserError
from common.nn.ranks import Ranks
from common.storage.checkpoint_file import DamagedCheckpoint, read, read_verified_header
from common.storage.checkpoints import Checkpoints

OWN_ENTRIES = ("collector", "replay", "rng", "logger")  # of a rank; it has the others from rank 0
RANK_FILES_KEPT = 3  # one more than those of rank 0, which may not have written its own yet


def folder_of_rank(logdir: Path, rank: int) -> Path:
    """Return the folder of a rank's files."""
    return logdir / RANKS_FOLDER / f"{rank:03d}" if rank else logdir


class RankCheckpoints(Checkpoints):
    """The checkpoints of one rank. All ranks call `save` and `load` together."""

    def __init__(self, logdir: Path, ranks: Ranks) -> None:
        super().__init__(folder_of_rank(logdir, ranks.rank) / "checkpoints", kept=2 if ranks.leads else RANK_FILES_KEPT)
        self.main, self.ranks = Checkpoints(logdir / "checkpoints"), ranks
        self._unfinished: list[Path] = []  # files of checkpoints that rank 0 has not completed

    def save(self, state: dict, **info: Any) -> Path:
        """Write the state of this rank; rank 0 writes when all others have. Raises UserError as `Checkpoints.save`."""
        token = self.ranks.share(secrets.token_hex(8))
        state = state | {"ranks": self.ranks.size}
        if self.ranks.leads:
            self.ranks.total(0)  # waits for the files of the others
            path = super().save(state, **info, token=token)
        else:
            own = {key: state[key] for key in (*OWN_ENTRIES, "ranks")}
            while self._unfinished:  # else those of a rank 0 that fails repeatedly would displace the complete ones
                self._unfinished.pop().unlink(missing_ok=True)
            path = super().save(own, **info, token=token)
            self.ranks.total(0)
        return path

    def load(self) -> dict | None:
        """Return the newest state of which the files of all ranks are intact, None if there is no checkpoint.

        Raises UserError if all are damaged, or if they are of another number of ranks.
        """
        paths = self.ranks.share([str(path) for path in self.main.paths()])
        for path in map(Path, paths):
            state, problem = self._read_all(path)
            if self.ranks.all(state is not None):
                self._find_unfinished(path)
                return state
            self.messages += self.ranks.collect([problem] if problem else [])
            self._damaged.add(path)
        if paths:
            raise UserError(
                f"No checkpoint in {self.main.folder} has intact files of all {self.ranks.size} processes:\n  "
                + "\n  ".join(self.messages)
                + "\nNothing was changed. Restore these files from a backup, or start a new run in another --logdir."
            )
        return None

    def _find_unfinished(self, path: Path) -> None:
        """Find the files of this rank that are newer than the checkpoint of rank 0 in `path`; `save` deletes them."""
        if self.ranks.leads:
            return
        own, token = self.paths(), read_verified_header(path).get("token")
        tokens = [read_verified_header(each).get("token") for each in own]
        self._unfinished = own[: tokens.index(token)] if token in tokens else []

    def _read_all(self, path: Path) -> tuple[dict | None, str]:
        """Return the state of this rank at the checkpoint of rank 0 in `path`, or None and what is wrong."""
        try:
            token = read_verified_header(path).get("token")
            state = read(path)
            check_number_of_ranks(state, self.ranks.size)
            if self.ranks.leads or token is None:
                return state, ""
            return state | read_file_of_rank(self, token), ""
        except DamagedCheckpoint as error:
            return None, f"Checkpoint {path} cannot be used ({error}); using the one before it."


def read_file_of_rank(checkpoints: Checkpoints, token: str) -> dict:
    """Return a rank's state at the checkpoint of rank 0 with this token. Raises DamagedCheckpoint without one."""
    for path in checkpoints.paths():
        if read_verified_header(path).get("token") == token:
            return read(path)
    raise DamagedCheckpoint(f"{checkpoints.folder} has no intact file of it")


def check_number_of_ranks(state: dict, size: int) -> None:
    """Raise UserError if a checkpoint was written by another number of processes."""
    written = state.get("ranks", 1)
    if written == size:
        return
    torchrun = f"torchrun --nproc-per-node {written} dreamer.py" if written > 1 else "python dreamer.py"
    raise UserError(
        f"This run was trained by {written} process(es), and now there are {size}. To resume it exactly, start it as "
        f"`{torchrun} ...`. To continue with {size}, make a run directory for them first:\n"
        f"  python dreamer.py reshard LOGDIR --ranks {size} --out NEW_LOGDIR\n"
        "It keeps weights, moments, counters and replay; open episodes end and random numbers start again."
    )
