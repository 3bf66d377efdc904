"""Reading golden files: what was read, what was compared, and how parameters are laid out in them."""

import json
import pathlib

import numpy as np
import torch
from torch import Tensor

#: Path components of arrays that are inputs; all other arrays are expectations.
INPUTS = ("in", "param")


class Golden:
    """One golden file. Comparisons collect failures; `finish` fails on those, and on arrays that were not compared.

    tol, floor: an array agrees when max|got - want| <= tol (max|want| + floor). A check may change both.
    """

    def __init__(self, path, tol=1e-4, floor=1e-3):
        with np.load(pathlib.Path(path), allow_pickle=False) as file:
            self.arrays = {name: file[name] for name in file.files}
        texts = [self.arrays.pop(key) for key in ("meta", "cfg") if key in self.arrays]
        self.meta = json.loads(str(texts[0])) if texts else {}
        self.cases = set(self.meta.get("cases") or ())
        self.tol, self.floor = tol, floor
        self.seen, self.failures = set(), []

    def __contains__(self, name):
        return name in self.arrays

    def __getitem__(self, name) -> Tensor:
        """One array as a tensor (a copy). For expectations this does not count as a check."""
        if set(name.split("/")) & set(INPUTS):
            self.seen.add(name)
        return torch.from_numpy(np.array(self.arrays[name]))

    def get(self, name):
        """An array, or None if the file has none of that name."""
        return self[name] if name in self.arrays else None

    def input(self, name) -> Tensor:
        """An input whose name does not mark it as one."""
        self.seen.add(name)
        return self[name]

    def names(self, prefix="") -> list[str]:
        """Names under `prefix/`, without it."""
        start = f"{prefix}/" if prefix else ""
        return [name[len(start) :] for name in self.arrays if name.startswith(start)]

    def has(self, prefix) -> bool:
        return prefix in self.arrays or bool(self.names(prefix))

    def tree(self, prefix) -> dict[str, Tensor]:
        """All arrays under `prefix/` by the rest of their names."""
        return {name: self[f"{prefix}/{name}"] for name in self.names(prefix)}

    def groups(self, prefix="") -> list[str]:
        """First path components under `prefix/`, in the order of the file."""
        return list(dict.fromkeys(name.split("/")[0] for name in self.names(prefix)))

    def case(self, name) -> dict:
        """Settings of one case of `meta`."""
        self.cases.discard(name)
        return self.meta["cases"][name]

    def skip(self, name, reason: str):
        """Leaves out an array, or all under it, on purpose; `reason` is for the reader."""
        assert self.has(name), f"{name} is not in the file: {reason}"
        self.seen |= {key for key in self.arrays if key == name or key.startswith(f"{name}/")}

    def close(self, name, got, tol=None, floor=None):
        """Compares what we computed with the expectation of that name, shape and values."""
        self.seen.add(name)
        if name not in self.arrays:
            self.failures.append(f"{name}: not in the file")
            return
        self.compare(name, got, self.arrays[name], self.tol if tol is None else tol, floor)

    def expect(self, name) -> Tensor:
        """An expectation that the caller compares in another form."""
        return self.input(name)

    def compare(self, label, got, want, tol, floor=None, absolute=False):
        """max|got - want| <= tol (max|want| + floor), or tol if absolute; flags and integers exactly."""
        got, want = (np.asarray(x.detach() if isinstance(x, Tensor) else x) for x in (got, want))
        if got.shape != want.shape:
            self.failures.append(f"{label}: shape {got.shape}, expected {want.shape}")
            return
        got, exact = got.astype(np.float64), want.dtype.kind in "biu"
        scale = 1.0 if absolute else np.abs(want).max(initial=0) + (self.floor if floor is None else floor)
        limit = 0.0 if exact else tol * scale
        worst = np.abs(got - want).max(initial=0)
        if not worst <= limit:
            self.failures.append(f"{label}: off by {worst:.3g}, allowed {limit:.3g}")

    def finish(self):
        """Fails with every comparison that failed and everything in the file that was not used."""
        left = sorted(set(self.arrays) - self.seen)
        problems = [*self.failures, *(f"{name}: not compared" for name in left)]
        problems += [f"case {name} of meta: not used" for name in sorted(self.cases)]
        assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems[:60])


def load(golden, prefix, slots: dict):
    """Sets our parameters from the arrays under `prefix/`. Names must be the same on both sides."""
    names = set(golden.names(prefix))
    assert names == set(slots), f"{prefix}: names differ: {sorted(names ^ set(slots))}"
    for name, slot in slots.items():
        slot.assign(golden[f"{prefix}/{name}"])


def params_of(slots: dict) -> list:
    """Our parameters, each once."""
    return list({id(p): p for slot in slots.values() for p in slot.params}.values())


def gradients(loss, params) -> dict:
    """Parameter id -> gradient of a scalar, zeros where there is no path."""
    if not loss.requires_grad:
        return {id(p): torch.zeros_like(p) for p in params}
    grads = torch.autograd.grad(loss, params, retain_graph=True, materialize_grads=True)
    return {id(p): g for p, g in zip(params, grads, strict=True)}


def close_grads(golden, prefix, slots: dict, grads: dict, tol=None):
    """Compares gradients (parameter id -> tensor) with the arrays under `prefix/`, all of them."""
    for name, slot in slots.items():
        golden.close(f"{prefix}/{name}", slot.arranged([grads[id(p)] for p in slot.params]), tol)


def one_hot_noise(index, classes) -> Tensor:
    """Noise under which an argmax over `classes` picks the given indices: (...) -> (..., classes)."""
    return torch.nn.functional.one_hot(index.long(), classes).float() * 1e6


def close_grads_of(golden, prefix, slots: dict, loss, tol=None):
    """Differentiates `loss` with respect to our parameters in `slots` and compares."""
    close_grads(golden, prefix, slots, gradients(loss, params_of(slots)), tol)


def close_input_grads(golden, prefix, loss, inputs: dict, tol=None):
    """Differentiates `loss` with respect to leaves by name, and compares with `prefix/NAME`."""
    grads = gradients(loss, list(inputs.values()))
    for name, leaf in inputs.items():
        golden.close(f"{prefix}/{name}", grads[id(leaf)], tol)


def leaf(x) -> Tensor:
    return x.clone().requires_grad_()


def swap(x) -> Tensor:
    """(T, B, ...) <-> (B, T, ...)."""
    return x.transpose(0, 1)


def count(names, prefix) -> int:
    """How many numbered names NAME0, NAME1, ... follow each other: the depth of a network in a file."""
    found = {name.split("/")[0] for name in names}
    return next(i for i in range(len(found) + 1) if f"{prefix}{i}" not in found)


class Spy:
    """Calls through and keeps the arguments and the result of the last call, and of all calls as pairs."""

    def __init__(self, target):
        self.target, self.calls = target, []

    def __call__(self, *args, **kwargs):
        self.args = args
        self.result = self.target(*args, **kwargs)
        self.calls.append((args, self.result))
        return self.result

    def __getattr__(self, name):
        return getattr(self.target, name)
