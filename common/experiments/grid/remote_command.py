"""A command of a grid that a cluster runs: its machine, and its result once it has ended."""

import contextlib

from common.config import notices
from common.experiments.grid.launcher import Command
from common.experiments.grid.worker import CommandResult, host_file


class RemoteCommand:
    """The part of a launched command that all clusters share. Subclasses know how to ask their cluster."""

    def __init__(self, command: Command):
        self.words, self.logdir = command.words, command.logdir
        self.result: CommandResult | None = None
        host_file(self.logdir).unlink(missing_ok=True)

    @property
    def host(self) -> str:
        """The machine that computes it; empty before it has begun."""
        with contextlib.suppress(OSError):
            return host_file(self.logdir).read_text()
        return ""

    def has_ended(self) -> bool:
        """Whether the cluster has ended the command."""
        raise NotImplementedError

    def fetch(self) -> CommandResult:
        """Return the result of a command that has ended. A lost worker is a failure too, not an exception."""
        raise NotImplementedError

    def poll(self) -> int | None:
        """Return the exit code, or None before the end."""
        if self.result is None and self.has_ended():
            self.result = self.fetch()
            if self.result.warning:
                notices.add(self.result.warning)
        return None if self.result is None else self.result.code

    def error(self) -> str:
        """Return the reason of a failure."""
        return self.result.error if self.result else ""
