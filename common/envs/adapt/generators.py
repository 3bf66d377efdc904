"""The process-wide random generators of Python, NumPy and torch, as two sets of states: ours and an environment's.

A swap takes microseconds, since NumPy changes its generator: reading and setting the state of `numpy.random` takes a
tenth of a millisecond.
"""

import contextlib
import random
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.random import mtrand


class MT19937(np.random.MT19937):
    """NumPy's default global generator. While `skip` is set, its state is neither read nor set.

    `numpy.random.get_state` then returns only the spare Gaussian number, which belongs to the state of `randn`.
    NumPy compares the name of the class with the name in a state.
    """

    skip = False

    @property
    def state(self) -> Any:
        return {"bit_generator": "MT19937", "state": None} if self.skip else super().state

    @state.setter
    def state(self, value: Any) -> None:
        if not self.skip:
            np.random.MT19937.state.__set__(self, value)  # type: ignore[attr-defined]


class NumpySwap:
    """The generator of `numpy.random`'s functions, and its spare Gaussian number."""

    def read(self) -> Any:
        found: Any = mtrand.get_bit_generator()
        with _skipped(found):
            state: Any = np.random.get_state(legacy=False)  # noqa: NPY002
        return found, state["has_gauss"], state["gauss"]

    def write(self, state: Any) -> None:
        found, has_gauss, gauss = state
        mtrand.set_bit_generator(found)
        if not has_gauss:
            return
        spare = {"has_gauss": has_gauss, "gauss": gauss}
        with _skipped(found):
            np.random.set_state({**found.state, **spare})  # noqa: NPY002


class TorchSwap:
    """The states of torch's generators, on the CPU and on GPUs in use; nothing while torch is not imported."""

    def read(self) -> Any:
        return [generator.get_state() for generator in torch_generators()]

    def write(self, state: Any) -> None:
        for generator, saved in zip(torch_generators(), state, strict=False):
            generator.set_state(saved)


class EnvGenerators:
    """An environment's states of the process-wide generators. `enter` sets them, `leave` puts ours back."""

    def __init__(self) -> None:
        if type(mtrand.get_bit_generator()) is np.random.MT19937:  # ours: readable in microseconds from here on
            _make_ours_quick()
        self.numpy, self.torch = NumpySwap(), TorchSwap()
        self.own: tuple | None = None
        self.ours: tuple = ()
        self.torch_seed: int | None = None

    def enter(self, seed: int | None = None) -> None:
        """Set the environment's states: as `leave` found them, or seeded. The first call needs a seed."""
        self.ours = self._read()
        if self.own is None:
            mtrand.set_bit_generator(MT19937(0))
        else:
            self._write(self.own)
        if seed is not None:
            seed_generators(seed)
        self.torch_seed = _torch_seed()

    def leave(self) -> None:
        """Keep the environment's states and put ours back."""
        seed, ours = _torch_seed(), self.ours[2]
        self.own = self._read()
        self._write(self.ours)
        if seed != self.torch_seed and len(ours) == 1:  # torch has noted the seed for GPUs that are not in use yet
            sys.modules["torch"].cuda.manual_seed_all(_torch_seed())

    def _read(self) -> tuple:
        return random.getstate(), self.numpy.read(), self.torch.read()

    def _write(self, state: tuple) -> None:
        random.setstate(state[0])
        self.numpy.write(state[1])
        self.torch.write(state[2])


def seed_generators(seed: int) -> None:
    """Seed Python's, NumPy's and torch's generators, those of GPUs only if they are in use."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    for generator in torch_generators():
        generator.manual_seed(seed)


def torch_generators() -> list[Any]:
    """Return torch's process-wide generators: the CPU's, then those of GPUs in use; [] if torch is not imported."""
    torch: Any = sys.modules.get("torch")
    if not hasattr(torch, "default_generator"):
        return []
    gpus = torch.cuda.default_generators if hasattr(torch, "cuda") and torch.cuda.is_initialized() else ()
    return [torch.default_generator, *gpus]


def _torch_seed() -> int | None:
    generators = torch_generators()
    return generators[0].initial_seed() if generators else None


@contextlib.contextmanager
def _skipped(generator: Any) -> Iterator[None]:
    """Neither read nor set the numbers of a NumPy generator inside the block, if it can skip them."""
    quick = isinstance(generator, MT19937)
    if quick:
        generator.skip = True
    try:
        yield
    finally:
        if quick:
            generator.skip = False


def _make_ours_quick() -> None:
    """Replace NumPy's global generator by a `MT19937` in the same state."""
    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    mtrand.set_bit_generator(MT19937(0))
    np.random.set_state(state)  # noqa: NPY002
