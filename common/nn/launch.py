"""Launchers of an update: operation by operation, or as CUDA graphs that the GPU replays.

A CUDA graph holds all operations of an update with the addresses of their tensors. One call starts all of them, so the
GPU does not wait for Python. A graph is static: it reads its inputs from fixed tensors and writes its results to fixed
tensors, has no operation that waits for the GPU, and repeats every number that came from Python.

The tensors of the first updates choose algorithms and compile functions; the graphs are captured after them. The guard
reads its flag after the graphs, so a graph has no wait. Nothing of this module runs on a CPU, except in tests.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from common.config.annealing import schedule
from common.errors import UserError
from common.nn import ranks

WARMUP_CALLS = 3  # calls before the capture: the first compile functions and choose algorithms

Tree = Any  # nested dicts, lists and tuples of tensors and None


class Segment(Protocol):
    """A stretch of operations that is captured once and replayed."""

    def capture(self) -> AbstractContextManager[None]:
        """Record the operations inside the block instead of running them."""

    def replay(self) -> None:
        """Run the recorded operations."""


class Launcher:
    """Runs the computation of an update directly, operation by operation."""

    def run(self, compute: Callable[..., Tree], *inputs: Tree) -> Tree:
        """Return compute(*inputs), a tree of tensors. `compute` and the shapes are the same in every call."""
        return compute(*inputs)

    def on_host(self, work: Callable[[], None]) -> None:
        """Do work inside `compute` that depends on numbers of Python, such as an optimiser's step."""
        work()


class GraphLauncher(Launcher):
    """Captures the computation after some direct calls, then replays it.

    Work of `on_host` divides the computation into segments; it runs between their replays. Results are valid until the
    next call.
    """

    def __init__(
        self, make_segment: Callable[[], Segment], warmup: Callable[[], AbstractContextManager] = contextlib.nullcontext
    ) -> None:
        """warmup: context of the calls before the capture."""
        self.make_segment, self.warmup = make_segment, warmup
        self.calls = 0
        self.steps: list[Callable[[], object]] = []  # replays of segments, and work between them
        self.capturing: contextlib.ExitStack | None = None
        self.inputs: list[Tensor] = []
        self.results: Tree = None

    @property
    def captured(self) -> bool:
        """Whether calls replay segments."""
        return bool(self.steps)

    def run(self, compute: Callable[..., Tree], *inputs: Tree) -> Tree:
        """Return what compute(*inputs) returns, from a replay once the computation has been captured."""
        self.calls += 1
        if self.calls <= WARMUP_CALLS:
            with self.warmup():
                return compute(*inputs)
        if not self.captured:
            self._capture(compute, inputs)
            return self.results
        for fixed, value in zip(self.inputs, tensors_of(inputs), strict=True):
            fixed.copy_(value)
        for step in self.steps:
            step()
        return self.results

    def on_host(self, work: Callable[[], None]) -> None:
        """End the segment, run it, do the work, and begin another segment; replays repeat this."""
        if self.capturing is None:
            work()
            return
        self._end_segment()
        work()
        self.steps.append(work)
        self._begin_segment()

    def _capture(self, compute: Callable[..., Tree], inputs: Tree) -> None:
        """Capture the computation on copies of the inputs, and run each segment when it is complete."""
        fixed = pytree.tree_map_only(Tensor, torch.clone, inputs)
        self.inputs = tensors_of(fixed)
        try:
            self._begin_segment()
            found = compute(*fixed)
            self.results = pytree.tree_map_only(Tensor, Tensor.detach, found)
            self._end_segment()
        except RuntimeError as error:
            self.steps, self.capturing = [], None
            reason = str(error).strip().splitlines()[0][:200]
            raise UserError(
                f"run.cuda_graphs is true, but the update cannot be captured: {reason}\nUse --run.cuda_graphs false."
            ) from error

    def _begin_segment(self) -> None:
        segment = self.make_segment()
        self.capturing = contextlib.ExitStack()
        self.capturing.enter_context(segment.capture())
        self.steps.append(segment.replay)

    def _end_segment(self) -> None:
        assert self.capturing is not None
        stack, self.capturing = self.capturing, None
        stack.close()
        self.steps[-1]()  # a capture computes nothing


class CudaSegment:
    """A CUDA graph. All segments of an update share a memory pool and a stream."""

    def __init__(self, pool: Any, stream: Any) -> None:
        self.graph, self.pool, self.stream = torch.cuda.CUDAGraph(), pool, stream

    def capture(self) -> AbstractContextManager[None]:
        """Record what the block launches."""
        return torch.cuda.graph(self.graph, pool=self.pool, stream=self.stream)

    def replay(self) -> None:
        """Launch the graph on the current stream."""
        self.graph.replay()


def cuda_graph_launcher(device: torch.device) -> GraphLauncher:
    """Return a launcher for a GPU. Warm-up and capture use a stream of their own, as CUDA graphs require."""
    stream, pool = torch.cuda.Stream(device), torch.cuda.graph_pool_handle()

    @contextlib.contextmanager
    def side_stream() -> Iterator[None]:
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            yield
        torch.cuda.current_stream(device).wait_stream(stream)

    return GraphLauncher(lambda: CudaSegment(pool, stream), side_stream)


def tensors_of(tree: Tree) -> list[Tensor]:
    """Return the tensors of a tree. Raise TypeError for a number: a graph would repeat it."""
    leaves = [leaf for leaf in pytree.tree_leaves(tree) if leaf is not None]
    if bad := [leaf for leaf in leaves if not isinstance(leaf, Tensor)]:
        raise TypeError(f"The inputs of a CUDA graph must be tensors, got {bad[0]!r}.")
    return leaves


def make_launcher(config: dict[str, Any], device: torch.device) -> Launcher:
    """Return the launcher that `run.cuda_graphs` asks for.

    Raises UserError if graphs cannot hold the update: on a CPU, in several processes, or with numbers that change.
    """
    if not config["run"]["cuda_graphs"]:
        return Launcher()
    off = "Use --run.cuda_graphs false"
    if device.type != "cuda":
        raise UserError(f"run.cuda_graphs is true, but the run is on the {device.type}. {off}, or --run.device cuda.")
    if ranks.current().size > 1:
        raise UserError(f"run.cuda_graphs is for one process, not for {ranks.current().size} of torchrun. {off}.")
    if changing := changing_numbers(config):
        raise UserError(f"CUDA graphs repeat all numbers, but {', '.join(changing)} changes with the steps. {off}.")
    return cuda_graph_launcher(device)


def changing_numbers(config: dict[str, Any]) -> list[str]:
    """Return the config keys of an update's numbers that are schedules of agent steps."""
    numbers = {"actor.entropy": config["actor"]["entropy"]}
    numbers |= {f"{seam}.mix": config[seam].get("mix", 0) for seam in ("grad_disc", "grad_cont")}
    return [key for key, value in numbers.items() if schedule(value, 0) != schedule(value, 1e12)]
