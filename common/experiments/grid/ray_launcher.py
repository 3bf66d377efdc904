"""Runs of a grid as tasks of Ray, on this machine or on a cluster whose machines share the folder of the grid."""

import re
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.config import notices
from common.errors import UserError
from common.experiments.grid import process
from common.experiments.grid.launcher import Command, LaunchedCommand
from common.experiments.grid.remote_command import RemoteCommand
from common.experiments.grid.worker import CommandResult

PACKAGES = Path(__file__).parents[3]  # folder of this package, which workers import
RETRIES = 3  # of a run whose worker or machine was lost
STOPPED = CommandResult(143, "stopped")
CONNECT_SECONDS = 10.0  # Ray itself waits two minutes for an address where nothing listens
#: Options of a Ray on this machine. Only words and exit codes pass through its store.
OWN_RAY: dict[str, Any] = {"address": "local", "include_dashboard": False, "object_store_memory": 100 * 2**20}


class RayLauncher:
    """Queues each command as a task of Ray. Ray starts a task again whose worker is lost: the run resumes."""

    shows_host = True

    def __init__(self, folder: Path, resources: dict[str, int], address: str = ""):
        try:
            import ray
        except ImportError as error:
            raise UserError(f"--launcher ray needs another package: pip install ray ({error}).") from error
        self.ray, self.folder = ray, folder.absolute()
        try:
            check_address(address)
            options = {"address": address} if address else OWN_RAY
            ray.init(**options, log_to_driver=False, logging_level="error")
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(
                f"Ray cannot be reached at {address or 'this machine'}: {str(error).splitlines()[0]}. Start it with "
                "`ray start --head`, and give --ray-address the address that it prints, or auto."
            ) from error
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        self.task = ray.remote(run_command).options(
            num_cpus=resources["cpu"], num_gpus=resources["gpu"], max_retries=RETRIES, scheduling_strategy="SPREAD"
        )
        self.check_resources(resources)

    def check_resources(self, resources: dict[str, int]) -> None:
        """Print a notice if no machine has what a run asks for: the runs would wait until one joins."""
        machines = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        if not any(m.get("CPU", 0) >= resources["cpu"] and m.get("GPU", 0) >= resources["gpu"] for m in machines):
            largest = ", ".join(f"{max(m.get(kind, 0) for m in machines):g} {kind}s" for kind in ("CPU", "GPU"))
            notices.add(
                f"No machine of this Ray cluster has {resources['cpu']} CPUs and {resources['gpu']} GPUs for a run: "
                f"the most are {largest}. The runs wait until such a machine joins. Less: --resources cpu=1 gpu=0"
            )

    def start(self, commands: Sequence[Command]) -> list[LaunchedCommand]:
        """Queue the commands."""
        return [RayCommand(self.ray, self.task, command, self.folder) for command in commands]

    def close(self) -> None:
        """Leave the cluster, or end the Ray of this machine."""
        self.ray.shutdown()


def check_address(address: str) -> None:
    """Raise OSError if nothing listens at HOST:PORT. Other forms, such as auto, are left to Ray."""
    if found := re.fullmatch(r"([^/:]+):(\d+)", address):
        socket.create_connection((found[1], int(found[2])), timeout=CONNECT_SECONDS).close()


class RayCommand(RemoteCommand):
    """A command that runs as a task of Ray."""

    def __init__(self, ray: Any, task: Any, command: Command, folder: Path):
        super().__init__(command)
        self.ray = ray
        self.reference = task.remote(str(PACKAGES), str(process.ROOT), command.words, command.logdir.absolute(), folder)

    def has_ended(self) -> bool:
        """Whether the task has a result."""
        return bool(self.ray.wait([self.reference], timeout=0)[0])

    def fetch(self) -> CommandResult:
        """Return the result of the task."""
        try:
            return CommandResult(*self.ray.get(self.reference))
        except self.ray.exceptions.TaskCancelledError:
            return STOPPED
        except self.ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[0]
            return CommandResult(1, f"the worker was lost, and {RETRIES} new tries failed too: {reason}")

    def await_end(self) -> None:
        """Return once it has ended."""
        self.ray.wait([self.reference])

    def send(self, number: int) -> None:
        """Ask the run to save and end, or take it from the queue."""
        self.ray.cancel(self.reference, force=False)


def run_command(packages: str, root: str, words: list[str], logdir: Path, folder: Path) -> tuple:
    """Run a command in a worker of Ray. The worker gets this function by value, since it does not know the package."""
    import sys

    if packages not in sys.path:
        sys.path.insert(0, packages)
    from common.experiments.grid.worker import Worker

    return tuple(Worker().run(root, words, logdir, folder))
