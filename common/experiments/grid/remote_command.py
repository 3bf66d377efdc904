"""A command of a grid that a cluster runs: its machine, and its result once it has ended."""

import contextlib
from abc import ABC, abstractmethod

from common.config import notices
from common.experiments.grid.launcher import Command
from common.experiments.grid.worker import CommandResult, host_file


class RemoteCommand(ABC):
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

    @abstractmethod
    def has_ended(self) -> bool:
        """Whether the cluster has ended the command."""

    @abstractmethod
    def await_end(self) -> None:
        """Return once the cluster has ended the command."""

    @abstractmethod
    def fetch(self) -> CommandResult:
        """Return the result of a command that has ended. A lost worker is a failure too, not an exception."""

    @abstractmethod
    def send(self, number: int) -> None:
        """Ask the run to save and end, or take it from the queue, after a signal with this number."""

    def wait(self) -> int:
        """Wait for the end and return the exit code."""
        self.await_end()
        code = self.poll()
        assert code is not None
        return code

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
