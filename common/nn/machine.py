"""Choice of the device, and its measured rates of matrix products and copying."""

import functools
import resource
import time
from collections.abc import Callable

import torch

from common.errors import UserError
from common.storage.runinfo import hardware

MATMUL_SIDES = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192)}  # rows of the square matrices to time
COPY_BYTES = {"cpu": 2**28, "cuda": 2**30}


def resolve_device(name: str) -> str:
    """Return the device of `run.device`: auto is cuda if a GPU is present, else cpu. Raise UserError without a GPU."""
    if name not in ("auto", "cpu", "cuda") and not name.startswith("cuda:"):
        raise UserError(f"run.device must be auto, cpu, cuda or cuda:N, got {name!r}.")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("run.device is cuda, but torch finds no GPU. Use --run.device cpu, or install torch with CUDA.")
    return name


def use_exact_float32() -> None:
    """Compute float32 products and convolutions of a GPU in float32: TensorFloat-32 (TF32) keeps only 10 bits of them.

    This is the only place that chooses. The usual precision of a GPU is bfloat16, which TF32 does not affect.
    """
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


def best_seconds(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Return the shortest time of a call of `work` in seconds.

    Calls it at least three times and for about `seconds`, after one call that does not count.
    """
    synchronize(device)
    work()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        synchronize(device)
        begin = time.perf_counter()
        work()
        synchronize(device)
        times.append(time.perf_counter() - begin)
    return min(times)


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matmul_rate(dtype: torch.dtype, device: torch.device, seconds: float = 0.2) -> float:
    """Return the FLOP/s of the product of two large square matrices of `dtype`: the best of some sizes."""
    rates = []
    for side in MATMUL_SIDES[device.type]:
        one, two = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        out = torch.empty_like(one)
        rates.append(2 * side**3 / best_seconds(functools.partial(torch.mm, one, two, out=out), device, seconds))
    return max(rates)


def copy_rate(device: torch.device, seconds: float = 0.3) -> float:
    """Return bytes per second, read and written together, of copying a tensor larger than the caches."""
    source = torch.zeros(COPY_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    return 2 * source.numel() / best_seconds(lambda: target.copy_(source), device, seconds)


def peak_memory(device: torch.device) -> int:
    """Return the peak memory in bytes: resident memory of the process, or memory that torch allocated on the GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def describe_device(device: torch.device) -> str:
    """Return the name of the processor or GPU, and the threads that torch uses."""
    facts = hardware()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else facts["cpu"]
    return f"{name}, {torch.get_num_threads()} thread(s) of {facts['cores']} core(s), torch {torch.__version__}"
