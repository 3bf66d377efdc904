"""Device, threads, memory, number formats, compiler and renderers."""

import ctypes.util
import os
import shutil
from collections.abc import Iterator

import torch

from common.doctor.check import BROKEN, MISSING, OK, DoctorCheck, run_check
from common.envs.suites import dmc
from common.nn import machine
from common.nn.compile import has_cxx_compiler, has_fast_bfloat16
from common.nn.machine import resolve_device
from common.replay.capacity import GIB, free_memory
from common.training.threads import available_threads

NVIDIA_TOOL = "nvidia-smi"  # exists where there is a GPU
RATE_SECONDS = 0.1  # to measure each rate

#: Renderer -> library that it loads, and the fix if it does not work.
RENDERERS = {
    "egl": ("EGL", "apt-get install libegl1 libgl1"),
    "osmesa": ("OSMesa", "apt-get install libosmesa6"),
    "glfw": ("GL", "apt-get install libgl1, in a desktop session: it renders only to windows"),
}
PIXELS_FIX = "install one of these, or avoid them: --env.render ray, or train on states: --env.obs vector"


def hardware() -> Iterator[DoctorCheck]:
    """Check the hardware that training uses."""
    where = torch.device(resolve_device("auto"))
    yield run_check("device", lambda: _device(where), "train with --device cpu", needed=False)
    if where.type == "cpu" and shutil.which(NVIDIA_TOOL):
        found = f"there seems to be a GPU, but torch {torch.__version__} cannot use it"
        yield DoctorCheck("gpu", MISSING, found, "install a torch build for your CUDA driver", needed=False)
    yield DoctorCheck("threads", OK, _threads())
    yield DoctorCheck("memory", OK, f"{free_memory() / GIB:.1f} GiB free")
    yield run_check("bfloat16", lambda: _bfloat16(where), "train with --precision fp32", needed=False)
    if where.type == "cpu":
        found = "long runs compile their updates" if has_cxx_compiler() else "no g++ or clang++: updates run uncompiled"
        yield DoctorCheck("compiler", OK if has_cxx_compiler() else MISSING, found, "apt-get install g++", needed=False)


def renderers() -> Iterator[DoctorCheck]:
    """Check each OpenGL backend in a child process, and then the one that dm_control would use."""
    for name, (library, todo) in RENDERERS.items():
        reason = dmc.backend_error(name)
        absent = reason and _missing_requirement(name, library)
        status = MISSING if absent else BROKEN if reason else OK
        yield DoctorCheck(name, status, absent or reason or "renders", todo, needed=False)
    yield run_check("pixels", _pixels, PIXELS_FIX, needed=False)


def _missing_requirement(name: str, library: str) -> str:
    """Return the missing requirement of a renderer that does not work; empty if unknown."""
    if name == "glfw" and not os.environ.get("DISPLAY"):
        return "no display (DISPLAY is not set)"
    return "" if ctypes.util.find_library(library) else f"lib{library} is not installed"


def _device(where: torch.device) -> str:
    side = torch.ones(64, 64, device=where)
    assert (side @ side).mean().item() == 64, "matrix products are wrong"
    return f"{where}: {machine.describe_device(where)}"


def _threads() -> str:
    limit = os.environ.get("OMP_NUM_THREADS")
    note = f" (OMP_NUM_THREADS={limit})" if limit else ""
    return f"up to {available_threads()} of {os.cpu_count()} cores{note}; each run measures the best number"


def _bfloat16(where: torch.device) -> str:
    if not has_fast_bfloat16(where):
        return "no hardware support: --precision auto means float32 here"
    half, full = (machine.matmul_rate(kind, where, RATE_SECONDS) for kind in (torch.bfloat16, torch.float32))
    return f"in hardware: matrix products are {half / full:.1f} times as fast as in float32"


def _pixels() -> str:
    chosen = os.environ.get("MUJOCO_GL")
    note = " (set by MUJOCO_GL)" if chosen else "; choose another with MUJOCO_GL=NAME"
    return f"rendered with {dmc.working_backend()}{note}"
