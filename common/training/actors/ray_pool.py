"""Actors as processes of Ray, on this machine or on a cluster whose machines share the folder of this program."""

import contextlib
import os
import re
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from common.signals import STOP_SIGNALS
from common.training.actors.exchange import Answer, Lost, Request

PACKAGES = Path(__file__).parents[3]  # folder of this package, which workers import
CONNECT_SECONDS = 10.0  # Ray itself waits two minutes for an address where nothing listens
#: Options of a Ray on this machine. By itself, Ray gives its workers the lowest priority.
OWN_RAY: dict[str, Any] = {
    "address": "local",
    "include_dashboard": False,
    "_system_config": {"worker_niceness": 0},
}
CLOSE_SECONDS = 5.0  # for the environments of all actors to close


class RayPool:
    """A pool of actors, see `Pool`. configs: of each actor. cpus: that Ray reserves for each.

    Raises UserError if Ray is not installed or cannot be reached.
    """

    def __init__(self, configs: Sequence[dict[str, Any]], cpus: int, address: str) -> None:
        try:
            import ray
        except ImportError as error:
            raise UserError(f"run.actors ray needs another package: pip install ray ({error}).") from error
        self.ray, self.configs = ray, configs
        with signal_handlers_kept():
            connect(ray, address, cpus * len(configs))
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        self.remote = ray.remote(ActorProcess).options(
            num_cpus=cpus, num_gpus=0, max_restarts=0, scheduling_strategy="SPREAD"
        )
        self.handles: dict[int, Any] = {}
        self.open: dict[int, deque[Any]] = {}  # of each actor, the references of its answers to come
        self.weights: Any = None  # reference of the newest

    def start(self, actor: int, life: int) -> None:
        """Start an actor, in the place of an earlier one if there was one."""
        handle = self.remote.remote(str(PACKAGES), os.getcwd(), self.configs[actor], actor, life)
        self.handles[actor], self.open[actor] = handle, deque([handle.start.remote()])

    def publish(self, weights: dict[str, np.ndarray], version: int) -> None:
        """Put the weights into Ray's object store."""
        self.weights = self.ray.put(weights)

    def ask(self, actor: int, request: Request) -> None:
        """Queue a request. The reference of the weights is in a list: the actor fetches them only if they are new."""
        self.open[actor].append(self.handles[actor].collect.remote(tuple(request), [self.weights]))

    def answers(self, seconds: float) -> list[tuple[int, Answer]]:
        """Return the answers that have arrived, those of each actor in the order of its requests."""
        heads = {queue[0]: actor for actor, queue in self.open.items() if queue}
        if not heads:
            return []
        self.ray.wait(list(heads), num_returns=1, timeout=seconds)
        ready, _ = self.ray.wait(list(heads), num_returns=len(heads), timeout=0)
        return [(heads[reference], self._fetch(heads[reference])) for reference in ready]

    def _fetch(self, actor: int) -> Answer:
        reference = self.open[actor].popleft()
        try:
            answer: Answer = self.ray.get(reference)
            return answer
        except self.ray.exceptions.RayTaskError:
            raise  # an error of this program
        except self.ray.exceptions.RayError as error:
            self.open[actor].clear()
            self.ray.kill(self.handles[actor])
            return Lost(reason_of_loss(error))

    def close(self) -> None:
        """Let the actors close their environments, then end them, and Ray if it is that of this run alone."""
        with contextlib.suppress(self.ray.exceptions.RayError):
            for queue in self.open.values():
                for reference in list(queue):
                    self.ray.cancel(reference)
            ends = [handle.stop.remote() for handle in self.handles.values()]
            self.ray.wait(ends, num_returns=len(ends), timeout=CLOSE_SECONDS)
            for handle in self.handles.values():
                self.ray.kill(handle)
        self.ray.shutdown()


class ActorProcess:
    """The process of an actor. It gets this class by value, since it does not know the package before."""

    def __init__(self, packages: str, folder: str, config: dict[str, Any], actor: int, life: int) -> None:
        import os
        import sys

        if packages not in sys.path:
            sys.path.insert(0, packages)
        if os.path.isdir(folder):
            os.chdir(folder)
        from common.training.actors.actor import Actor
        from common.training.actors.shares import with_seed

        self.actor = Actor(with_seed(config, actor, life))

    def start(self) -> Any:
        return self.actor.start()

    def collect(self, request: tuple, weights: list) -> Any:
        import ray

        from common.training.actors.exchange import Request

        asked = Request(*request)
        if asked.version != self.actor.version:
            self.actor.load(ray.get(weights[0]), asked.version)
        return self.actor.collect(asked)

    def process_id(self) -> int:
        import os

        return os.getpid()

    def stop(self) -> None:
        self.actor.stop()


def connect(ray: Any, address: str, cpus: int) -> None:
    """Start a Ray on this machine with room for all actors, or join the cluster at `address`."""
    own = OWN_RAY | {"num_cpus": max(cpus, os.cpu_count() or 1)}
    try:
        check_address(address)
        ray.init(**({"address": address} if address else own), log_to_driver=False, logging_level="error")
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"Ray cannot be reached at {address or 'this machine'}: {str(error).splitlines()[0]}. Start it with "
            "`ray start --head`, and give --run.ray_address the address that it prints, or auto."
        ) from error


def check_address(address: str) -> None:
    """Raise OSError if nothing listens at HOST:PORT. Other forms, such as auto, are left to Ray."""
    if found := re.fullmatch(r"([^/:]+):(\d+)", address):
        socket.create_connection((found[1], int(found[2])), timeout=CONNECT_SECONDS).close()


def reason_of_loss(error: Exception) -> str:
    """Return the line of an error of Ray that says why a process ended, without a full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith(("The actor is dead because", "The node", "Task was killed"))]
    return (causes or lines or [type(error).__name__])[0].rstrip(". ")


@contextlib.contextmanager
def signal_handlers_kept() -> Iterator[None]:
    """Keep the handlers of the run in a block: Ray installs one of its own for SIGTERM."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():  # Python allows no handlers elsewhere
            for number, handler in before.items():
                signal.signal(number, handler)
