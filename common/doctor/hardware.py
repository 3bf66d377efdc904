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

NVIDIA_TOOL = "nvidia-smi"  # where this is, there is a GPU
RATE_SECONDS = 0.1  # spent on each rate that is measured

#: Renderer -> library that it loads, what to type if it does not work.
RENDERERS = {
    "egl": ("EGL", "apt-get install libegl1 libgl1"),
    "osmesa": ("OSMesa", "apt-get install libosmesa6"),
    "glfw": ("GL", "apt-get install libgl1, in a desktop session: it draws in windows only"),
}


PIXELS_FIX = "install one of these, or draw without: --env.render ray, or train on states: --env.obs vector"


def hardware() -> Iterator[DoctorCheck]:
    """What training would compute with."""
    where = torch.device(resolve_device("auto"))
    yield run_check("device", lambda: _device(where), "train with --device cpu", needed=False)
    if where.type == "cpu" and shutil.which(NVIDIA_TOOL):
        found = f"a GPU seems to be there, but torch {torch.__version__} cannot use it"
        yield DoctorCheck("gpu", MISSING, found, "install a build of torch for your CUDA driver", needed=False)
    yield DoctorCheck("threads", OK, _threads())
    yield DoctorCheck("memory", OK, f"{free_memory() / GIB:.1f} GiB free")
    yield run_check("bfloat16", lambda: _bfloat16(where), "train with --precision fp32", needed=False)
    if where.type == "cpu":
        found = "long runs compile their updates" if has_cxx_compiler() else "no g++ or clang++: updates run uncompiled"
        yield DoctorCheck("compiler", OK if has_cxx_compiler() else MISSING, found, "apt-get install g++", needed=False)


def renderers() -> Iterator[DoctorCheck]:
    """Each OpenGL backend, tried in a child process; last, the one that pixels of dm_control would be drawn with."""
    for name, (library, todo) in RENDERERS.items():
        reason = dmc.backend_error(name)
        absent = reason and _absent(name, library)
        status = MISSING if absent else BROKEN if reason else OK
        yield DoctorCheck(name, status, absent or reason or "draws", todo, needed=False)
    yield run_check("pixels", _pixels, PIXELS_FIX, needed=False)


def _absent(name: str, library: str) -> str:
    """What a renderer that does not work lacks, as far as that is known."""
    if name == "glfw" and not os.environ.get("DISPLAY"):
        return "there is no display (DISPLAY is not set)"
    return "" if ctypes.util.find_library(library) else f"lib{library} is not installed"


def _device(where: torch.device) -> str:
    side = torch.ones(64, 64, device=where)
    assert (side @ side).mean().item() == 64, "products of matrices are wrong"
    return f"{where}: {machine.describe_device(where)}"


def _threads() -> str:
    limit = os.environ.get("OMP_NUM_THREADS")
    note = f" (OMP_NUM_THREADS={limit})" if limit else ""
    return f"up to {available_threads()} of {os.cpu_count()} cores{note}; each run measures how many are best"


def _bfloat16(where: torch.device) -> str:
    if not has_fast_bfloat16(where):
        return "not in hardware: --precision auto means float32 here"
    half, full = (machine.matmul_rate(kind, where, RATE_SECONDS) for kind in (torch.bfloat16, torch.float32))
    return f"in hardware, products of matrices are {half / full:.1f} times as fast as in float32"


def _pixels() -> str:
    chosen = os.environ.get("MUJOCO_GL")
    return f"drawn with {dmc.working_backend()}" + (
        " (MUJOCO_GL says so)" if chosen else "; MUJOCO_GL=NAME chooses another"
    )
