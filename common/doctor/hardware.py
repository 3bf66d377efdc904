"""Device, threads, memory, number formats, compiler and renderers."""

import ctypes.util
import os
import shutil
from collections.abc import Iterator

import torch

from common.doctor.check import BROKEN, MISSING, OK, Check, attempt
from common.envs.suites import dmc
from common.nn import machine
from common.nn.compile import has_bfloat16, has_cxx
from common.nn.machine import device
from common.replay.capacity import GIB, free_memory
from common.training.threads import available

NVIDIA = "nvidia-smi"  # where this is, there is a GPU
SECONDS = 0.1  # spent on each rate that is measured

#: Renderer -> library that it loads, what to type if it does not work.
RENDERERS = {
    "egl": ("EGL", "apt-get install libegl1 libgl1"),
    "osmesa": ("OSMesa", "apt-get install libosmesa6"),
    "glfw": ("GL", "apt-get install libgl1, in a desktop session: it draws in windows only"),
}


WITHOUT = "install one of these, or draw without: --env.render ray, or train on states: --env.obs vector"


def hardware() -> Iterator[Check]:
    """What training would compute with."""
    where = torch.device(device("auto"))
    yield attempt("device", lambda: _device(where), "train with --device cpu", needed=False)
    if where.type == "cpu" and shutil.which(NVIDIA):
        found = f"a GPU seems to be there, but torch {torch.__version__} cannot use it"
        yield Check("gpu", MISSING, found, "install a build of torch for your CUDA driver", needed=False)
    yield Check("threads", OK, _threads())
    yield Check("memory", OK, f"{free_memory() / GIB:.1f} GiB free")
    yield attempt("bfloat16", lambda: _bfloat16(where), "train with --precision fp32", needed=False)
    if where.type == "cpu":
        found = "long runs compile their updates" if has_cxx() else "no g++ or clang++: updates run uncompiled"
        yield Check("compiler", OK if has_cxx() else MISSING, found, "apt-get install g++", needed=False)


def renderers() -> Iterator[Check]:
    """Each OpenGL backend, tried in a child process; last, the one that pixels of dm_control would be drawn with."""
    for name, (library, todo) in RENDERERS.items():
        reason = dmc.failure(name)
        absent = reason and _absent(name, library)
        status = MISSING if absent else BROKEN if reason else OK
        yield Check(name, status, absent or reason or "draws", todo, needed=False)
    yield attempt("pixels", _pixels, WITHOUT, needed=False)


def _absent(name: str, library: str) -> str:
    """What a renderer that does not work lacks, as far as that is known."""
    if name == "glfw" and not os.environ.get("DISPLAY"):
        return "there is no display (DISPLAY is not set)"
    return "" if ctypes.util.find_library(library) else f"lib{library} is not installed"


def _device(where: torch.device) -> str:
    side = torch.ones(64, 64, device=where)
    assert (side @ side).mean().item() == 64, "products of matrices are wrong"
    return f"{where}: {machine.describe(where)}"


def _threads() -> str:
    limit = os.environ.get("OMP_NUM_THREADS")
    note = f" (OMP_NUM_THREADS={limit})" if limit else ""
    return f"up to {available()} of {os.cpu_count()} cores{note}; each run measures how many are best"


def _bfloat16(where: torch.device) -> str:
    if not has_bfloat16(where):
        return "not in hardware: --precision auto means float32 here"
    half, full = (machine.matmul_rate(kind, where, SECONDS) for kind in (torch.bfloat16, torch.float32))
    return f"in hardware, products of matrices are {half / full:.1f} times as fast as in float32"


def _pixels() -> str:
    chosen = os.environ.get("MUJOCO_GL")
    return f"drawn with {dmc.renderer()}" + (" (MUJOCO_GL says so)" if chosen else "; MUJOCO_GL=NAME chooses another")
